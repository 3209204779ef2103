"""The main metric of each variant, seed by seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.analysis.bounds import bound
from bench.analysis.summary import Aggregate, Summary, summarise
from bench.display.figure import BASELINE, INK, beside, legend_below, new, rows_height, styles, variant_rows
from bench.display.numbers import DELTA, Style, heading, number_text, show, style_of
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@plot(order=10)
def accuracy(results: Results) -> Iterator[tuple[str, Figure]]:
    """The main metric of each variant: every seed, mean, standard deviation, what the difference from the
    baseline allows to be said, and a known optimum."""
    summary = summarise(results)
    column = summary.main()
    if column is None:
        return
    several = any(aggregate.spread is not None for aggregate in summary.of(column.metric))
    what = "every seed, their mean and sample standard deviation" if several else "one seed"
    judged = any(delta.interval for (_, metric), delta in summary.deltas.items() if metric == column.metric)
    change = "; beside it the difference from the baseline, with the interval that its verdict rests on" * judged
    caption = f"{column.metric} of each variant: {what}{change}"
    figure, (axes,) = new(8.2, rows_height(results), caption)
    rows = variant_rows(axes, results)
    for aggregate in summary.of(column.metric):
        _row(axes, summary, aggregate, rows[aggregate.variant])
    known = _optimum(axes, summary, column.metric, rows)
    _baseline(axes, summary, column.metric)
    axes.set_xlabel(heading(summary, column))
    axes.margins(x=0.06)
    _legend(figure, several, known)
    yield "accuracy", figure


def _row(axes: Axes, summary: Summary, aggregate: Aggregate, row: int) -> None:
    style = style_of(summary, summary.column(aggregate.metric))
    if aggregate.value is None:
        shown = show(summary, aggregate.variant, aggregate.metric, style)
        beside(axes, row, shown.text if shown else "", alpha=0.7)
        return
    colour = styles(summary.results)[aggregate.variant]["color"]
    values = [*aggregate.seeded.values()] if aggregate.spread is not None else []
    axes.scatter(values, [row + 0.28] * len(values), s=20, marker="|", color=colour, linewidths=1.6)
    axes.errorbar(
        aggregate.value, row, xerr=aggregate.spread, color=colour, marker="D", markersize=6, capsize=4, linewidth=2
    )
    beside(axes, row, _words(summary, aggregate, style))


def _words(summary: Summary, aggregate: Aggregate, style: Style) -> str:
    """The number, and below it its difference from the baseline with the corrected interval and the verdict."""
    asked = len(aggregate.seeded) + len(aggregate.errors) + len(aggregate.missing)
    number = number_text(aggregate, style) + (
        f" ({aggregate.count} of {asked} seeds)" if aggregate.status == "partial" else ""
    )
    shown = show(summary, aggregate.variant, aggregate.metric, style)
    told = ", ".join((shown.difference, shown.verdict)) if shown and shown.verdict else ""
    return f"{number}\n{DELTA} {told}" if told else number


def _baseline(axes: Axes, summary: Summary, metric: str) -> None:
    aggregate = summary.aggregates.get((summary.results.baseline, metric))
    if aggregate is not None and aggregate.value is not None:
        axes.axvline(aggregate.value, color=BASELINE, linestyle="--", linewidth=1.2, zorder=0)


def _optimum(axes: Axes, summary: Summary, metric: str, rows: dict[str, int]) -> bool:
    """Draw the best that each variant could reach where that is known; whether it is for any."""
    known = {variant: found.value for variant in rows if (found := bound(summary, variant, metric)) is not None}
    for variant, best in known.items():
        axes.plot([best] * 2, [rows[variant] - 0.42, rows[variant] + 0.42], color=INK, linewidth=1.4, linestyle=":")
    return bool(known)


def _legend(figure: Figure, several: bool, optimum: bool) -> None:
    from matplotlib.lines import Line2D

    handles = {
        "mean ± sd": Line2D([], [], color=INK, marker="D", markersize=6, linewidth=2) if several else None,
        "one seed": Line2D([], [], color=INK, marker="|", linestyle="none") if several else None,
        "baseline": Line2D([], [], color=BASELINE, linestyle="--", linewidth=1.2),
        "best possible (known)": Line2D([], [], color=INK, linewidth=1.4, linestyle=":") if optimum else None,
    }
    shown = {name: handle for name, handle in handles.items() if handle is not None}
    legend_below(figure, [*shown.values()], [*shown], columns=4)
