"""Which classes gain and which lose."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.analysis.summary import Aggregate, Column, Summary, summarise
from bench.display.figure import INK, labels, new, rows_height
from bench.display.numbers import fixed
from bench.registry import plot
from bench.results.results import Results
from bench.stats.descriptive import mean, paired_difference

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ANNOTATED = 24
LEVEL = 4


@plot(order=40)
def per_class(results: Results) -> Iterator[tuple[str, Figure]]:
    """The main metric class by class: how far each variant stands from the baseline."""
    summary = summarise(results)
    column = next((c for c in summary.columns if _classes(summary, c) and _others(summary, c)), None)
    if column is None:
        return
    names = _classes(summary, column)
    caption = f"{column.metric} of each class: difference from the baseline, whose own values stand in brackets"
    figure, (axes,) = new(max(7.0, 3.2 + 0.56 * len(names)), rows_height(results) + 0.3, caption)
    _heat(axes, summary, column, names)
    yield "per_class", figure


def by_class(aggregate: Aggregate, name: str) -> dict[int, float]:
    """Seed -> the class's value, for the seeds that have the class."""
    values = zip(sorted(aggregate.seeded), (d.get("per_class", {}).get(name) for d in aggregate.details), strict=True)
    return {seed: float(value) for seed, value in values if value is not None}


def _classes(summary: Summary, column: Column) -> list[str]:
    base = summary.aggregates.get((summary.results.baseline, column.metric))
    details = base.details if base and base.seeded else ()
    return list(dict.fromkeys(name for detail in details for name in detail.get("per_class", {})))


def _others(summary: Summary, column: Column) -> list[Aggregate]:
    aggregates = summary.measured(column.metric)
    return [c for c in aggregates if c.variant != summary.results.baseline and c.seeded]


def _heat(axes: Axes, summary: Summary, column: Column, names: list[str]) -> None:
    import pandas as pd
    import seaborn as sns

    base = summary.aggregates[summary.results.baseline, column.metric]
    texts = labels(summary.results)
    table = {texts[c.variant]: [_delta(c, base, name) for name in names] for c in _others(summary, column)}
    frame = pd.DataFrame.from_dict(table, orient="index", columns=_heads(base, names))
    limit = max((abs(v) for row in table.values() for v in row if math.isfinite(v)), default=0) or 1.0
    notes = frame.map(lambda v: fixed(v, 2, sign=True) if math.isfinite(v) else "")
    annotation = {"annot": notes, "fmt": "", "annot_kws": {"fontsize": 8}} if len(names) <= ANNOTATED else {}
    bar = {"label": f"Δ {column.metric}", "shrink": 0.8, "aspect": 15, "pad": 0.02}
    look = {"cmap": "vlag_r", "vmin": -limit, "vmax": limit, "linewidths": 1, "linecolor": "none", "cbar_kws": bar}
    with warnings.catch_warnings():  # seaborn 0.13 calls what matplotlib 3.11 announces to deprecate one day
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        sns.heatmap(frame, ax=axes, **look, **annotation)
    for bar_axes in axes.figure.axes[1:]:
        bar_axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=INK)
    axes.tick_params(axis="x", rotation=45 if len(names) > LEVEL else 0, labelsize=9)
    axes.tick_params(axis="y", rotation=0)
    axes.grid(visible=False)
    for label in axes.get_xticklabels() if len(names) > LEVEL else ():
        label.set_horizontalalignment("right")
        label.set_rotation_mode("anchor")


def _delta(aggregate: Aggregate, base: Aggregate, name: str) -> float:
    change = paired_difference(by_class(aggregate, name), by_class(base, name))
    return change.value if change else math.nan


def _heads(base: Aggregate, names: list[str]) -> list[str]:
    values = [[*by_class(base, name).values()] for name in names]
    return [f"{name} ({fixed(mean(v), 2)})" if v else name for name, v in zip(names, values, strict=True)]
