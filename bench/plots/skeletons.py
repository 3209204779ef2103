"""Predicted joints of a few people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.data.skeleton import UNKNOWN, limbs, side
from bench.display.figure import names
from bench.display.legend import legend_below
from bench.display.pictures import OTHER_IMAGES, by_samples, picture_rows, publishable, show_picture
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
    groups, texts = by_samples(evaluations, "images", "numbers"), names(results)
    rows = [row for group in groups for row in _rows(group, texts)]
    images = rows[0].images
    caption = (
        "People of the evaluation split, their annotated joints, and the joints that each variant predicts (its first "
        f"seed); {', '.join(f'{NAMES[each]}: {look.word}' for each, look in LOOKS.items())}"
        f"{OTHER_IMAGES if len(groups) > 1 else ''}"
    )
    most = max(len(row.images) for row in rows)
    figure, grid = picture_rows([row.name for row in rows], most, images.shape[1:3], caption)
    for line, row in zip(grid, rows, strict=True):
        _row(line, row)
    _legend(figure)
    yield "skeletons", figure


@dataclass(frozen=True)
class Row:
    """The joints of one evaluation on its pictures, at `places`: `truth` or a decoding."""

    name: str
    evaluation: Evaluation
    places: str

    @property
    def images(self) -> Array:
        """Bytes (N, H, W, C)."""
        return self.evaluation.samples["images"]


def _rows(group: Mapping[str, Evaluation], texts: Mapping[str, str]) -> Iterator[Row]:
    """The ground truth of variants that have the same images, and below it their predictions."""
    yield Row("ground truth", next(iter(group.values())), "truth")
    for variant, evaluation in group.items():
        yield Row(texts[variant], evaluation, decoding_of(evaluation))


def _row(line: Sequence[Axes], row: Row) -> None:
    for axes, image, number in zip(line, row.images, row.evaluation.samples["numbers"], strict=False):
        draw(axes, image, row.evaluation, int(number), row.places)
    for axes in line[len(row.images) :]:
        axes.set_axis_off()


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
