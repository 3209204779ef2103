"""What of a table is shown: metrics, columns, the order of the variants, differences, and the best numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from bench.analysis.aggregate import Aggregate, Column
from bench.analysis.claims import ClaimResult
from bench.analysis.leading import cost_column, main_column
from bench.analysis.summary import Summary, summarise
from bench.display.figure import in_order, names
from bench.display.names import axis_text, short_name
from bench.registry import suggestion
from bench.results.results import Results

PARTS = ("value", "difference", "verdict")
"""What a metric's columns can show each on its own."""
WHOLE = "whole"
"""The number with its difference and verdict in one column."""


class TableError(ValueError):
    """A column, metric or order that a table does not have."""


@dataclass(frozen=True)
class Choice:
    """What a caller wants to see; everything where nothing is given.

    `metrics`  names of metrics, in this order
    `columns`  `main`: the columns of the report's main table; or `variant`, `varied`, axes, metrics, and `value`,
               `difference`, `verdict`: of the metric before, or of all metrics
    `sort`     a metric or an axis, ascending; `-NAME` descending; empty: the ablation's order
    `delta`    whether differences from the baseline are shown
    `best`     whether the best number of each metric is marked
    """

    metrics: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    sort: str = ""
    delta: bool = True
    best: bool = False


EVERYTHING = Choice()
MAIN = "main"
"""The name of the columns of the report's main table."""
MAIN_TABLE = Choice(columns=(MAIN,), best=True)


@dataclass(frozen=True)
class ShownColumn:
    """A column of a table: `kind` is `variant`, `varied` (the axes in one text), `axis` or `metric`.

    `part` is one of PARTS, or WHOLE, of a metric.
    """

    kind: str
    name: str = ""
    part: str = ""


@dataclass(frozen=True, eq=False)
class Layout:
    """A table's content: `summary` has the shown metrics alone, `every` all of them."""

    choice: Choice
    every: Summary
    summary: Summary
    columns: tuple[ShownColumn, ...]
    variants: tuple[str, ...]

    @property
    def results(self) -> Results:
        return self.summary.results

    @property
    def axes(self) -> list[str]:
        """The axes that have a column."""
        return [column.name for column in self.columns if column.kind == "axis"]

    def name(self, variant: str, column: ShownColumn) -> str:
        """A variant's name; in the main table that of the figures."""
        if column.name == MAIN:
            return names(self.results)[variant]
        return short_name(self.results, variant) + (" (baseline)" if variant == self.results.baseline else "")

    @cached_property
    def claims(self) -> tuple[ClaimResult, ...]:
        """The claims; where metrics were chosen, those about these alone."""
        shown = {column.metric for column in self.summary.columns}
        return tuple(c for c in self.every.claims if not _chosen(self.choice) or _metrics_of(c) <= shown)

    @cached_property
    def best(self) -> frozenset[tuple[str, str]]:
        """(variant, metric) of the best numbers, ties included; empty unless they are to be marked."""
        columns = self.summary.columns if self.choice.best else ()
        return frozenset((variant, c.metric) for c in columns for variant in best_of(c, self.summary.of(c.metric)))


def _metrics_of(claim: ClaimResult) -> set[str]:
    """The metrics that a claim is about."""
    return {entry.metric for comparison in claim.statement.comparisons for entry in comparison.references()}


def layout_of(results: Results, choice: Choice = EVERYTHING) -> Layout:
    """The content of a table. Raises TableError for a name that it does not have, with the nearest one."""
    every = summarise(results)
    columns = tuple(_columns(every, choice))
    if not columns:
        raise TableError(f"the table of '{results.name}' has no metrics, and so no such columns")
    shown = list(dict.fromkeys(column.name for column in columns if column.kind == "metric"))
    summary = replace(every, columns=tuple(every.column(name) for name in shown)) if _chosen(choice) else every
    return Layout(choice, every, summary, columns, _sorted(every, choice.sort, choice.columns == (MAIN,)))


def _chosen(choice: Choice) -> bool:
    return bool(choice.metrics or choice.columns)


def _columns(summary: Summary, choice: Choice) -> Iterator[ShownColumn]:
    results, known = summary.results, [column.metric for column in summary.columns]
    for name in choice.metrics:
        _check(name, known, "the table has no metric")
    if choice.columns == (MAIN,) and MAIN not in (*known, *_axes(results)):
        yield from _main_columns(summary, choice)
        return
    if choice.columns:
        yield from _named_columns(summary, choice, known)
        return
    yield ShownColumn("variant")
    yield from (ShownColumn("axis", axis) for axis in results.columns)
    part = WHOLE if choice.delta else "value"
    yield from (ShownColumn("metric", name, part) for name in choice.metrics or known)


def _main_columns(summary: Summary, choice: Choice) -> Iterator[ShownColumn]:
    """At most six: variant, what varies, the main metric, its difference, the verdict, and one cost."""
    main, cost = main_column(summary), cost_column(summary)
    yield ShownColumn("variant", MAIN)
    if summary.results.labels:
        yield ShownColumn("varied", "varied")
    if main:
        yield from (ShownColumn("metric", main.metric, part) for part in _main_parts(summary, main, choice))
    if cost:
        yield ShownColumn("metric", cost.metric, "value")


def _main_parts(summary: Summary, main: Column, choice: Choice) -> tuple[str, ...]:
    """What is shown of the main metric: a part that no variant has gets no column."""
    deltas = [delta for (_, metric), delta in summary.deltas.items() if metric == main.metric]
    judged = any(delta.verdict and main.kind == "accuracy" for delta in deltas)
    return ("value", *["difference"] * bool(deltas and choice.delta), *["verdict"] * (judged and choice.delta))


def _named_columns(summary: Summary, choice: Choice, known: Sequence[str]) -> Iterator[ShownColumn]:
    """The columns in the order in which they are named; chosen metrics that are not among them follow."""
    axes = _axes(summary.results)
    kinds = [_kind(name, known, axes) for name in choice.columns]
    if not choice.delta and {"difference", "verdict"} & {n for n, k in zip(choice.columns, kinds) if k == "part"}:
        raise TableError("the columns 'difference' and 'verdict' are differences, which --no-delta leaves out")
    named = [name for name, kind in zip(choice.columns, kinds) if kind == "metric"]
    parts = [name for name, kind in zip(choice.columns, kinds) if kind == "part"]
    rest = [name for name in choice.metrics or (known if parts and not named else ()) if name not in named]
    spread, last = not named, ""
    for name, kind in zip(choice.columns, kinds):
        if kind == "part" and spread:
            yield from (ShownColumn("metric", metric, part) for metric in rest for part in parts)
            rest, parts = [], []
        elif kind == "part" and not last:
            raise TableError(f"the column '{name}' belongs to the metric before it, and there is none")
        elif kind == "part":
            yield ShownColumn("metric", last, name)
        else:
            last = name if kind == "metric" else last
            yield ShownColumn(kind, "" if kind == "variant" else name, "value" if kind == "metric" else "")
    yield from (ShownColumn("metric", metric, "value") for metric in rest)


def _kind(name: str, metrics: Sequence[str], axes: Sequence[str]) -> str:
    kinds = (("variant", ("variant",)), ("metric", metrics), ("axis", axes), ("part", PARTS), ("varied", ("varied",)))
    kind = next((kind for kind, names in kinds if name in names), "")
    return kind or _check(name, ["variant", *axes, *metrics, *PARTS, "varied", MAIN], "the table has no column")


def _check(name: str, names: Sequence[str], words: str) -> str:
    if name not in names:
        raise TableError(f"{words} '{name}'{suggestion(name, names)}")
    return name


def _axes(results: Results) -> list[str]:
    """The axes that vary and what a search chose, then the axes that any variant states."""
    stated = (axis for variant in results.variants for axis in results.axes.get(variant, {}))
    return list(dict.fromkeys((*results.columns, *stated)))


def _sorted(summary: Summary, sort: str, by_axis: bool = False) -> tuple[str, ...]:
    """The variants by a metric or an axis; those without a value come last in either direction.

    Without `sort` in the ablation's order, or with `by_axis` in that of the numbers on their axes.
    """
    variants, results = summary.results.variants, summary.results
    if not sort:
        return in_order(results) if by_axis else variants
    name, metrics = sort.removeprefix("-"), [column.metric for column in summary.columns]
    _check(name, [*metrics, *_axes(results)], "the table cannot be sorted by")
    keys: dict[str, tuple[Any, ...] | None] = {}
    if name in metrics:
        keys |= {v: _metric_key(summary.aggregates.get((v, name))) for v in variants}
    else:
        keys |= {v: _axis_key(axis_text(results, v, name)) for v in variants}
    present = [variant for variant in variants if keys[variant]]
    ordered = sorted(present, key=lambda variant: keys[variant] or (), reverse=sort.startswith("-"))
    return (*ordered, *(variant for variant in variants if not keys[variant]))


def _metric_key(aggregate: Aggregate | None) -> tuple[float, ...] | None:
    rank = rank_of(aggregate) if aggregate else None
    return None if rank is None else (rank,)


def _axis_key(text: str) -> tuple[int, float, str] | None:
    """Numbers by their size, before words by their letters."""
    try:
        return (0, float(text), "")
    except ValueError:
        return (1, 0.0, text) if text else None


def rank_of(aggregate: Aggregate) -> float | None:
    """The number to order by: a receptive field that is global is larger than any; None where there is no number."""
    value = math.inf if aggregate.words == "global" else aggregate.value
    return None if value is None or math.isnan(value) else value


def best_of(column: Column, aggregates: Iterable[Aggregate]) -> list[str]:
    """The variants with the best number of a metric; none where no direction is better or clocks differ.

    A number of which seeds are missing, or a count that leaves operators out, is not compared.
    """
    whole = [each for each in aggregates if each.status == "measured" and each.coverage == 1 and not each.uncounted]
    ranks = {each.variant: rank for each in whole if (rank := rank_of(each)) is not None}
    clocks = {each.clock for each in whole if each.variant in ranks}
    if column.better not in ("higher", "lower") or len(ranks) < 2 or len(clocks) > 1:
        return []
    best = max(ranks.values()) if column.better == "higher" else min(ranks.values())
    return [variant for variant, rank in ranks.items() if rank == best]
