"""The main table of a page: a row per variant, six columns that answer the question, and all metrics behind them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from bench.analysis.aggregate import Aggregate, Column
from bench.analysis.leading import cost_column, main_column
from bench.analysis.summary import Summary
from bench.display.figure import in_order, names
from bench.display.names import varied_words
from bench.display.numbers import ARROWS, DELTA, PLAIN, Shown, show, shown_unit, spread_words, style_of
from bench.display.wording import EMPTY
from bench.report.choice import best_of, rank_of


@dataclass(frozen=True)
class TableColumn:
    """A column: its heading, the small text below it, whether it has numbers, and whether it is one of the six."""

    title: str
    below: str = ""
    numeric: bool = True
    leading: bool = True


@dataclass(frozen=True)
class TableCell:
    """What a cell shows; `exact` is every digit of it, empty where the text is exact.

    `sort` is what the column is sorted by, empty where there is nothing. `change` and `verdict` are small texts below.
    """

    text: str
    sort: str
    exact: str = ""
    change: str = ""
    verdict: str = ""
    notes: tuple[str, ...] = ()
    best: bool = False


@dataclass(frozen=True)
class TableRow:
    """A variant's row: its short and full name, and a cell for each column after the first."""

    name: str
    variant: str
    baseline: bool
    cells: tuple[TableCell, ...]


@dataclass(frozen=True)
class MainTable:
    """The columns after that of the names, and the rows."""

    columns: tuple[TableColumn, ...]
    rows: tuple[TableRow, ...]


def main_table(summary: Summary) -> MainTable:
    """Label, what varied, main metric, difference with its verdict, one cost; then the other metrics."""
    columns = list(_columns(summary))
    results, short = summary.results, names(summary.results)
    rows = (
        TableRow(short[v], v, v == results.baseline, tuple(column.cell(v) for column in columns))
        for v in in_order(results)
    )
    return MainTable(tuple(column.head for column in columns), tuple(rows))


class _Varied:
    """The column that says what varied."""

    def __init__(self, summary: Summary) -> None:
        self.results, self.order = summary.results, in_order(summary.results)
        self.head = TableColumn("what varied", numeric=False)

    def cell(self, variant: str) -> TableCell:
        return TableCell(varied_words(self.results, variant) or EMPTY, str(self.order.index(variant)))


class _Change:
    """The column of the main metric's difference from the baseline, with its verdict."""

    def __init__(self, summary: Summary, column: Column) -> None:
        self.summary, self.column = summary, column
        base = names(summary.results)[summary.results.baseline].removesuffix(" (baseline)")
        self.head = TableColumn(f"{DELTA} {column.name}", f"against {base} [interval], verdict")

    def cell(self, variant: str) -> TableCell:
        delta, shown = self.summary.delta(variant, self.column.metric), _shown(self.summary, variant, self.column)
        if delta is None or shown is None or not shown.difference:
            return TableCell(EMPTY, "")
        exact = repr(delta.difference.value) + (f" [{', '.join(map(repr, delta.interval))}]" if delta.interval else "")
        return TableCell(shown.difference, repr(delta.difference.value), exact, verdict=shown.verdict)


class _Number:
    """The column of a metric: its number, and with `change` the difference too."""

    def __init__(self, summary: Summary, column: Column, leading: bool, change: bool) -> None:
        self.summary, self.column, self.change = summary, column, change
        self.best = best_of(column, summary.of(column.metric))
        below = (shown_unit(summary, column), spread_words(summary.of(column.metric)))
        title = f"{column.name or column.metric} {ARROWS.get(column.better or '', '')}".strip()
        self.head = TableColumn(title, ", ".join(part for part in below if part), leading=leading)

    def cell(self, variant: str) -> TableCell:
        aggregate = self.summary.aggregates.get((variant, self.column.metric))
        shown = _shown(self.summary, variant, self.column)
        if aggregate is None or shown is None:
            return TableCell(EMPTY, "")
        change, verdict = (shown.difference, shown.verdict) if self.change else ("", "")
        exact, best = _exact(aggregate, self.column), variant in self.best
        return TableCell(shown.number, _sort(aggregate), exact, change, verdict, shown.notes, best)


def _columns(summary: Summary) -> Iterator[_Varied | _Change | _Number]:
    main, cost = main_column(summary), cost_column(summary)
    if summary.results.labels:
        yield _Varied(summary)
    if main:
        yield _Number(summary, main, leading=True, change=False)
        yield from [_Change(summary, main)] * any(metric == main.metric for _, metric in summary.deltas)
    if cost:
        yield _Number(summary, cost, leading=True, change=True)
    yield from (_Number(summary, c, leading=False, change=True) for c in summary.columns if c not in (main, cost))


def _shown(summary: Summary, variant: str, column: Column) -> Shown | None:
    return show(summary, variant, column.metric, style_of(summary, column))


def _sort(aggregate: Aggregate) -> str:
    """What JavaScript reads as a number: a receptive field that is global is larger than any."""
    rank = rank_of(aggregate)
    if rank is None:
        return ""
    return ("Infinity" if rank > 0 else "-Infinity") if math.isinf(rank) else repr(rank)


def _exact(aggregate: Aggregate, column: Column) -> str:
    if aggregate.value is None:
        return ""
    unit = "" if column.unit in PLAIN else f" {column.unit}"
    samples = ", ".join(f"seed {seed}: {value!r}" for seed, value in sorted(aggregate.seeded.items()))
    return f"{aggregate.value!r}{unit}" + (f" ({samples})" if samples else "")
