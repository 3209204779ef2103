"""What a table says of one variant and metric, exactly: one list of fields for CSV and JSON alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.aggregate import Aggregate, Column
from bench.analysis.contrast import Contrast
from bench.analysis.deltas import Delta
from bench.analysis.summary import Summary
from bench.display.names import axis_text
from bench.stats.inference import Interval


@dataclass(frozen=True)
class Cell:
    """One table cell: the aggregate of a variant and metric, and its difference from the baseline if there is one."""

    summary: Summary
    column: Column
    aggregate: Aggregate
    delta: Delta | None

    @property
    def axes(self) -> dict[str, str]:
        """The variant's values on the axes that vary, and what a search chose for it."""
        results = self.summary.results
        return {axis: axis_text(results, self.aggregate.variant, axis) for axis in results.columns}

    @property
    def seeded(self) -> bool:
        """Whether the metric depends on a seed."""
        return self.column.kind == "accuracy"

    @property
    def judged(self) -> bool:
        """Whether its difference is judged against noise."""
        return self.seeded or bool(self.delta and self.delta.interval)

    @property
    def inferred(self) -> Contrast | None:
        """The contrast with the baseline where it has a confidence interval."""
        return self.delta.contrast if self.delta and self.delta.interval else None


@dataclass(frozen=True)
class Field:
    """A named value of a cell. `suffixes` are its columns in CSV, after the metric's name; none: only JSON has it.

    A value with two suffixes is a pair. None is an empty column in CSV, and null in JSON. `in_csv` says whether the
    value is worth a column: a CSV table has no column in which every row would say the same.
    """

    name: str
    value: Callable[[Cell], Any]
    suffixes: tuple[str, ...] = ()
    in_csv: Callable[[Cell], bool] = lambda cell: True


FIELDS: Sequence[Field] = (
    Field("variant", lambda c: c.aggregate.variant),
    Field("axes", lambda c: c.axes),
    Field("metric", lambda c: c.column.metric),
    Field("value", lambda c: number(c.aggregate.value), ("",)),
    Field("unit", lambda c: c.column.unit, ("_unit",)),
    Field("better", lambda c: c.column.better),
    Field("kind", lambda c: c.column.kind),
    Field("words", lambda c: c.aggregate.words or None, ("_words",)),
    Field("n", lambda c: c.aggregate.count, ("_n",), lambda c: c.seeded),
    Field("spread", lambda c: number(c.aggregate.spread), ("_sd",)),
    Field("quartiles", lambda c: ends(c.aggregate.quartiles), ("_q1", "_q3")),
    Field("samples", lambda c: [number(value) for _, value in c.aggregate.samples]),
    Field("seeds", lambda c: [seed for seed, _ in c.aggregate.samples]),
    Field("exact", lambda c: c.aggregate.exact),
    Field("difference", lambda c: number(c.delta.difference.value) if c.delta else None, ("_difference",)),
    Field("difference_spread", lambda c: number(c.delta.difference.spread) if c.delta else None, ("_difference_sd",)),
    Field("pairs", lambda c: c.delta.difference.pairs if c.delta else None),
    Field("interval", lambda c: ends(c.delta.interval) if c.delta else None, ("_difference_low", "_difference_high")),
    Field("interval_level", lambda c: c.delta.level if c.delta and c.delta.interval else None),
    Field("interval_of_seeds", lambda c: ends(c.inferred.training()) if c.inferred else None),
    Field("interval_of_evaluation", lambda c: ends(c.inferred.evaluation()) if c.inferred else None),
    Field("equivalence_margin", lambda c: number(c.delta.shown_margin) if c.delta else None),
    Field("seeds_needed", lambda c: c.delta.seeds_needed if c.delta else None),
    Field("basis", lambda c: c.inferred.basis if c.inferred else None),
    Field("verdict", lambda c: c.delta.verdict if c.delta else None, ("_verdict",), lambda c: c.judged),
    Field("coverage", lambda c: c.aggregate.coverage, ("_coverage",), lambda c: c.aggregate.coverage < 1),
    Field("uncounted", lambda c: ", ".join(c.aggregate.uncounted) or None, ("_uncounted",)),
    Field("status", lambda c: c.aggregate.status, ("_status",), lambda c: c.aggregate.status != "measured"),
    Field("error", lambda c: "; ".join(dict.fromkeys(m for _, m in c.aggregate.errors)) or None, ("_error",)),
    Field("errors", lambda c: [{"seed": seed, "error": message} for seed, message in c.aggregate.errors]),
    Field("not_measured", lambda c: list(c.aggregate.missing)),
)


def cells(summary: Summary, variant: str) -> Iterator[Cell]:
    """The variant's cells, in the order of the columns; only those that were requested or measured."""
    for column in summary.columns:
        aggregate = summary.aggregates.get((variant, column.metric))
        if aggregate is not None:
            yield Cell(summary, column, aggregate, summary.delta(variant, column.metric))


DIFFERENCES = ("difference", "difference_spread", "pairs", "interval", "interval_level", "interval_of_seeds",
               "interval_of_evaluation", "equivalence_margin", "seeds_needed", "basis", "verdict")  # fmt: skip
"""The fields that compare with the baseline."""


def json_object(cell: Cell, delta: bool = True) -> dict[str, Any]:
    """All fields of a cell, with or without those that compare with the baseline."""
    return {field.name: field.value(cell) for field in FIELDS if delta or field.name not in DIFFERENCES}


def csv_columns(shown: Sequence[tuple[str, str]], best: bool = False) -> list[str]:
    """The columns of metrics; `shown` are (metric, part), where a part is `value`, `difference`, `verdict` or `whole`.

    With `best` there is one that says whether a number is the best.
    """
    return [f"{metric}{suffix}" for metric, part in shown for suffix in _suffixes(part, best)]


def _suffixes(part: str, best: bool) -> list[str]:
    """The ends of the names of the columns that show a part of a metric."""
    suffixes = [suffix for field in FIELDS for suffix in field.suffixes if part in ("whole", part_of(field))]
    return suffixes[:1] + ["_best"] + suffixes[1:] if best and part in ("value", "whole") else suffixes


def part_of(field: Field) -> str:
    """`verdict`, `difference` or `value`: the part of a metric that a field belongs to."""
    if field.name not in DIFFERENCES:
        return "value"
    return "verdict" if field.name == "verdict" else "difference"


def csv_values(cell: Cell) -> Mapping[str, Any]:
    """Column -> value, of the fields of a cell that CSV has; what is None is left out."""
    values: dict[str, Any] = {}
    for field in FIELDS:
        value = field.value(cell) if field.suffixes and field.in_csv(cell) else None
        parts = value if len(field.suffixes) > 1 and value is not None else [value] * len(field.suffixes)
        values |= {f"{cell.column.metric}{suffix}": part for suffix, part in zip(field.suffixes, parts, strict=True)}
    return {name: value for name, value in values.items() if value is not None}


def number(value: float | None) -> float | int | str | None:
    """A whole number as an int; infinity and NaN, which JSON lacks, by name."""
    if value is None:
        return None
    if not math.isfinite(value):
        return str(value)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def ends(interval: Interval | None) -> list[float | int | str | None] | None:
    """The two ends of an interval as JSON numbers."""
    return None if interval is None else [number(end) for end in interval]
