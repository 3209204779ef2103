"""The figure that answers: its form follows from the design of the ablation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from bench.analysis.leading import main_column
from bench.analysis.summary import Column, Summary, summarise
from bench.display.answers import unmeasured
from bench.display.shape import Shape, shape_of
from bench.plots import answer_curve, answer_differences, answer_frontier, answer_grid
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWINGS: Mapping[Shape, Callable[[Summary, Column], Figure | None]] = {
    "differences": answer_differences.draw,
    "curve": answer_curve.draw,
    "grid": answer_grid.draw,
    "frontier": answer_frontier.draw,
}


@plot(order=5)
def answer(results: Results) -> Iterator[tuple[str, Figure]]:
    """The main metric, drawn by the design: against the one numeric axis, as a heat map of two axes, against a cost
    for families of networks, else the differences with their intervals. Nothing for fewer than two variants, nor where
    the metric that would answer was not measured."""
    summary = summarise(results)
    column = main_column(summary)
    if column is None or unmeasured(summary) or len(summary.measured(column.metric)) < 2:
        return
    figure = DRAWINGS[shape_of(summary, column)](summary, column)
    if figure is not None:
        yield "answer", figure
