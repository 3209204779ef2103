"""Codes of images on two latents, by class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.display.figure import MARKERS, WIDTH, new, seaborn, titles
from bench.display.legend import legend_below
from bench.display.pictures import bare, first_evaluations
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@plot(order=54)
def latent_map(results: Results) -> Iterator[tuple[str, Figure]]:
    """Posterior means on the two latents of the largest spread, coloured by class."""
    evaluations = {v: e for v, e in first_evaluations(results).items() if _latents(e) > 1}
    if not evaluations:
        return
    columns = min(2, len(evaluations))
    rows, texts = -(-len(evaluations) // columns), titles(results, 16)
    caption = "Posterior means of images of the evaluation split on the two latents of the largest spread, by class"
    height = (WIDTH / columns + 0.2) * rows
    figure, grid = new(WIDTH, height, caption, rows, columns)
    for axes in grid[len(evaluations) :]:
        bare(axes)
    for axes, (variant, evaluation) in zip(grid, evaluations.items(), strict=False):
        _scatter(axes, evaluation)
        axes.set_title(texts[variant])
    _legend(figure, next(iter(evaluations.values())))
    yield "latent_map", figure


def _latents(evaluation: Evaluation) -> int:
    return int(evaluation.summaries["codes"].shape[1]) if {"codes", "labels"} <= evaluation.summaries.keys() else 0


def _colours(evaluation: Evaluation) -> dict[str, str]:
    """Class -> its colour in the dataset's own palette."""
    return dict(zip(evaluation.names, ["#" + bytes(colour).hex() for colour in evaluation.facts["palette"]]))


def _markers(evaluation: Evaluation) -> dict[str, str]:
    return {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(evaluation.names)}


def _scatter(axes: Axes, evaluation: Evaluation) -> None:
    first, second = (-evaluation.summaries["code_variances"]).argsort(kind="stable")[:2]
    codes, classes = evaluation.summaries["codes"], evaluation.summaries["labels"]
    names = [evaluation.names[label] for label in classes]
    look = {"s": 12, "linewidth": 0, "alpha": 0.7, "rasterized": True, "legend": False}
    who = {"hue": names, "palette": _colours(evaluation), "style": names, "markers": _markers(evaluation)}
    with seaborn() as sns:
        sns.scatterplot(x=codes[:, 0], y=codes[:, 1], ax=axes, **who, **look)
    axes.set_xlabel(f"latent {first + 1}")
    axes.set_ylabel(f"latent {second + 1}")
    axes.set_aspect("equal", adjustable="datalim")


def _legend(figure: Figure, evaluation: Evaluation) -> None:
    from matplotlib.lines import Line2D

    colours, markers = _colours(evaluation), _markers(evaluation)
    look: dict[str, Any] = {"linestyle": "none", "markersize": 5}
    handles = [Line2D([], [], color=colours[name], marker=markers[name], **look) for name in evaluation.names]
    legend_below(figure, handles, evaluation.names)
