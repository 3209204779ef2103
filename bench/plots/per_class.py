"""Differences from the baseline by class or by joint."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

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
MOST = 12
"""Variants in one panel: with more, their names do not fit below the columns."""
SQUARE = 0.26
"""Inches of a square's height."""
NAMES = range(20, 400, 4)
"""Characters of a line of a variant's name: so many that the lines fit below its column."""
CHARACTER = 0.078
"""Inches of a character, more or less."""
FRAME = 0.3
"""Inches beside the columns and the names of classes."""


@plot(order=40)
def per_class(results: Results) -> Iterator[tuple[str, Figure]]:
    """The first metric that has values by class or by joint: the difference of each variant from the baseline."""
    summary = summarise(results)
    column = next((c for c in summary.columns if _classes(summary, c) and _others(summary, c)), None)
    if column is None:
        return
    table = _differences(summary, column, _classes(summary, column))
    panels = [table.iloc[:, i : i + MOST] for i in range(0, table.shape[1], MOST)]
    texts = [_column_names(summary, column, [*panel.columns], _width(panel)) for panel in panels]
    longest = max(len(line) for names in texts for text in names for line in text.split("\n"))
    height = (SQUARE * len(table) + CHARACTER * longest + 0.2) * len(panels) + 0.7
    figure, grid = new(WIDTH, height, _caption(summary, column), len(panels))
    limit = max((abs(v) for v in table.to_numpy().ravel() if math.isfinite(v)), default=0) or 1.0
    for axes, panel, names in zip(grid, panels, texts, strict=True):
        _heat(axes, panel, names, limit, COLOUR_MAPS[column.better])
    _bar(figure, grid, f"Δ {display_name(results, column.metric)}")
    yield "per_class", figure


def _width(panel: pd.DataFrame) -> float:
    """Inches of a column."""
    return (WIDTH - FRAME - CHARACTER * max(map(len, panel.index))) / panel.shape[1]


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


def _heat(axes: Axes, frame: pd.DataFrame, names: Sequence[str], limit: float, colours: str) -> None:
    numbers = _numbers(frame)
    annotation = {"annot": numbers, "fmt": "", "annot_kws": {"fontsize": SMALLEST}} if numbers is not None else {}
    look = {"cmap": colours, "vmin": -limit, "vmax": limit, "cbar": False, "yticklabels": True}
    with seaborn() as sns:
        sns.heatmap(frame, ax=axes, linewidths=1, linecolor="none", xticklabels=names, **look, **annotation)
    axes.set(xlabel="", ylabel="")
    axes.grid(visible=False)
    axes.tick_params(length=0, colors=INK)
    axes.tick_params(axis="y", rotation=0)
    axes.tick_params(axis="x", rotation=90)


def _numbers(frame: pd.DataFrame) -> pd.DataFrame | None:
    """The differences as texts, without the 0 before the point where only that fits into a column; else None."""
    whole = frame.map(lambda v: fixed(v, 2, sign=True) if math.isfinite(v) else "")
    short = whole.map(lambda text: text.replace("0.", ".", 1) if text[1:3] == "0." else text)
    fitting = (each for each in (whole, short) if CHARACTER * each.map(len).to_numpy().max() <= _width(frame))
    return next(fitting, None)


def _bar(figure: Figure, grid: Sequence[Axes], name: str) -> None:
    """One bar of colours below all panels."""
    bar = figure.colorbar(grid[0].collections[0], ax=[*grid], orientation="horizontal", aspect=30, pad=0.04, label=name)
    bar.outline.set_visible(False)
    bar.ax.spines[:].set_visible(False)
    bar.ax.locator_params(axis="x", nbins=5)


def _differences(summary: Summary, column: Column, names: Sequence[str]) -> pd.DataFrame:
    """A row for each class, a column for each variant but the baseline; NaN where no seed has both values."""
    import pandas as pd

    baseline = summary.aggregates[summary.results.baseline, column.metric]
    table = {c.variant: [_difference(c, baseline, name) for name in names] for c in _others(summary, column)}
    return pd.DataFrame(table, index=_heads(baseline, names))


def _column_names(summary: Summary, column: Column, variants: Sequence[str], width: float) -> list[str]:
    """The variants' names in as many lines as fit below a column, with the number of seeds where some have no score."""
    notes = score_notes(summary, [column.metric])
    for characters in NAMES:
        names = titles(summary.results, characters)
        texts = [f"{names[v]}\n({notes[v]})" if v in notes else names[v] for v in variants]
        if max(text.count("\n") + 1 for text in texts) * LINE <= width:
            return texts
    return [" ".join(text.split("\n")) for text in texts]


def _difference(aggregate: Aggregate, baseline: Aggregate, name: str) -> float:
    change = paired_difference(by_class(aggregate, name), by_class(baseline, name))
    return change.value if change else math.nan


def _heads(baseline: Aggregate, names: Sequence[str]) -> list[str]:
    values = [[*by_class(baseline, name).values()] for name in names]
    return [f"{_plain(n)} ({fixed(mean(v), 2)})" if v else _plain(n) for n, v in zip(names, values, strict=True)]


def _plain(name: str) -> str:
    return name.replace("_", " ")
