"""The main metric against each setting with numbers: a curve over learning rates, input sizes, numbers of images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.analysis.summary import Aggregate, Column, Summary, summarise
from bench.display.figure import BASELINE, INK, log_ticks, new
from bench.display.metric_names import axis_label, display_name
from bench.display.names import axis_text
from bench.display.seeds import error_bar, scaled_value, seeds_text
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = Mapping[str, float]
"""Variant -> its value on an axis."""

FEWEST = 3
"""Values of a curve; two are a difference, which other figures show."""
PANEL = 3.4
"""Inches of a panel's width and height."""
DECADES = 200
"""The largest ratio of values for which there is room for numbers between the powers of ten."""


@plot(order=18)
def metric_against_axis(results: Results) -> Iterator[tuple[str, Figure]]:
    """The main metric against each setting (learning rate, input size, number of images) with at least three numbers.

    A curve joins the baseline and the variants that differ from it on this axis alone. An input size is the square root
    of its pixels. Nothing where no setting varies so.
    """
    summary = summarise(results)
    column = summary.main()
    curves = {axis: values for axis in results.varied if len(values := _values(summary, column, axis)) >= FEWEST}
    if column is None or not curves:
        return
    figure, panels = new(max(5.0, PANEL * len(curves)), PANEL, _caption(summary, column, [*curves]), 1, len(curves))
    for axes, (axis, values) in zip(panels, curves.items(), strict=True):
        _panel(axes, summary, column, values)
        axes.set_xlabel(f"{axis}, side in px" if axis == "workload.shape" else axis)
    panels[0].set_ylabel(axis_label(summary, column))
    yield "metric_against_axis", figure


def _values(summary: Summary, column: Column | None, axis: str) -> Values:
    """The baseline and the variants that differ from it on this axis alone, smallest value first; else nothing."""
    results = summary.results
    if column is None or "." not in axis:
        return {}
    rows = {v: {name: axis_text(results, v, name) for name in results.varied} for v in results.variants}
    others = {v: {name: text for name, text in row.items() if name != axis} for v, row in rows.items()}
    measured = {aggregate.variant for aggregate in summary.measured(column.metric)}
    chosen = [v for v in results.variants if v in measured and others[v] == others[results.baseline]]
    numbers = {v: _number(rows[v][axis]) for v in chosen}
    if any(math.isnan(number) for number in numbers.values()):
        return {}
    return dict(sorted(numbers.items(), key=lambda pair: pair[1]))


def _number(text: str) -> float:
    """`0.1` as 0.1, the shape `[3,64,64]` as 64; nan for what is no number."""
    try:
        parts = [float(part) for part in text.removeprefix("[").removesuffix("]").split(",")]
    except ValueError:
        return math.nan
    return parts[0] if len(parts) == 1 else math.sqrt(math.prod(parts[1:]))


def _panel(axes: Axes, summary: Summary, column: Column, values: Values) -> None:
    """A point for each variant, with the standard deviation over its seeds, and a line through them."""
    results = summary.results
    aggregates = [summary.aggregates[variant, column.metric] for variant in values]
    scores = [scaled_value(summary, column, aggregate.value) for aggregate in aggregates]
    axes.plot([*values.values()], scores, color=INK, linewidth=1.1, alpha=0.55, zorder=0)
    for aggregate, score in zip(aggregates, scores, strict=True):
        look: dict[str, Any] = {
            "color": BASELINE if aggregate.variant == results.baseline else INK,
            "marker": "o",
            "markersize": 6,
        }
        bar = error_bar(summary, column, aggregate)
        axes.errorbar(values[aggregate.variant], score, yerr=bar, capsize=3, linestyle="none", **look)
        axes.annotate(_seeds(aggregate), (values[aggregate.variant], score), (4, 4), textcoords="offset points")
    _scale(axes, [*values.values()])


def _seeds(aggregate: Aggregate) -> str:
    """Of how many seeds a mean is, where some have no score."""
    expected = len(aggregate.seeded) + len(aggregate.errors) + len(aggregate.missing)
    return seeds_text(aggregate.count, expected) if aggregate.status == "partial" else ""


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic axis where the values differ much; with numbers at powers of ten only, where very much."""
    from matplotlib.ticker import LogLocator

    ratio = max(values) / min(values) if min(values) > 0 else 0.0
    if ratio >= 8:
        axes.set_xscale("log")
        log_ticks(axes.xaxis)
    if ratio > DECADES:
        axes.xaxis.set_major_locator(LogLocator(subs=(1,)))
    axes.margins(x=0.1, y=0.15)


def _caption(summary: Summary, column: Column, names: Sequence[str]) -> str:
    bars = "; bars: sd over seeds" if any(each.spread for each in summary.of(column.metric)) else ""
    return f"{display_name(summary.results, column.metric)} against {', '.join(names)}; grey: the baseline{bars}"


def example(results: Results) -> Results:
    """The results with a learning rate for each variant, the only axis."""
    axes = {variant: {"train.lr": f"{2**i / 1000:g}"} for i, variant in enumerate(results.variants)}
    return replace(results, axes=axes, varied=("train.lr",))
