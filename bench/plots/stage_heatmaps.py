"""How a network of several stages makes up its mind: the heatmaps of each stage on one picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bench.data.skeleton import COLOURS, SIDES, side
from bench.display.figure import labels, new
from bench.plots.skeletons import bare, first_of
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    Array = np.ndarray[Any, Any]

PREFIX = "stage:"
END = "wrist"
"""The joint whose maps are shown, where there is one of that name; else the first that there are two of."""
DIM = 0.35
"""How much of the picture is left under the maps."""


@plot(order=52)
def stage_heatmaps(results: Results) -> Iterator[tuple[str, Figure]]:
    """Heatmaps of a left and a right joint after every stage, for each variant that has stages; one picture."""
    shown = {v: e for v in results.variants if (e := first_of(results, v)) is not None and _maps(e)}
    widest = max((len(_maps(e)) for e in shown.values()), default=0)
    if widest < 2:
        return
    some = next(iter(shown.values()))
    joint, texts = told(some.names), labels(results)
    height, width = some.samples["images"].shape[1:3]
    wide = 6.4 / widest
    caption = (
        f"What each stage says of the left (green) and the right (red) {joint} on one picture of the evaluation split, "
        "each map scaled to its largest value; yellow where both are likely"
    )
    figure, grid = new(8.4, (wide * height / width + 0.25) * len(shown) + 0.2, caption, len(shown), widest)
    for i, (variant, evaluation) in enumerate(shown.items()):
        line, maps = grid[i * widest : (i + 1) * widest], _maps(evaluation)
        for axes, (name, stage) in zip(line, maps.items(), strict=False):
            bare(axes, painted(evaluation.samples["images"][0], stage[0], evaluation.names, joint))
            axes.set_title(name, fontsize=8, pad=2)
        for axes in line[len(maps) :]:
            axes.set_axis_off()
        line[0].set_ylabel(texts[variant], rotation=0, ha="right", va="center", labelpad=8)
    yield "stage_heatmaps", figure


def told(names: tuple[str, ...]) -> str:
    """The joint to show, without its side."""
    both = [name.partition("_")[2] for name in names if side(name)]
    return END if END in both else both[0]


def _maps(evaluation: Evaluation) -> Mapping[str, Array]:
    """Stage -> its maps (k, K, h, w), in order: stage 1 first, the last named so; none where all are coordinates."""
    held = {n.removeprefix(PREFIX): m for n, m in evaluation.samples.items() if n.startswith(PREFIX) and m.ndim == 4}
    earlier = sorted((name for name in held if name != "out"), key=lambda name: int(name.removeprefix("stage")))
    named = {name.replace("stage", "stage "): held[name] for name in earlier}
    return named | ({"last stage" if earlier else "only stage": held["out"]} if "out" in held else {})


def painted(image: Array, maps: Array, names: tuple[str, ...], joint: str) -> Array:
    """The dimmed picture (H, W, 3) under the maps (K, h, w) of both sides' joints, as floats 0 to 1."""
    import numpy as np

    height, width = image.shape[:2]
    stride = 1 << int(np.ceil(np.log2(max(height / maps.shape[1], width / maps.shape[2]))))
    found = DIM * image.repeat(3 // image.shape[2], axis=2) / 255
    for one in SIDES:
        shares = maps[names.index(f"{one}_{joint}")] / 255
        fine = shares.repeat(stride, axis=0).repeat(stride, axis=1)[:height, :width, None]
        found = found * (1 - 0.5 * fine) + fine * np.array(COLOURS[one]) / 255
    clipped: Array = np.clip(found, 0, 1)
    return clipped
