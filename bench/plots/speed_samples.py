"""Every sample of the speed and memory measurements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.analysis.summary import Aggregate, Column, Summary, summarise
from bench.display.figure import INK, in_order, palette, rows_figure, seaborn, variant_rows
from bench.display.metric_names import axis_label, display_name
from bench.display.numbers import show, style_of
from bench.display.seeds import scaled
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RASTERISED = 2000
"""A figure with more samples has them as a picture: as shapes they would fill a megabyte."""
SAME_TIMES = {"throughput": "latency", "roofline": "latency"}
"""Metrics that are computed from times of a forward pass, which the samples of the other metric already show."""


@plot(order=70)
def speed_samples(results: Results) -> Iterator[tuple[str, Figure]]:
    """Every sample of the speed metrics, with median, quartiles and the 5 and 95 % quantiles."""
    summary = summarise(results)
    sampled = [c for c in summary.columns if c.kind == "speed" and any(a.quartiles for a in summary.of(c.metric))]
    drawn = {column.metric for column in sampled}
    for column in sampled:
        if SAME_TIMES.get(column.metric) not in drawn:
            yield f"{column.metric}_samples", _figure(summary, column)


def _figure(summary: Summary, column: Column) -> Figure:
    name = display_name(summary.results, column.metric)
    caption = f"Every sample of {name}; vertical line: median, thick: quartiles, thin: 5 to 95 % of the samples"
    rows = variant_rows(summary.results, {each.variant: _number(summary, each) for each in summary.of(column.metric)})
    figure, axes = rows_figure(rows, caption)
    _samples(axes, summary.results, _frame(summary, column))
    axes.margins(x=0.04)
    rows.label(axes)
    axes.set_xlabel(axis_label(summary, column))
    return figure


def _number(summary: Summary, aggregate: Aggregate) -> str:
    shown = show(summary, aggregate.variant, aggregate.metric, style_of(summary, summary.column(aggregate.metric)))
    return shown.number if shown and aggregate.samples else aggregate.status


def _frame(summary: Summary, column: Column) -> pd.DataFrame:
    """A row (variant, value) for each sample."""
    import pandas as pd

    rows = [
        {"variant": aggregate.variant, "value": value}
        for aggregate in summary.of(column.metric)
        for value in scaled(summary, column, [value for _, value in aggregate.samples])
    ]
    return pd.DataFrame(rows)


def _samples(axes: Axes, results: Results, frame: pd.DataFrame) -> None:
    import numpy as np

    order = in_order(results)
    who = {"x": "value", "y": "variant", "order": order, "ax": axes}
    dots = {"hue": "variant", "palette": palette(results), "legend": False, "size": 3, "alpha": 0.6, "jitter": 0.1}
    with seaborn() as sns:
        sns.stripplot(frame, **who, **dots, linewidth=0, rasterized=len(frame) > RASTERISED)
    quantiles = frame.groupby("variant")["value"].quantile(np.array([0.05, 0.25, 0.5, 0.75, 0.95])).unstack()
    places = [order.index(variant) for variant in quantiles.index]
    for low, high, width in ((0.05, 0.95, 1.2), (0.25, 0.75, 5)):
        axes.hlines(places, quantiles[low], quantiles[high], color=INK, linewidth=width, zorder=3)
    median: dict[str, Any] = {"marker": "|", "markersize": 12, "markeredgewidth": 2, "linestyle": "none"}
    axes.plot(quantiles[0.5], places, color=INK, label="median", zorder=3, **median)
