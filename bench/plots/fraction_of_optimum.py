"""The main metric of each variant as a fraction of the best possible score, where that is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from bench.analysis.bounds import Bound, bound
from bench.analysis.summary import Aggregate, Column, Summary, summarise
from bench.display.figure import INK, in_order, palette, rows_figure, seaborn, variant_rows
from bench.display.legend import legend_below
from bench.display.metric_names import best_possible, display_name
from bench.display.numbers import fixed, style_of
from bench.display.seeds import seeds_text
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Bounds = Mapping[str, Bound]


@plot(order=15)
def fraction_of_optimum(results: Results) -> Iterator[tuple[str, Figure]]:
    """The main metric as a fraction of each variant's own bound: of its output stride, its receptive field, or the
    dataset's. Nothing where the bound is not positive: a log-likelihood is no fraction of the best one."""
    summary = summarise(results)
    column = summary.main()
    bounds = _bounds(summary, column) if column is not None and column.better == "higher" else {}
    if column is None or not bounds:
        return
    name = display_name(results, column.metric)
    caption = f"{name} as a fraction of the {best_possible(bounds.values())}; bar: mean, tick: a seed"
    aggregates = {each.variant: each for each in summary.measured(column.metric) if each.variant in bounds}
    rows = variant_rows(results, {v: _words(summary, aggregates[v], bounds[v]) for v in aggregates})
    figure, axes = rows_figure(rows, caption)
    _bars(axes, results, _frame(summary, column, bounds))
    rows.line(axes, 100, color=INK, linewidth=1.4, linestyle=":")
    rows.label(axes)
    axes.set_xlim(0, max(102.0, axes.get_xlim()[1]))  # the length of a bar is read, so the axis begins at 0
    axes.set_xlabel(f"{name}, % of the best score")
    _legend(figure, best_possible(bounds.values()))
    yield "fraction_of_optimum", figure


def _bounds(summary: Summary, column: Column) -> dict[str, Bound]:
    best = {each.variant: bound(summary, each.variant, column.metric) for each in summary.measured(column.metric)}
    return {variant: each for variant, each in best.items() if each is not None and each.value > 0}


def _frame(summary: Summary, column: Column, bounds: Bounds) -> pd.DataFrame:
    """A row (variant, percent) for each seed."""
    import pandas as pd

    rows = [
        {"variant": aggregate.variant, "percent": 100 * value / bounds[aggregate.variant].value}
        for aggregate in summary.measured(column.metric)
        if aggregate.variant in bounds
        for value in aggregate.by_seed.values()
    ]
    return pd.DataFrame(rows)


def _bars(axes: Axes, results: Results, frame: pd.DataFrame) -> None:
    who = {"x": "percent", "y": "variant", "order": in_order(results), "ax": axes}
    hue = {"hue": "variant", "palette": palette(results), "legend": False}
    with seaborn() as sns:
        sns.barplot(frame, **who, **hue, width=0.2, alpha=0.55, errorbar=None)
        sns.stripplot(frame, **who, color=INK, jitter=False, marker="|", size=10, linewidth=1.4)


def _words(summary: Summary, aggregate: Aggregate, best: Bound) -> str:
    """`94.2 %: 0.523 of 0.555 (stride 8)`, and of how many seeds where some have no score."""
    mean, decimals = aggregate.value or 0.0, style_of(summary, summary.column(aggregate.metric)).decimals
    because = f" ({best.because})" if best.because else ""
    numbers = f"{fixed(mean, decimals)} of {fixed(best.value, max(3, decimals))}{because}"
    expected = len(aggregate.seeded) + len(aggregate.errors) + len(aggregate.missing)
    seeds = f"\n{seeds_text(aggregate.count, expected)}" if aggregate.status == "partial" else ""
    return f"{fixed(100 * mean / best.value, 1)} %: {numbers}{seeds}"


def _legend(figure: Figure, best: str) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=INK, marker="|", linestyle="none"),
        Line2D([], [], color=INK, linewidth=1.4, linestyle=":"),
    ]
    legend_below(figure, handles, ["one seed", best])
