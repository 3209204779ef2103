"""Predicted joints of a few people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.data.skeleton import UNKNOWN, limbs, side
from bench.display.figure import names
from bench.display.legend import legend_below
from bench.display.pictures import picture_rows, publishable, show_picture
from bench.display.sides import LOOKS, NAMES, look_of
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results
from bench.tasks.keypoints import decoding_of

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Array = np.ndarray[Any, Any]


@plot(order=51)
def skeletons(results: Results) -> Iterator[tuple[str, Figure]]:
    """People of the evaluation split with their annotated joints and each variant's predictions; only of datasets
    whose pictures may be shown."""
    evaluations = pose_evaluations(results)
    if not evaluations:
        return
    first, texts = next(iter(evaluations.values())), names(results)
    images = first.samples["images"]
    rows = {"ground truth": (first, "truth")} | {texts[v]: (e, decoding_of(e)) for v, e in evaluations.items()}
    caption = (
        "People of the evaluation split, their annotated joints, and the joints that each variant predicts (its first "
        f"seed); {', '.join(f'{NAMES[each]}: {look.word}' for each, look in LOOKS.items())}"
    )
    figure, grid = picture_rows([*rows], len(images), images.shape[1:3], caption)
    for line, (evaluation, places) in zip(grid, rows.values(), strict=True):
        for axes, image, number in zip(line, images, first.samples["numbers"], strict=True):
            draw(axes, image, evaluation, int(number), places)
    _legend(figure)
    yield "skeletons", figure


def pose_evaluations(results: Results) -> dict[str, Evaluation]:
    """The evaluations of poses of each variant's first seed, of datasets whose pictures may be shown."""
    evaluations = publishable(results, "images", "numbers")
    return {variant: evaluation for variant, evaluation in evaluations.items() if evaluation.task == "pose"}


def draw(axes: Axes, image: Array, evaluation: Evaluation, number: int, places: str) -> None:
    """A picture (H, W, C) and over it the joints of image `number` at `places`: `truth` or a decoding.

    Of the ground truth only the annotated joints.
    """
    show_picture(axes, image)
    people = {name.removeprefix("people:"): values for name, values in evaluation.summaries.items()}
    rows = people["image"] == number
    joints, flags = people[places][rows], people["visible"][rows]
    shown = [places != "truth" or flag != UNKNOWN for flag in flags]
    for outer, inner in limbs(evaluation.names):
        if shown[outer] and shown[inner]:
            ends, look = joints[[outer, inner]], look_of(evaluation.names[outer])
            axes.plot(ends[:, 0], ends[:, 1], color=look.colour, linestyle=look.linestyle, linewidth=1.6)
    for name, look in LOOKS.items():
        rows = [i for i, joint in enumerate(evaluation.names) if shown[i] and side(joint) == name]
        edge: dict[str, Any] = {"edgecolors": "white", "linewidths": 0.4, "zorder": 3}
        axes.scatter(joints[rows, 0], joints[rows, 1], s=12, color=look.colour, marker=look.marker, **edge)


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    looks: dict[str, Any] = {"markersize": 4, "linewidth": 1.6}
    handles = [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle=look.linestyle, **looks)
        for look in LOOKS.values()
    ]
    legend_below(figure, handles, [NAMES[each] for each in LOOKS])
