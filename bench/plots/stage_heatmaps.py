"""Heatmaps of each stage of a network of several stages, on one picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.data.skeleton import SIDES, side
from bench.display.figure import names
from bench.display.pictures import in_colour, picture_rows, show_picture
from bench.display.sides import LOOKS
from bench.plots.skeletons import pose_evaluations
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    Array = np.ndarray[Any, Any]

PREFIX = "stage:"
END = "wrist"
"""The joint that is shown, where the dataset has it; else the first joint with a left and a right one."""
DIM = 0.35
"""Brightness of the picture under the maps."""


@plot(order=52)
def stage_heatmaps(results: Results) -> Iterator[tuple[str, Figure]]:
    """Heatmaps of a left and a right joint after every stage, for each variant with several stages; one picture."""
    evaluations = {v: e for v, e in pose_evaluations(results).items() if _maps(e)}
    widest = max((len(_maps(e)) for e in evaluations.values()), default=0)
    if widest < 2:
        return
    first, texts = next(iter(evaluations.values())), names(results)
    joint = shown_joint(first.names)
    shape = first.samples["images"].shape[1:3]
    figure, grid = picture_rows([texts[v] for v in evaluations], widest, shape, _caption(joint), below=0.2)
    for line, evaluation in zip(grid, evaluations.values(), strict=True):
        _row(line, evaluation, joint)
    yield "stage_heatmaps", figure


def _caption(joint: str) -> str:
    left, right = (LOOKS[side].word for side in SIDES)
    return (
        f"Heatmaps of the left ({left}) and the right ({right}) {joint} after each stage, on one picture of the "
        "evaluation split, each map scaled to its largest value; a mixed colour where both are likely"
    )


def _row(line: Sequence[Any], evaluation: Evaluation, joint: str) -> None:
    """The maps of one variant, stage by stage."""
    maps = _maps(evaluation)
    for axes, (name, stage) in zip(line, maps.items(), strict=False):
        show_picture(axes, painted(evaluation.samples["images"][0], stage[0], evaluation.names, joint))
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


def painted(image: Array, maps: Array, names: Sequence[str], joint: str) -> Array:
    """The dimmed picture (H, W, 3) under the maps (K, h, w) of both sides' joints, as floats 0 to 1."""
    import numpy as np

    height, width = image.shape[:2]
    stride = 1 << int(np.ceil(np.log2(max(height / maps.shape[1], width / maps.shape[2]))))
    picture = DIM * in_colour(image) / 255
    for one in SIDES:
        heights = maps[names.index(f"{one}_{joint}")] / 255
        fine = heights.repeat(stride, axis=0).repeat(stride, axis=1)[:height, :width, None]
        picture = picture * (1 - 0.5 * fine) + fine * np.array(LOOKS[one].rgb) / 255
    clipped: Array = np.clip(picture, 0, 1)
    return clipped
