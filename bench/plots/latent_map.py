"""Where the codes of images lie."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.display.figure import legend_below, new
from bench.display.mosaic import WIDTH, bare, first_evaluations, titles
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 1500


@plot(order=54)
def latent_map(results: Results) -> Iterator[tuple[str, Figure]]:
    """Posterior means on the two latents of the largest spread, coloured by class."""
    parts = {"code_mean", "label"}
    found = {v: e for v, e in first_evaluations(results).items() if parts <= e.units.keys() and _latents(e) > 1}
    if not found:
        return
    columns = min(3, len(found))
    rows, names = -(-len(found) // columns), titles(results)
    text = "Posterior means of images of the evaluation split, on the two latents where they spread most, by class"
    height = WIDTH / max(columns, 2) * rows + 0.5
    figure, axes = new(WIDTH if columns > 1 else WIDTH / 2, height, text, rows, columns)
    for panel in axes[len(found) :]:
        bare(panel)
    for panel, (variant, evaluation) in zip(axes, found.items(), strict=False):
        _scatter(panel, evaluation)
        panel.set_title(names[variant])
    _legend(figure, next(iter(found.values())))
    yield "latent_map", figure


def _latents(evaluation: Evaluation) -> int:
    return int(evaluation.units["code_mean"].shape[1])


def _colours(evaluation: Evaluation) -> list[str]:
    return ["#" + bytes(colour).hex() for colour in evaluation.facts["palette"]]


def _scatter(axes: Axes, evaluation: Evaluation) -> None:
    codes, classes = evaluation.units["code_mean"][:MOST], evaluation.units["label"][:MOST]
    first, second = (-codes.var(axis=0)).argsort(kind="stable")[:2]
    colours = _colours(evaluation)
    shades = [colours[label] for label in classes]
    axes.scatter(codes[:, first], codes[:, second], c=shades, s=4, linewidths=0, alpha=0.7, rasterized=True)
    axes.set_xlabel(f"latent {first + 1}")
    axes.set_ylabel(f"latent {second + 1}")
    axes.set_aspect("equal", adjustable="datalim")


def _legend(figure: Figure, evaluation: Evaluation) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=c, linestyle="", marker="o", markersize=5) for c in _colours(evaluation)]
    legend_below(figure, handles, evaluation.names, columns=5)
