"""The shape of an ablation, by which its answer is drawn: differences, a curve, a grid, or a frontier."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.analysis.front import Front, fronts
from bench.analysis.leading import cost_column
from bench.analysis.summary import Column, Summary
from bench.display.figure import in_order
from bench.display.names import axis_text
from bench.results.results import Results

Shape = Literal["differences", "curve", "grid", "frontier"]

FAMILIES = "architecture"
"""The axis of an ablation that compares families of networks."""
FEWEST = 3
"""Values of a curve; two are a difference."""
FULL = 0.6
"""The least fraction of a grid's squares that are measured."""
MOST_COLUMNS, MOST_ROWS = 6, 16
"""Of a grid."""


@dataclass(frozen=True)
class Curve:
    """A numeric axis and each variant's number on it, the smallest first; `others` differ in something else too."""

    axis: str
    numbers: Mapping[str, float]
    others: Mapping[str, float]


@dataclass(frozen=True)
class Grid:
    """Two axes, their values in order, and the variant of each pair (row, column); a pair may have none."""

    axes: tuple[str, str]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    variants: Mapping[tuple[str, str], str]


def shape_of(summary: Summary, column: Column) -> Shape:
    """Families of networks: a frontier; one numeric axis: a curve; two axes: a grid; else differences."""
    if frontier_of(summary, column):
        return "frontier"
    if curve_of(summary, column):
        return "curve"
    return "grid" if grid_of(summary, column) else "differences"


def frontier_of(summary: Summary, column: Column) -> Front | None:
    """The metric against the leading cost, or the first other one that differs; None where no families are compared."""
    if FAMILIES not in summary.results.varied:
        return None
    single = [each for each in fronts(summary) if each.score == column and len(each.costs) == 1]
    leading = cost_column(summary)
    first = sorted(single, key=lambda each: each.costs[0] != leading)
    return first[0] if first and len(first[0].standings) > 1 else None


def curve_of(summary: Summary, column: Column) -> Curve | None:
    """The numeric axis with the most values where at most a third of the variants differ in something else too."""
    results, variants = summary.results, [each.variant for each in summary.measured(column.metric)]
    curves = [curve for axis in results.varied if (curve := _curve(results, variants, axis))]
    fitting = [curve for curve in curves if len(curve.numbers) >= FEWEST and 3 * len(curve.others) <= len(variants)]
    return max(fitting, key=lambda curve: len(curve.numbers), default=None)


def _curve(results: Results, variants: Sequence[str], axis: str) -> Curve | None:
    numbers = {variant: axis_number(axis, axis_text(results, variant, axis)) for variant in variants}
    if any(math.isnan(number) for number in numbers.values()):
        return None
    rest = [name for name in results.varied if name != axis]
    own = [axis_text(results, results.baseline, name) for name in rest]
    along = {v: n for v, n in numbers.items() if [axis_text(results, v, name) for name in rest] == own}
    ordered = dict(sorted(along.items(), key=lambda pair: pair[1]))
    if len(set(ordered.values())) < len(ordered):
        return None
    return Curve(axis, ordered, {v: n for v, n in numbers.items() if v not in along})


def axis_number(axis: str, text: str) -> float:
    """`0.1` as 0.1, the shape `[3,64,64]` of an input as 64; nan for what is no number."""
    try:
        parts = [float(part) for part in text.removeprefix("[").removesuffix("]").split(",")]
    except ValueError:
        return math.nan
    if axis.rpartition(".")[2] == "shape" and len(parts) > 1:
        return math.sqrt(math.prod(parts[1:]))
    return parts[0] if len(parts) == 1 and math.isfinite(parts[0]) else math.nan


def grid_of(summary: Summary, column: Column) -> Grid | None:
    """The measured variants by two axes, the one with more values down; None where too many squares are empty."""
    results, measured = summary.results, {each.variant for each in summary.measured(column.metric)}
    if len(results.varied) != 2:
        return None
    variants = [variant for variant in in_order(results) if variant in measured]
    first, second = results.varied
    counts = [len({axis_text(results, v, axis) for v in variants}) for axis in (first, second)]
    down, across = (first, second) if counts[0] >= counts[1] else (second, first)
    pairs = {(axis_text(results, v, down), axis_text(results, v, across)): v for v in variants}
    rows, columns = (tuple(_sorted([pair[i] for pair in pairs])) for i in (0, 1))
    fits = 2 <= len(columns) <= MOST_COLUMNS and len(rows) <= MOST_ROWS
    full = len(pairs) == len(variants) >= FULL * len(rows) * len(columns)
    return Grid((down, across), rows, columns, pairs) if fits and full else None


def _sorted(texts: Sequence[str]) -> list[str]:
    """Each text once: numbers by their size, words in their order after them."""
    unique = list(dict.fromkeys(texts))
    numbers = {text: number for text in unique if not math.isnan(number := axis_number("", text))}
    return [*sorted(numbers, key=lambda text: numbers[text]), *(text for text in unique if text not in numbers)]
