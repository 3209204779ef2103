"""How times scatter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.analysis.summary import Aggregate, Column, Summary, summarise
from bench.display.figure import INK, beside, new, rows_height, scaled, styles, variant_rows
from bench.display.numbers import heading, show, style_of
from bench.registry import plot
from bench.results.results import Results
from bench.stats.descriptive import quantile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RASTERISED = 2000


@plot(order=70)
def speed_samples(results: Results) -> Iterator[tuple[str, Figure]]:
    """Every sample of the speed metrics, with median, quartiles and the 5 and 95 % quantiles."""
    summary = summarise(results)
    for column in summary.columns:
        if column.kind == "speed" and any(aggregate.quartiles for aggregate in summary.of(column.metric)):
            yield f"{column.metric}_samples", _figure(summary, column)


def _figure(summary: Summary, column: Column) -> Figure:
    caption = f"Every sample of {column.metric}; upright: median, thick: quartiles, thin: 5 to 95 %"
    figure, (axes,) = new(8.2, rows_height(summary.results) - 0.3, caption)
    rows = variant_rows(axes, summary.results)
    for aggregate in summary.of(column.metric):
        _row(axes, summary, column, aggregate, rows[aggregate.variant])
    axes.margins(x=0.04)
    axes.set_xlabel(heading(summary, column))
    return figure


def _row(axes: Axes, summary: Summary, column: Column, aggregate: Aggregate, row: int) -> None:
    import numpy as np

    shown = show(summary, aggregate.variant, aggregate.metric, style_of(summary, column))
    if not aggregate.samples:
        beside(axes, row, aggregate.status, alpha=0.7)
        return
    beside(axes, row, shown.number if shown else "")
    values = scaled(summary, column, [value for _, value in aggregate.samples])
    colour = styles(summary.results)[aggregate.variant]["color"]
    places = row + np.random.default_rng(0).uniform(-0.3, 0.3, len(values))
    many = len(values) > RASTERISED
    axes.scatter(values, places, s=8, color=colour, alpha=0.6, linewidths=0, rasterized=many)
    low, first, middle, third, high = (quantile(values, share) for share in (0.05, 0.25, 0.5, 0.75, 0.95))
    axes.plot([low, high], [row, row], color=INK, linewidth=1.2)
    axes.plot([first, third], [row, row], color=INK, linewidth=5, solid_capstyle="butt")
    axes.plot([middle, middle], [row - 0.32, row + 0.32], color=INK, linewidth=2)
