"""What follows from the names of joints: their mirror images, limbs to draw, parts to score; and the flags of joints.

Names are those of datasets in snake case; joints in pairs begin with `left_` or `right_`, from the person's own view:
`left_wrist`, `neck`. Functions take the names of a dataset, in their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

UNKNOWN, OCCLUDED, VISIBLE = 0, 1, 2
"""COCO's flags of joints: not annotated, annotated but occluded, visible."""

Limb = tuple[int, int]
Colour = tuple[int, int, int]

SIDES = ("left", "right")
COLOURS: Mapping[str, Colour] = {"left": (0, 158, 115), "right": (213, 94, 0), "": (26, 128, 196)}
"""Colours of joints and limbs by side, after Okabe & Ito 2008."""

BONES = (
    ("{side}_wrist", "{side}_elbow"),
    ("{side}_elbow", "{side}_shoulder"),
    ("{side}_ankle", "{side}_knee"),
    ("{side}_knee", "{side}_hip"),
)
"""The limbs of either side: outer and inner joint."""
PARTS = ("lower_arm", "upper_arm", "lower_leg", "upper_leg")
"""The names of `BONES`, in their order."""

SPINES = (("head_top", "neck"), ("head_top", "thorax"), ("neck", "thorax"), ("thorax", "pelvis"), ("nose", "neck"))
"""Pairs along the middle, drawn where the dataset has both ends and no third joint between them."""
BETWEEN = {("head_top", "thorax"): "neck"}


def side(name: str) -> str:
    """`left`, `right`, or an empty string."""
    first = name.partition("_")[0]
    return first if first in SIDES else ""


def twin(name: str) -> str:
    """The name that a mirror gives this joint: `right_wrist` for `left_wrist`, `neck` for `neck`."""
    first, _, rest = name.partition("_")
    return f"{SIDES[1 - SIDES.index(first)]}_{rest}" if first in SIDES else name


def mirrored(names: Sequence[str]) -> tuple[int, ...]:
    """For each joint the index of the one that a mirror exchanges it with; its own where it is a joint of the middle.

    Raises ValueError where one of a pair is missing.
    """
    missing = [name for name in names if twin(name) not in names]
    if missing:
        raise ValueError(f"joint '{missing[0]}' is not accompanied by '{twin(missing[0])}'")
    return tuple(names.index(twin(name)) for name in names)


def ambiguous(names: Sequence[str]) -> tuple[int, ...]:
    """The joints that have a left and a right version."""
    return tuple(i for i, name in enumerate(names) if side(name))


def colours(names: Sequence[str]) -> tuple[Colour, ...]:
    """A colour for each joint, by its side."""
    return tuple(COLOURS[side(name)] for name in names)


def parts(names: Sequence[str]) -> dict[str, Limb]:
    """The limbs by name, as PCP scores them: `left_upper_arm`, .., `head`, those whose ends the dataset has.

    Ferrari et al. 2008's parts without the torso, whose ends datasets define in different ways.
    """
    bones = {f"{s}_{part}": bone for part, bone in zip(PARTS, BONES, strict=True) for s in SIDES}
    ends = {part: [end.format(side=part.partition("_")[0]) for end in bone] for part, bone in bones.items()}
    ends["head"] = ["head_top", "neck"]
    return {part: (names.index(a), names.index(b)) for part, (a, b) in ends.items() if a in names and b in names}


def limbs(names: Sequence[str]) -> tuple[Limb, ...]:
    """The skeleton to draw: pairs of joints (outer, inner)."""
    return tuple((names.index(a), names.index(b)) for a, b in _bones() if _drawn(a, b, names))


def _drawn(a: str, b: str, names: Sequence[str]) -> bool:
    return a in names and b in names and BETWEEN.get((a, b)) not in names


def _bones() -> Iterator[tuple[str, str]]:
    for s in SIDES:
        yield from ((a.format(side=s), b.format(side=s)) for a, b in BONES)
        yield from ((f"{s}_{inner}", middle) for inner, middle in (("shoulder", "neck"), ("shoulder", "thorax")))
        yield f"{s}_hip", "pelvis"
        yield f"{s}_hip", f"{s}_shoulder"
        yield from ((f"{s}_ear", f"{s}_eye"), (f"{s}_eye", "nose"))
    yield from SPINES
    yield "left_shoulder", "right_shoulder"
    yield "left_hip", "right_hip"
