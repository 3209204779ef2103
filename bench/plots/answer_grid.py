"""A heat map of the main metric by two axes, coloured by the difference from the baseline."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bench.analysis.summary import Column, Summary
from bench.display.figure import INK, LINE, SMALLEST, WIDTH, new, seaborn, wrapped
from bench.display.metric_names import axis_label, display_name
from bench.display.numbers import style_of
from bench.display.seeds import scaled_value, score_notes
from bench.display.shape import Grid, grid_of
from bench.plots.per_class import COLOUR_MAPS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, LOW = 3, 4
"""Columns and rows at most for the difference and its verdict to fit into a square."""
FRAME = "#3a3a3a"
"""Dark in either mode, since the baseline's square is light; on a dark page a lighter line about it is seen."""
CHARACTERS = 44
"""Of a line across all columns."""
UNSETTLED = ("inconclusive", "equivalent", "within noise", "same", "missing", "broken")
SIGNS = {"better": "\N{BLACK UP-POINTING TRIANGLE}", "worse": "\N{BLACK DOWN-POINTING TRIANGLE}", "equivalent": "="}
"""Next to the numbers of a heat map with many columns."""


def draw(summary: Summary, column: Column) -> Figure | None:
    """A square for each variant; None where the ablation has no two axes."""
    grid = grid_of(summary, column)
    if grid is None:
        return None
    wide = len(grid.columns) <= WIDE and len(grid.rows) <= LOW
    values, numbers = _frames(summary, column, grid, wide)
    lines = max(text.count("\n") + 1 for text in numbers.to_numpy().ravel())
    figure, (axes,) = new(
        WIDTH, (LINE * lines + (0.1 if wide else 0.2)) * len(grid.rows) + 0.9, _caption(summary, column, wide)
    )
    limit = max((abs(v) for v in values.to_numpy().ravel() if math.isfinite(v)), default=0) or 1.0
    look = {"cmap": COLOUR_MAPS[column.better], "vmin": -limit, "vmax": limit, "cbar": False, "linecolor": "none"}
    with seaborn() as sns:
        sns.heatmap(values, ax=axes, annot=numbers, fmt="", annot_kws={"fontsize": SMALLEST}, linewidths=2, **look)
    _outline(axes, summary, grid)
    axes.grid(visible=False)
    axes.tick_params(length=0, colors=INK)
    axes.tick_params(axis="y", rotation=0)
    axes.set_ylabel(grid.axes[0])
    axes.set_xlabel(grid.axes[1])
    axes.set_title(axis_label(summary, column), loc="left")
    return figure


def _frames(summary: Summary, column: Column, grid: Grid, wide: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What colours the squares, the differences from the baseline that are decided, and the texts in them."""
    import pandas as pd

    pairs = [[grid.variants.get((row, name)) for name in grid.columns] for row in grid.rows]
    down, across = ([_label(text) for text in _words(summary, grid, place)] for place in (0, 1))
    values = [[_difference(summary, column, variant) for variant in row] for row in pairs]
    room = CHARACTERS // len(grid.columns) if wide else 0
    texts = [["" if variant is None else _text(summary, column, variant, room) for variant in row] for row in pairs]
    return pd.DataFrame(values, down, across, dtype=float), pd.DataFrame(texts, down, across)


def _words(summary: Summary, grid: Grid, place: int) -> list[str]:
    """The values of the rows (0) or the columns (1): the part of the labels that stands for each, else as they are.

    `2 factors` where all variants with this value, and no others, have that between the commas of their labels.
    """
    values, labels = (grid.rows, grid.columns)[place], summary.results.labels
    parts = {pair: set(labels.get(variant, "").split(", ")) - {""} for pair, variant in grid.variants.items()}
    words = []
    for value in values:
        own, others = ([p for pair, p in parts.items() if (pair[place] == value) is same] for same in (True, False))
        words.append(sorted(set.intersection(*own) - set().union(*others)))
    several = len(grid.variants) > len(values)  # else a label is of the variant, and its square has it
    return [each[0] for each in words] if several and all(len(each) == 1 for each in words) else [*values]


def _label(text: str) -> str:
    """`encoder` for `[encoder]`, and `none` for a list or a text that is empty."""
    return wrapped(text.removeprefix("[").removesuffix("]") or "none", 14, 14)


def _difference(summary: Summary, column: Column, variant: str | None) -> float:
    """0 for the baseline and where no difference is settled: noise has no colour. NaN without a number."""
    if variant is None:
        return math.nan
    if variant == summary.results.baseline:
        return 0.0
    delta = summary.delta(variant, column.metric)
    if delta is None:
        return math.nan
    return 0.0 if delta.verdict in UNSETTLED else scaled_value(summary, column, delta.difference.value)


def _text(summary: Summary, column: Column, variant: str, room: int) -> str:
    """Label, mean, difference and verdict in lines of `room` characters; without room the mean and a sign."""
    style, aggregate = style_of(summary, column), summary.aggregates[variant, column.metric]
    number = style.text(aggregate.value) if aggregate.value is not None else aggregate.status
    note = score_notes(summary, [column.metric]).get(variant, "")
    delta = summary.delta(variant, column.metric)
    if not room:
        return f"{number} {SIGNS.get(delta.verdict or '', '') if delta else ''}".rstrip()
    change = style.text(delta.difference.value, sign=True) if delta else ""
    verdict = (delta.verdict or "") if delta else "baseline" * (variant == summary.results.baseline)
    label = wrapped(summary.results.labels.get(variant, ""), room, room)
    return "\n".join(part for part in (label, number, change, verdict, note) if part)


def _outline(axes: Axes, summary: Summary, grid: Grid) -> None:
    """A frame about the baseline."""
    from matplotlib.patches import Rectangle

    pair = next((pair for pair, variant in grid.variants.items() if variant == summary.results.baseline), None)
    if pair:
        corner = grid.columns.index(pair[1]), grid.rows.index(pair[0])
        for colour, width in ((INK, 3.2), (FRAME, 1.6)):
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=colour, linewidth=width, clip_on=False))


def _caption(summary: Summary, column: Column, wide: bool) -> str:
    name = display_name(summary.results, column.metric)
    colours = "blue is better, red is worse" if column.better else "coloured where different"
    signs = "" if wide else "; ▲: significantly better, ▼: worse, =: equivalent"
    unsettled = "; without colour: not settled"
    return f"{name}, mean over the seeds, by two axes; {colours} than the framed baseline{unsettled}{signs}"
