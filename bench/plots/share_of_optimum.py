"""How close each variant comes to the best that it could reach, where that is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.analysis.bounds import Bound, bound
from bench.analysis.summary import Aggregate, Summary, summarise
from bench.display.figure import INK, beside, new, rows_height, styles, variant_rows
from bench.display.numbers import fixed, style_of
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@plot(order=15)
def share_of_optimum(results: Results) -> Iterator[tuple[str, Figure]]:
    """The main metric as a fraction of each variant's own bound: of its output stride, its field, or the dataset's.

    Nothing where the bound is no positive number: log-likelihoods are no fractions of the best one.
    """
    summary = summarise(results)
    column = summary.main()
    if column is None or column.better != "higher":
        return
    aggregates = summary.measured(column.metric)
    bounds = {aggregate.variant: bound(summary, aggregate.variant, column.metric) for aggregate in aggregates}
    known = {variant: best for variant, best in bounds.items() if best is not None and best.value > 0}
    if not known:
        return
    caption = f"{column.metric} as a fraction of the best possible for a network of its kind, every seed and mean"
    figure, (axes,) = new(8.2, rows_height(results) - 0.3, caption)
    rows = variant_rows(axes, results)
    for aggregate in aggregates:
        if aggregate.variant in known:
            _row(axes, summary, aggregate, known[aggregate.variant], rows[aggregate.variant])
    _percent(axes, f"{column.metric}, % of the best possible")
    yield "share_of_optimum", figure


def _row(axes: Axes, summary: Summary, aggregate: Aggregate, best: Bound, row: int) -> None:
    """A bar to the mean, a tick for each seed, and both numbers in words."""
    colour, mean = styles(summary.results)[aggregate.variant]["color"], aggregate.value or 0.0
    shares = [100 * value / best.value for value in aggregate.by_seed.values()]
    axes.barh(row, 100 * mean / best.value, height=0.5, color=colour, alpha=0.55)
    axes.scatter(shares, [row] * len(shares), s=110, marker="|", color=INK, linewidths=1.4, zorder=3)
    decimals = style_of(summary, summary.column(aggregate.metric)).decimals
    because = f" ({best.because})" if best.because else ""
    numbers = f"{fixed(mean, decimals)} of {fixed(best.value, max(3, decimals))}{because}"
    beside(axes, row, f"{fixed(100 * mean / best.value, 1)} %: {numbers}")


def _percent(axes: Axes, label: str) -> None:
    """From nothing to all of it, since the length of a bar is what is read."""
    axes.axvline(100, color=INK, linewidth=1.4, linestyle=":")
    axes.set_xlim(0, max(102.0, axes.get_xlim()[1]))
    axes.set_xlabel(label)
