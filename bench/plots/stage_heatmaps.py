"""Heatmaps of each stage of a network of several stages, on one picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.data.skeleton import SIDES, side
from bench.display.figure import INK, names
from bench.display.pictures import by_samples, in_colour, picture_rows, show_picture
from bench.display.sides import LOOKS
from bench.plots.skeletons import pose_evaluations
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    Array = np.ndarray[Any, Any]

Part = tuple[slice, slice]
"""Rows and columns of a picture."""
PREFIX = "stage:"
END = "wrist"
"""The joint that is shown, where the dataset has it; else the first joint with a left and a right one."""
GREY = (0.25, 0.6)
"""Black and white of the picture under the maps: both differ from a light and from a dark page."""
LIT = 128
"""Half of a map's greatest value: the part of the picture that is shown contains all pixels from there on."""
MARGIN = 0.15
"""Of the side of this part, on each side."""
FRAME: dict[str, Any] = {"visible": True, "color": INK, "alpha": 0.5, "linewidth": 0.8}


@plot(order=52)
def stage_heatmaps(results: Results) -> Iterator[tuple[str, Figure]]:
    """Heatmaps of a left and a right joint after every stage, for each variant with several stages; one picture."""
    evaluations = {v: e for v, e in pose_evaluations(results).items() if _maps(e)}
    widest = max((len(_maps(e)) for e in evaluations.values()), default=0)
    if widest < 2:
        return
    first, texts = next(iter(evaluations.values())), names(results)
    joint = shown_joint(first.names)
    parts = {
        variant: part
        for group in by_samples(evaluations, "images")
        for variant, part in dict.fromkeys(group, _part(group, joint)).items()
    }
    shape = first.samples["images"][0][parts[next(iter(parts))]].shape[:2]
    figure, grid = picture_rows([texts[v] for v in evaluations], widest, shape, _caption(joint), below=0.2)
    for line, (variant, evaluation) in zip(grid, evaluations.items(), strict=True):
        _row(line, evaluation, joint, parts[variant])
    yield "stage_heatmaps", figure


def _caption(joint: str) -> str:
    left, right = (LOOKS[side].word for side in SIDES)
    return (
        f"Heatmaps of the left ({left}) and the right ({right}) {joint} after each stage, on the part around them of "
        "the first picture of the evaluation split, in grey; each map is scaled to its largest value; pale "
        "where both are likely"
    )


def _part(evaluations: Mapping[str, Evaluation], joint: str) -> Part:
    """Rows and columns of the first picture around the maps of all stages of evaluations with the same picture."""
    import numpy as np

    shape = next(iter(evaluations.values())).samples["images"].shape[1:3]
    maps = [_fine(stage[0][_number(e, side, joint)], shape) for e in evaluations.values() for stage in _maps(e).values()
            for side in SIDES]  # fmt: skip
    return around(np.any([each >= LIT for each in maps], axis=0))


def around(lit: Array) -> Part:
    """Rows and columns of a square with a margin around the pixels that are lit (H, W), cut at the picture's edges.

    The whole picture where none is lit.
    """
    import numpy as np

    if not lit.any():
        return slice(0, lit.shape[0]), slice(0, lit.shape[1])
    rows, columns = np.nonzero(lit)
    side = round((1 + 2 * MARGIN) * (1 + max(np.ptp(rows), np.ptp(columns))))
    return _span(rows, side, lit.shape[0]), _span(columns, side, lit.shape[1])


def _span(places: Array, length: int, end: int) -> slice:
    """So many places of 0 to `end`, with these in the middle as far as the ends permit."""
    length = min(length, end)
    start = (int(places.min()) + int(places.max()) + 1 - length) // 2
    start = min(max(start, 0), end - length)
    return slice(start, start + length)


def _row(line: Sequence[Any], evaluation: Evaluation, joint: str, part: Part) -> None:
    """The maps of one variant, stage by stage."""
    maps = _maps(evaluation)
    for axes, (name, stage) in zip(line, maps.items(), strict=False):
        show_picture(axes, painted(evaluation.samples["images"][0], stage[0], evaluation.names, joint)[part])
        axes.spines[:].set(**FRAME)
        axes.set_xlabel(name, labelpad=2)
    for axes in line[len(maps) :]:
        axes.set_axis_off()


def shown_joint(names: Sequence[str]) -> str:
    """The joint to show, without its side."""
    paired = [name.partition("_")[2] for name in names if side(name)]
    return END if END in paired else paired[0]


def _maps(evaluation: Evaluation) -> Mapping[str, Array]:
    """Stage -> its maps (k, K, h, w), stage 1 first, the last called so; empty where the network gives coordinates."""
    samples = evaluation.samples.items()
    maps = {name.removeprefix(PREFIX): m for name, m in samples if name.startswith(PREFIX) and m.ndim == 4}
    earlier = sorted((name for name in maps if name != "out"), key=lambda name: int(name.removeprefix("stage")))
    named = {name.replace("stage", "stage "): maps[name] for name in earlier}
    return named | ({"last stage" if earlier else "only stage": maps["out"]} if "out" in maps else {})


def _number(evaluation: Evaluation, side: str, joint: str) -> int:
    return evaluation.names.index(f"{side}_{joint}")


def painted(image: Array, maps: Array, names: Sequence[str], joint: str) -> Array:
    """The picture (H, W, 3) in grey under the maps (K, h, w) of both sides' joints, as floats 0 to 1."""
    import numpy as np

    black, white = GREY
    grey = black + (white - black) * in_colour(image).mean(axis=2, keepdims=True) / 255
    sides = {one: _fine(maps[names.index(f"{one}_{joint}")], image.shape[:2])[:, :, None] / 255 for one in SIDES}
    colours = sum(fine * np.array(LOOKS[one].rgb) / 255 for one, fine in sides.items())
    picture = grey * (1 - np.maximum(*sides.values())) + colours
    clipped: Array = np.clip(picture, 0, 1)
    return clipped


def _fine(heights: Array, shape: tuple[int, ...]) -> Array:
    """A map (h, w) in the pixels of its picture (H, W)."""
    import numpy as np

    height, width = shape
    stride = 1 << int(np.ceil(np.log2(max(height / heights.shape[0], width / heights.shape[1]))))
    fine: Array = heights.repeat(stride, axis=0).repeat(stride, axis=1)[:height, :width]
    return fine
