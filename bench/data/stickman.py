"""Synthetic dataset `stickman`: limbs that look alike, distinguished only by the body's place and side.

A body of three joints stands upright: head top (a red disc), thorax, pelvis (a green disc), joined by a line. The
thorax is the *cue*, a disc that is yellow on a person seen from the front and blue on one seen from behind. Around it
are four limbs: sticks of `LIMB` px whose inner end (elbow or knee) lies `distance` px to the side and `distance` px
above or below the thorax, and whose outer end (wrist or ankle) bears a grey disc. The stick points in a direction drawn
uniformly from all, for each limb alone. So the pixels near a limb are the same random draw for all four: nothing in
them depends on which limb it is. Every joint, the cue too, is hidden with probability `occlusion` by a violet box about
its centre: the box shows where the joint is, and hides the pixels below.

**The information.** The place of the body distinguishes arms from legs and one side of the picture from the other, but
a person's left is at the right of the picture from the front, and at its left from behind: only the cue distinguishes
these. A mirrored picture is a valid picture with left and right exchanged.

**The best left/right accuracy.** Images come as twins: the second is the first with the cue's colour of the other kind
and left and right exchanged; no other pixel differs. Take a network whose receptive field does not hold the cue, or
twins whose cue is hidden (these are the same image): it puts the left wrist at the same place in both, and that can be
the left wrist's in one of them only. So it is right at most once for each left or right joint: 1/2 exactly, in the
sample drawn and not only on average. A network whose receptive field holds the cue can be right wherever the cue is not
hidden. With a fraction h of images whose cue is hidden, the best is 1 - h/2 (`optimum`: `pck_ambiguous`, `left_right`),
and over all joints, 8 of 11 ambiguous, (3 + 8 (1 - h/2)) / 11 (`pck`).

**Scores without the cue.** `pck_ambiguous@body`, 1/2: the receptive field holds the body but not the cue.
`pck_ambiguous@limb`, 1/4: it holds one limb at a time, the same draw for all four, so that the best guess is one of
four; on average over images, for a network whose answer does not depend on the place in the picture (zero padding at
the edges can make it depend).

**The receptive field that is needed.** The largest cell decides, so the receptive fields of the cells within the
tolerance of the joint must hold the cue. A receptive field of r px to every side of a cell holds no pixel of the cue
where r < `distance` - LIMB - CUE - 0.2 * TORSO (at all limbs), and holds one at every joint where
r >= `distance` + LIMB; in between it does at some joints: `fraction_with_cue` counts them.

**A way to learn it.** A network with a large receptive field may fail to learn a cue that few of its paths reach. With
`nearest` the limbs of each training figure (twins have the same) lie at a distance drawn uniformly from `nearest` to
`distance`, so that it is first learned at short distances. Validation figures and their optimum do not change.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt

from bench.data.examples import Examples
from bench.data.people import examples
from bench.data.skeleton import OCCLUDED, VISIBLE
from bench.data.synthetic import Colour, Grid, Pixels, noise, paint, stream
from bench.registry import Bounds, dataset

NAMES = (
    "head_top", "thorax", "pelvis",
    "left_elbow", "left_wrist", "right_elbow", "right_wrist",
    "left_knee", "left_ankle", "right_knee", "right_ankle",
)  # fmt: skip
BODY = 3
"""The number of joints along the middle, first in NAMES; the limbs follow, inner and outer end in turn."""
TWIN = (0, 1, 2, 5, 6, 3, 4, 9, 10, 7, 8)
TORSO = 20.0
"""Px from thorax to pelvis and, upwards, half as many to the head."""
LIMB = 6.0
LEAST = 13
"""The least distance, in px, of limbs from the thorax at which they do not touch the body."""
HAND, CUE, HEAD, PELVIS = 2.0, 3.0, 2.5, 2.5
THICK = 0.8
BOX = 3
MARGIN = 3.0

GROUND, GREY, RED, GREEN, VIOLET = (60, 70, 80), (160, 160, 160), (220, 70, 60), (60, 180, 90), (140, 60, 170)
FRONT, BACK = (230, 200, 40), (40, 90, 210)
CHUNK = 256
"""Images that are drawn at a time, an even number."""

Points = npt.NDArray[np.float64]


@dataset(
    task="pose",
    licence="Apache-2.0: drawn by this program",
    source="fovbench, synthetic dataset with a known optimum",
    embedded=True,
    requires={"joints": 11},
)
def stickman(
    root: Path | None,
    split: str,
    shape: tuple[int, int, int],
    *,
    distance: Annotated[int, Bounds(LEAST, 256)] = 14,
    nearest: Annotated[int, Bounds(0, 256)] = 0,
    occlusion: Annotated[float, Bounds(0, 1)] = 0.0,
    train_count: Annotated[int, Bounds(1, 65536)] = 1024,
    val_count: Annotated[int, Bounds(2, 65536)] = 128,
    seed: Annotated[int, Bounds(0, 4294967295)] = 0,
) -> Examples:
    """A body with four limbs alike, whose left and right only a colour `distance` px away distinguishes.

    `shape` is (C, H, W). `nearest`: the least distance of a training figure's limbs; 0 means `distance`. Needs
    no `root`. Raises ValueError where the figure does not fit into the image, for a `nearest` beyond `distance` or
    that puts limbs onto the body, for an odd count of validation images (twins come in pairs), or for an unknown
    split.
    """
    if nearest and not LEAST <= nearest <= distance:
        raise ValueError(f"'nearest' is from {LEAST} to the distance, {distance}, or 0, not {nearest}")
    rng = stream(seed, split)
    count = train_count if split == "train" else val_count
    if split == "val" and count % 2:
        raise ValueError(f"stickman's validation images are pairs of twins: 'val_count' must be even, not {count}")
    joints, front = layout(rng, count, shape, distance, nearest if split == "train" else 0)
    hidden = np.repeat(rng.random(((count + 1) // 2, len(NAMES))) < occlusion, 2, axis=0)[:count]
    hidden[1::2] = hidden[1::2][:, TWIN]
    return examples(
        draw(rng, joints, front, hidden, shape),
        joints,
        np.where(hidden, OCCLUDED, VISIBLE).astype(np.uint8),
        NAMES,
        lengths={"torso": np.full(count, TORSO)},
        optimum=best(hidden),
        publishable=True,
    )


def best(hidden: Grid) -> dict[str, float]:
    """The best scores, from which joints (N, K) are hidden; see the module's text."""
    ambiguous = 1 - hidden[:, NAMES.index("thorax")].mean() / 2
    everywhere = (BODY + (len(NAMES) - BODY) * ambiguous) / len(NAMES)
    return {
        "pck": float(everywhere),
        "pck_ambiguous": float(ambiguous),
        "pck_unambiguous": 1.0,
        "left_right": float(ambiguous),
        "pck_ambiguous@body": 0.5,
        "pck_ambiguous@limb": 0.25,
        "left_right@body": 0.5,
    }


def layout(
    rng: np.random.Generator, count: int, shape: tuple[int, int, int], distance: int, nearest: int = 0
) -> tuple[Points, Grid]:
    """Joints (count, K, 2) as (x, y) in px, and whether each (count,) is seen from the front; 2i, 2i+1 are twins.

    Raises ValueError where the figure does not fit.
    """
    pairs = (count + 1) // 2
    arm = distance + LIMB + HAND + MARGIN
    below = max(arm, TORSO + PELVIS + MARGIN)
    low, high = np.array([arm, arm]), np.array([shape[2] - 1 - arm, shape[1] - 1 - below])
    if (high < low).any():
        raise ValueError(f"a figure with limbs at {distance} px does not fit into {shape[1]} x {shape[2]} px")
    thorax = rng.uniform(low, high, (pairs, 2))
    angle = rng.uniform(0, 2 * np.pi, (pairs, 4))
    front = rng.random(pairs) < 0.5
    joints = thorax[:, None] + figure(angle, distances(rng, pairs, distance, nearest))
    # figure() is seen from the front; the same limbs seen from behind are the other side's.
    joints = np.where(front[:, None, None], joints, joints[:, TWIN])
    twins = np.stack([joints, joints[:, TWIN]], axis=1).reshape(2 * pairs, len(NAMES), 2)
    return twins[:count], np.stack([front, ~front], axis=1).reshape(-1)[:count]


def distances(rng: np.random.Generator, pairs: int, distance: int, nearest: int) -> Points:
    """Px from thorax to limbs of each pair of twins: float64 (pairs,)."""
    if not nearest:
        return np.full(pairs, float(distance))
    return rng.uniform(nearest, distance, pairs)


def figure(angle: Points, distance: Points | float) -> Points:
    """Joints (n, K, 2) relative to the thorax, of a person seen from the front, whose limbs point at `angle` (n, 4).

    `distance` is one number for all, or one for each (n,).
    """
    corners = np.array([[1, -1], [-1, -1], [1, 1], [-1, 1]])  # left arm, right arm, left leg, right leg
    inner = np.broadcast_to(np.asarray(distance, dtype=np.float64), len(angle))[:, None, None] * corners
    outer = inner + LIMB * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    limbs = np.stack([inner, outer], axis=2).reshape(len(angle), -1, 2)
    body = np.array([[0.0, -TORSO / 2], [0.0, 0.0], [0.0, TORSO]])
    return np.concatenate([np.broadcast_to(body, (len(angle), BODY, 2)), limbs], axis=1)


def draw(rng: np.random.Generator, joints: Points, front: Grid, hidden: Grid, shape: tuple[int, int, int]) -> Pixels:
    """Images uint8 (N, C, H, W); twins share their noise and all pixels but those of the cue."""
    images = np.repeat(noise(rng, (len(joints) + 1) // 2, shape), 2, axis=0)[: len(joints)]
    for start in range(0, len(joints), CHUNK):
        part = slice(start, start + CHUNK, 2)
        layers = list(_layers(joints[part], front[part], hidden[part], shape[1:]))
        where = _topmost([each for _, each in layers])
        colours = [colour for colour, _ in layers]
        images[part] = paint(images[part], where, colours)
        twins = images[start + 1 : start + CHUNK : 2]
        exchanged = [{FRONT: BACK, BACK: FRONT}.get(colour, colour) for colour in colours]
        twins[:] = paint(twins.copy(), [each[: len(twins)] for each in where], exchanged)
    return images


def _layers(joints: Points, front: Grid, hidden: Grid, size: tuple[int, int]) -> Iterator[tuple[Colour, Grid]]:
    """The layers from the ground up: a colour and its mask (N, H, W)."""
    head, thorax, pelvis = (joints[:, i] for i in range(BODY))
    inner, outer = joints[:, BODY::2], joints[:, BODY + 1 :: 2]
    yield GROUND, np.ones((len(joints), *size), dtype=bool)
    sticks = [near(inner[:, k], outer[:, k], size) <= THICK for k in range(4)]
    yield GREY, np.logical_or.reduce([near(head, pelvis, size) <= THICK, *sticks])
    yield GREY, np.logical_or.reduce([near(outer[:, k], outer[:, k], size) <= HAND for k in range(4)])
    yield RED, near(head, head, size) <= HEAD
    yield GREEN, near(pelvis, pelvis, size) <= PELVIS
    cue = near(thorax, thorax, size) <= CUE
    yield FRONT, cue & front[:, None, None]
    yield BACK, cue & ~front[:, None, None]
    yield VIOLET, _boxes(joints, hidden, size)


def near(a: Points, b: Points, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """The distance in px of every pixel to the stretch from `a` to `b` (N, 2): (N, H, W)."""
    y, x = np.indices(size, dtype=np.float32)
    (ax, ay), (dx, dy) = (ends.astype(np.float32).T[:, :, None, None] for ends in (a, b - a))
    along = ((x - ax) * dx + (y - ay) * dy) / np.maximum(dx**2 + dy**2, np.float32(1e-12))
    t = np.clip(along, 0, 1)
    distance: npt.NDArray[np.float32] = np.sqrt((x - ax - t * dx) ** 2 + (y - ay - t * dy) ** 2)
    return distance


def _boxes(joints: Points, hidden: Grid, size: tuple[int, int]) -> Grid:
    """Boxes of 2 * BOX + 1 px about the pixel of each hidden joint: (N, H, W)."""
    y, x = np.indices(size)
    covered = np.zeros((len(joints), *size), dtype=bool)
    for place, flags in zip(np.rint(joints).transpose(1, 2, 0)[..., None, None], hidden.T, strict=True):
        covered |= (np.maximum(abs(x - place[0]), abs(y - place[1])) <= BOX) & flags[:, None, None]
    return covered


def _topmost(layers: list[Grid]) -> list[Grid]:
    """The same layers, each only where no later one covers it."""
    visible, covered = [], np.zeros_like(layers[0])
    for layer in reversed(layers):
        visible.append(layer & ~covered)
        covered |= layer
    return visible[::-1]


def radius_to_cue(joints: Points) -> npt.NDArray[np.int64]:
    """For each limb joint (N, K - BODY): the radius of the least receptive field that holds a pixel of the cue."""
    thorax = joints[:, NAMES.index("thorax")]
    side = np.arange(-int(CUE) - 1, int(CUE) + 2)
    pixels = np.rint(thorax).astype(np.int64)[:, None] + np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    painted = np.linalg.norm(pixels - thorax[:, None], axis=-1) <= CUE
    at = np.rint(joints[:, BODY:]).astype(np.int64)
    away = np.abs(at[:, :, None] - pixels[:, None]).max(axis=-1)
    nearest: npt.NDArray[np.int64] = np.where(painted[:, None], away, np.iinfo(np.int64).max).min(axis=-1)
    return nearest


def fraction_with_cue(
    radius: int,
    *,
    distance: int = 14,
    split: str = "val",
    shape: tuple[int, int, int] = (3, 64, 64),
    count: int = 128,
    seed: int = 0,
) -> float:
    """The fraction of limb joints where a receptive field of `radius` px to every side holds a pixel of the cue."""
    joints, _ = layout(stream(seed, split), count, shape, distance)
    return float((radius_to_cue(joints) <= radius).mean())
