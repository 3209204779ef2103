"""Differences from the baseline by class or by joint."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.analysis.summary import Aggregate, Column, Summary, summarise
from bench.display.figure import INK, LINE, SMALLEST, WIDTH, in_order, new, seaborn, titles
from bench.display.metric_names import display_name
from bench.display.numbers import fixed
from bench.display.seeds import score_notes
from bench.registry import plot
from bench.results.results import Results
from bench.stats.descriptive import mean, paired_difference

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOUR_MAPS = {"higher": "vlag_r", "lower": "vlag", None: "PuOr"}
"""By what is better: blue is always better, red always worse; other colours where neither is."""
ANNOTATED = 5
"""Variants at most for numbers to fit into the squares."""
SQUARE = 0.26
"""Inches of a square's height."""
NAME = 20
"""Characters of a line of a variant's name."""


@plot(order=40)
def per_class(results: Results) -> Iterator[tuple[str, Figure]]:
    """The first metric that has values by class or by joint: the difference of each variant from the baseline."""
    summary = summarise(results)
    column = next((c for c in summary.columns if _classes(summary, c) and _others(summary, c)), None)
    if column is None:
        return
    names = _classes(summary, column)
    lines = max(text.count("\n") + 1 for text in _column_names(summary, column).values())
    figure, (axes,) = new(WIDTH, SQUARE * len(names) + 1.9 + LINE * lines, _caption(summary, column))
    _heat(axes, summary, column, names)
    yield "per_class", figure


def _caption(summary: Summary, column: Column) -> str:
    colours = "; blue is better, red is worse" if column.better else ""
    return (
        f"{display_name(summary.results, column.metric)} of each class: difference from the baseline, mean over the "
        f"seeds that both have; in brackets the value of the baseline{colours}"
    )


def by_class(aggregate: Aggregate, name: str) -> dict[int, float]:
    """Seed -> the class's value, for the seeds that have the class."""
    values = zip(sorted(aggregate.seeded), (d.get("per_class", {}).get(name) for d in aggregate.details), strict=True)
    return {seed: float(value) for seed, value in values if value is not None}


def _classes(summary: Summary, column: Column) -> list[str]:
    baseline = summary.aggregates.get((summary.results.baseline, column.metric))
    details = baseline.details if baseline and baseline.seeded else ()
    return list(dict.fromkeys(name for detail in details for name in detail.get("per_class", {})))


def _others(summary: Summary, column: Column) -> list[Aggregate]:
    """The aggregates of the other variants, in the order of figures."""
    aggregates = {aggregate.variant: aggregate for aggregate in summary.measured(column.metric) if aggregate.seeded}
    order = in_order(summary.results)
    return [aggregates[v] for v in order if v in aggregates and v != summary.results.baseline]


def _heat(axes: Axes, summary: Summary, column: Column, names: Sequence[str]) -> None:
    frame = _differences(summary, column, names)
    limit = max((abs(v) for v in frame.to_numpy().ravel() if math.isfinite(v)), default=0) or 1.0
    numbers = frame.map(lambda v: fixed(v, 2, sign=True) if math.isfinite(v) else "")
    annotation = {"annot": numbers, "fmt": "", "annot_kws": {"fontsize": SMALLEST}}
    annotation = annotation if frame.shape[1] <= ANNOTATED else {}
    name = f"Δ {display_name(summary.results, column.metric)}"
    bar = {"label": name, "orientation": "horizontal", "aspect": 30, "pad": 0.02}
    look = {"cmap": COLOUR_MAPS[column.better], "vmin": -limit, "vmax": limit, "cbar_kws": bar}
    with seaborn() as sns:
        sns.heatmap(frame, ax=axes, linewidths=1, linecolor="none", **look, **annotation)
    for bar_axes in axes.figure.axes[1:]:
        bar_axes.spines[:].set_visible(False)
    _ticks(axes)


def _differences(summary: Summary, column: Column, names: Sequence[str]) -> pd.DataFrame:
    """A row for each class, a column for each variant but the baseline; NaN where no seed has both values."""
    import pandas as pd

    baseline = summary.aggregates[summary.results.baseline, column.metric]
    texts = _column_names(summary, column)
    table = {texts[c.variant]: [_difference(c, baseline, name) for name in names] for c in _others(summary, column)}
    return pd.DataFrame(table, index=_heads(baseline, names))


def _column_names(summary: Summary, column: Column) -> Mapping[str, str]:
    """The variants' names, with the number of seeds where some have no score."""
    notes = score_notes(summary, [column.metric])
    return {v: f"{text}\n({notes[v]})" if v in notes else text for v, text in titles(summary.results, NAME).items()}


def _ticks(axes: Axes) -> None:
    axes.grid(visible=False)
    axes.tick_params(length=0, colors=INK)
    axes.tick_params(axis="y", rotation=0)
    axes.tick_params(axis="x", rotation=45)
    anchor: dict[str, Any] = {"horizontalalignment": "right", "rotation_mode": "anchor"}
    for label in axes.get_xticklabels():
        label.set(**anchor)


def _difference(aggregate: Aggregate, baseline: Aggregate, name: str) -> float:
    change = paired_difference(by_class(aggregate, name), by_class(baseline, name))
    return change.value if change else math.nan


def _heads(baseline: Aggregate, names: Sequence[str]) -> list[str]:
    values = [[*by_class(baseline, name).values()] for name in names]
    return [f"{_plain(n)} ({fixed(mean(v), 2)})" if v else _plain(n) for n, v in zip(names, values, strict=True)]


def _plain(name: str) -> str:
    return name.replace("_", " ")
