"""The main metric of each variant, seed by seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.analysis.bounds import bound
from bench.analysis.summary import Aggregate, Column, Summary, summarise
from bench.display.figure import (
    BASELINE,
    INK,
    Rows,
    in_order,
    palette,
    rows_figure,
    seaborn,
    variant_rows,
)
from bench.display.legend import legend_below
from bench.display.metric_names import axis_label, best_possible, display_name
from bench.display.numbers import DELTA, Style, number_text, show, style_of
from bench.display.seeds import scaled_value, score_frame, sd_interval, seeds_text
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@plot(order=10)
def accuracy(results: Results) -> Iterator[tuple[str, Figure]]:
    """The main metric of each variant: every seed, mean, standard deviation, the difference from the baseline with
    its verdict, and the best possible score where it is known. Nothing where fewer than two variants have a score."""
    summary = summarise(results)
    column = summary.main()
    if column is None or len(summary.measured(column.metric)) < 2:
        return
    rows = variant_rows(results, {each.variant: _words(summary, each) for each in summary.of(column.metric)})
    figure, axes = rows_figure(rows, _caption(summary, column))
    _scores(axes, summary, column)
    bounded = _optimum(axes, summary, column, rows)
    baseline = _baseline(axes, summary, column, rows)
    axes.margins(x=0.06)
    rows.label(axes)
    axes.set_xlabel(axis_label(summary, column))
    _legend(figure, _several(summary, column), baseline, bounded)
    yield "accuracy", figure


def _several(summary: Summary, column: Column) -> bool:
    return any(aggregate.spread is not None for aggregate in summary.of(column.metric))


def _caption(summary: Summary, column: Column) -> str:
    content = "every seed, their mean and sample standard deviation" if _several(summary, column) else "one seed"
    inferred = any(delta.interval for (_, metric), delta in summary.deltas.items() if metric == column.metric)
    change = "; below its name the difference from the baseline, with the confidence interval of its verdict" * inferred
    return f"{display_name(summary.results, column.metric)} of each variant: {content}{change}"


def _scores(axes: Axes, summary: Summary, column: Column) -> None:
    """Means with their standard deviations, and below each a tick for every seed."""
    import numpy as np

    results, frame = summary.results, score_frame(summary, column)
    who: dict[str, Any] = {
        "y": "variant",
        "order": in_order(results),
        "hue": "variant",
        "palette": palette(results),
        "legend": False,
    }
    with seaborn() as sns:
        look = {"marker": "D", "markersize": 6, "linestyle": "none", "capsize": 0.25, "err_kws": {"linewidth": 2}}
        sns.pointplot(frame, x="value", **who, **look, errorbar=sd_interval, ax=axes)
        if _several(summary, column):
            before = len(axes.collections)
            sns.stripplot(frame, x="value", **who, jitter=False, marker="|", size=5, linewidth=1.6, ax=axes)
            for ticks in axes.collections[before:]:
                ticks.set_offsets(np.asarray(ticks.get_offsets()) + (0, 0.1))  # below the mean, not on it


def _words(summary: Summary, aggregate: Aggregate) -> str:
    style = style_of(summary, summary.column(aggregate.metric))
    shown = show(summary, aggregate.variant, aggregate.metric, style)
    if aggregate.value is None:
        return shown.text if shown else ""
    change = ", ".join((shown.difference, shown.verdict)) if shown and shown.verdict else ""
    number = _number(aggregate, style)
    return f"{number}\n{DELTA} {change}" if change else number


def _number(aggregate: Aggregate, style: Style) -> str:
    """The mean with its spread, and of how many seeds where some have no score."""
    expected = len(aggregate.seeded) + len(aggregate.errors) + len(aggregate.missing)
    seeds = f" ({seeds_text(aggregate.count, expected)})" if aggregate.status == "partial" else ""
    return number_text(aggregate, style) + seeds


def _baseline(axes: Axes, summary: Summary, column: Column, rows: Rows) -> bool:
    """A line at the baseline's mean; whether it has one."""
    aggregate = summary.aggregates.get((summary.results.baseline, column.metric))
    if aggregate is None or aggregate.value is None:
        return False
    place = scaled_value(summary, column, aggregate.value)
    rows.line(axes, place, color=BASELINE, linestyle="--", linewidth=1.2, zorder=0)
    return True


def _optimum(axes: Axes, summary: Summary, column: Column, rows: Rows) -> str:
    """Draw the best possible score of each variant where it is known; its name, empty where it is for none."""
    bounds = {
        variant: best
        for variant in in_order(summary.results)
        if (best := bound(summary, variant, column.metric)) is not None
    }
    for variant, best in bounds.items():
        place = scaled_value(summary, column, best.value)
        row = in_order(summary.results).index(variant)
        axes.plot([place] * 2, rows.piece(row), color=INK, linewidth=1.4, linestyle=":")
    return best_possible(bounds.values()) if bounds else ""


def _legend(figure: Figure, several: bool, baseline: bool, optimum: str) -> None:
    from matplotlib.lines import Line2D

    handles = {
        "mean ± sd": Line2D([], [], color=INK, marker="D", markersize=6, linewidth=2) if several else None,
        "one seed": Line2D([], [], color=INK, marker="|", linestyle="none") if several else None,
        "baseline": Line2D([], [], color=BASELINE, linestyle="--", linewidth=1.2) if baseline else None,
        optimum: Line2D([], [], color=INK, linewidth=1.4, linestyle=":") if optimum else None,
    }
    shown = {name: handle for name, handle in handles.items() if handle is not None}
    if shown:
        legend_below(figure, [*shown.values()], [*shown], columns=4)
