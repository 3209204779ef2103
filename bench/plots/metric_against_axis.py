"""Metrics against each setting with numbers: curves over learning rates, input sizes, numbers of images, batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bench.analysis.summary import Aggregate, Column, Summary, summarise
from bench.display.figure import BASELINE, INK, SMALLEST, log_ticks, stacked
from bench.display.metric_names import axis_label, display_name
from bench.display.names import axis_text
from bench.display.seeds import error_bar, scaled_value, seeds_text
from bench.display.shape import axis_number, shape_of
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Values = Mapping[str, float]
"""Variant -> its value on an axis."""

FEWEST = 3
"""Values of a curve; two are a difference, which other figures show."""
MOST = 4
"""Curves that a panel can show."""
DASHES = ("-", "--", ":", "-.")
PANEL = 2.8
"""Inches of a panel's height."""


@dataclass(frozen=True)
class Panel:
    """A metric against an axis: curves by what else their variants have in common, empty for that of the baseline."""

    column: Column
    axis: str
    curves: Mapping[str, Values]


@plot(order=18)
def metric_against_axis(results: Results) -> Iterator[tuple[str, Figure]]:
    """Metrics against each setting (learning rate, input size, number of images) with at least three numbers.

    The main metric against each of them, unless `answer` draws that, and times and memory against settings of the
    workload. A curve joins variants that differ on this axis alone; several are labelled with what they differ in. An
    input size is the square root of its pixels. Nothing where no setting varies so.
    """
    summary = summarise(results)
    panels = [*_panels(summary)]
    if not panels:
        return
    figure, places = stacked(len(panels), PANEL, _caption(summary, panels))
    for axes, panel in zip(places, panels, strict=True):
        _draw(axes, summary, panel)
    yield "metric_against_axis", figure


def _panels(summary: Summary) -> Iterator[Panel]:
    """The main metric first; costs where the axis is one of the workload."""
    score = summary.main()
    main = [score] if score and shape_of(summary, score) != "curve" else []
    speeds = [c for c in summary.columns if c.kind == "speed" and summary.measured(c.metric)]
    for axis in summary.results.varied:
        for column in [*main, *(speeds if axis.startswith("workload.") else [])]:
            if curves := _curves(summary, column, axis):
                yield Panel(column, axis, curves)


def _curves(summary: Summary, column: Column, axis: str) -> dict[str, Values]:
    """What variants have in common -> each one's value on the axis; of several curves at most MOST."""
    results = summary.results
    if "." not in axis:
        return {}
    rows = {v: {name: axis_text(results, v, name) for name in results.varied} for v in results.variants}
    groups: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for aggregate in summary.measured(column.metric):
        others = tuple((name, text) for name, text in rows[aggregate.variant].items() if name != axis)
        groups.setdefault(others, []).append(aggregate.variant)
    own = tuple((name, text) for name, text in rows[results.baseline].items() if name != axis)
    first = {others: groups[others] for others in ([own] if own in groups else [])}
    values = {others: _values(rows, variants, axis) for others, variants in (first | groups).items()}
    long = {others: curve for others, curve in values.items() if len(curve) >= FEWEST}
    return {_label(others, own): curve for others, curve in [*long.items()][:MOST]}


def _label(others: Sequence[tuple[str, str]], own: Sequence[tuple[str, str]]) -> str:
    return "" if others == own else ", ".join(f"{name}={text}" for name, text in others if (name, text) not in own)


def _values(rows: Mapping[str, Mapping[str, str]], variants: Sequence[str], axis: str) -> Values:
    """The variants with their numbers, smallest first; nothing where one has no number."""
    numbers = {variant: axis_number(axis, rows[variant][axis]) for variant in variants}
    if any(math.isnan(number) for number in numbers.values()):
        return {}
    return dict(sorted(numbers.items(), key=lambda pair: pair[1]))


def _draw(axes: Axes, summary: Summary, panel: Panel) -> None:
    """The curves of a panel, and which is which where there are several."""
    for number, (label, values) in enumerate(panel.curves.items()):
        _curve(axes, summary, panel.column, values, DASHES[number])
        if len(panel.curves) > 1:
            last = [*values][-1]
            score = scaled_value(summary, panel.column, summary.aggregates[last, panel.column.metric].value)
            text = label or "as the baseline"
            axes.annotate(
                text, (values[last], score), (-4, 6), textcoords="offset points", ha="right", fontsize=SMALLEST
            )
    points = {variant: value for values in panel.curves.values() for variant, value in values.items()}
    _scale(axes.xaxis, [*points.values()], axes.set_xscale)
    if panel.column.kind == "speed":
        scores = (summary.aggregates[variant, panel.column.metric].value for variant in points)
        _scale(axes.yaxis, [scaled_value(summary, panel.column, score) for score in scores], axes.set_yscale)
    axes.margins(x=0.1, y=0.15)
    axes.set_xlabel(f"{panel.axis}, side in px" if panel.axis == "workload.shape" else panel.axis)
    axes.set_ylabel(axis_label(summary, panel.column))


def _curve(axes: Axes, summary: Summary, column: Column, values: Values, dashes: str) -> None:
    """A point for each variant, with the standard deviation over its seeds, and a line through them."""
    results = summary.results
    aggregates = [summary.aggregates[variant, column.metric] for variant in values]
    scores = [scaled_value(summary, column, aggregate.value) for aggregate in aggregates]
    axes.plot([*values.values()], scores, color=INK, linewidth=1.1, alpha=0.55, zorder=0, linestyle=dashes)
    for aggregate, score in zip(aggregates, scores, strict=True):
        look: dict[str, Any] = {
            "color": BASELINE if aggregate.variant == results.baseline else INK,
            "marker": "o",
            "markersize": 6,
        }
        bar = error_bar(summary, column, aggregate)
        axes.errorbar(values[aggregate.variant], score, yerr=bar, capsize=3, linestyle="none", **look)
        axes.annotate(_seeds(aggregate), (values[aggregate.variant], score), (4, 4), textcoords="offset points")


def _seeds(aggregate: Aggregate) -> str:
    """Of how many seeds a mean is, where some have no score."""
    expected = len(aggregate.seeded) + len(aggregate.errors) + len(aggregate.missing)
    return seeds_text(aggregate.count, expected) if aggregate.status == "partial" else ""


def _scale(axis: Axis, values: Sequence[float], set_scale: Callable[[str], object]) -> None:
    """A logarithmic axis where the values differ much."""
    if min(values) > 0 and max(values) / min(values) >= 8:
        set_scale("log")
        log_ticks(axis)


def _caption(summary: Summary, panels: Sequence[Panel]) -> str:
    metrics = list(dict.fromkeys(panel.column.metric for panel in panels))
    axes = ", ".join(dict.fromkeys(panel.axis for panel in panels))
    bars = "; bars: sd over seeds" if any(each.spread for metric in metrics for each in summary.of(metric)) else ""
    names = ", ".join(display_name(summary.results, metric) for metric in metrics)
    return f"{names} against {axes}; grey: the baseline{bars}"


def example(results: Results) -> Results:
    """The results with a learning rate for each variant, and two schedules."""
    rows = [{"train.lr": f"{2**i / 1000:g}", "train.schedule": "cosine"} for i in range(4)]
    rows += [{"train.lr": f"{2**i / 1000:g}", "train.schedule": "poly"} for i in range(len(results.variants))]
    return replace(results, axes=dict(zip(results.variants, rows)), varied=("train.lr", "train.schedule"))
