"""Where the trained networks put the joints of a few people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.data.skeleton import COLOURS, UNKNOWN, limbs, side
from bench.display.figure import labels, legend_below, new
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results
from bench.tasks.keypoints import decoding_of

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Array = np.ndarray[Any, Any]

WORDS = {"left": "left", "right": "right", "": "middle"}


@plot(order=51)
def skeletons(results: Results) -> Iterator[tuple[str, Figure]]:
    """People of the evaluation split with their true joints and each variant's; only where pictures may be shown."""
    shown = {v: e for v in results.variants if (e := first_of(results, v)) is not None}
    if not shown:
        return
    some = next(iter(shown.values()))
    images, texts = some.samples["images"], labels(results)
    rows = {"truth": (some, "truth")} | {texts[v]: (e, decoding_of(e)) for v, e in shown.items()}
    wide = 6.0 / len(images)
    high = wide * images.shape[1] / images.shape[2] + 0.06
    caption = "People of the evaluation split, their true joints, and where each variant (its first seed) puts them"
    figure, grid = new(8.2, high * len(rows) + 0.5, caption, len(rows), len(images))
    for i, (name, (evaluation, places)) in enumerate(rows.items()):
        line = grid[i * len(images) : (i + 1) * len(images)]
        for axes, image, number in zip(line, images, some.samples["numbers"], strict=True):
            draw(axes, image, evaluation, int(number), places)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", labelpad=8)
    _legend(figure)
    yield "skeletons", figure


def first_of(results: Results, variant: str) -> Evaluation | None:
    """The evaluation of the variant's first seed, where it is one of poses whose pictures may be shown."""
    seeds = sorted(seed for name, seed in results.evaluations if name == variant)
    held = results.evaluations[variant, seeds[0]] if seeds else None
    shown = held is not None and held.task == "pose" and held.facts.get("publishable") is True
    return held if shown and held and {"images", "numbers"} <= held.samples.keys() else None


def draw(axes: Axes, image: Array, evaluation: Evaluation, number: int, places: str) -> None:
    """A picture (H, W, C) and over it the joints of image `number` at these places; of the truth those annotated."""
    bare(axes, image)
    rows = evaluation.units["image"] == number
    joints, seen = evaluation.units[places][rows], evaluation.units["visible"][rows]
    hidden = seen == UNKNOWN if places == "truth" else seen != seen
    for outer, inner in limbs(evaluation.names):
        if not hidden[outer] and not hidden[inner]:
            ends = joints[[outer, inner]]
            axes.plot(ends[:, 0], ends[:, 1], color=colour(evaluation.names[outer]), linewidth=1.6, clip_on=True)
    colours = [colour(name) for name, gone in zip(evaluation.names, hidden, strict=True) if not gone]
    axes.scatter(joints[~hidden, 0], joints[~hidden, 1], s=12, c=colours, edgecolors="white", linewidths=0.4, zorder=3)


def bare(axes: Axes, image: Array) -> None:
    """A picture without ticks; the view is the picture's."""
    axes.imshow(image.repeat(3 // image.shape[2], axis=2), interpolation="none")
    axes.set_xlim(-0.5, image.shape[1] - 0.5)
    axes.set_ylim(image.shape[0] - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)


def colour(name: str) -> str:
    """The colour of a joint's side, as matplotlib wants it."""
    return "#" + bytes(COLOURS[side(name)]).hex()


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color="#" + bytes(COLOURS[s]).hex(), marker="o", markersize=4) for s in WORDS]
    legend_below(figure, handles, [*WORDS.values()], columns=3)
