"""Two result sets side by side: every number of either, paired only where it was measured under the same conditions."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.registry import suggestion
from bench.results.bundle import read as read_bundle
from bench.results.conditions import differences, missing_on_one_side
from bench.results.measurement import Record
from bench.results.store import Store
from bench.spec.characters import from_csv_field
from bench.stats.descriptive import mean

Status = Literal["same", "differs", "only in A", "only in B", "other seeds", "error", "not measured"]
Place = tuple[str, str, str]
"""(variant, metric, conditions as JSON; of a table, which does not record them, the empty object)."""


class CompareError(ValueError):
    """A result set that cannot be read."""


@dataclass(frozen=True)
class Number:
    """A variant's number by one metric: the mean over its seeds (or the median of its samples), or the error."""

    value: float | None
    seeds: tuple[int | None, ...] = (None,)
    error: str | None = None


@dataclass(frozen=True)
class Line:
    """One row of a comparison; `change` is B - A. `note` says how the other side's conditions or seeds differ."""

    variant: str
    metric: str
    status: Status
    a: float | None
    b: float | None
    change: float | None
    error: str | None = None
    note: str = ""


Numbers = Mapping[Place, Number]


def read(path: Path) -> Numbers:
    """A results store, a results bundle, or a table that `bench table --format csv` wrote. Raises CompareError."""
    if not path.exists():
        near = suggestion(path.name, sorted(p.name for p in path.parent.glob("*"))) if path.parent.is_dir() else ""
        raise CompareError(f"{path}: there is no such result set{near}")
    if path.is_dir():
        return numbers_of(read_bundle(path).records)
    if path.suffix == ".csv":
        return _table(path)
    with Store(path) as store:
        return numbers_of(store.records())


def numbers_of(records: Iterable[Record]) -> Numbers:
    """Each variant's number by metric and conditions; a later measurement of a seed replaces an earlier one."""
    groups: dict[Place, dict[int | None, Record]] = {}
    for record in records:
        m = record.measurement
        place = (m.variant.name, m.metric, json.dumps(record.conditions, sort_keys=True))
        groups.setdefault(place, {})[m.seed] = record
    return {place: _number([r.measurement for r in by_seed.values()]) for place, by_seed in groups.items()}


def _number(measurements: list[Any]) -> Number:
    values = [m.value for m in measurements if m.value is not None]
    error = next((m.error for m in measurements if m.error), None)
    seeds = tuple(sorted((m.seed for m in measurements), key=lambda seed: -1 if seed is None else seed))
    return Number(mean(values) if values else None, seeds, error)


def _table(path: Path) -> Numbers:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        fields = list(reader.fieldnames or [])
        metrics = [name for name in fields if f"{name}_unit" in fields]
        if "variant" not in fields or not metrics:
            raise CompareError(f"{path}: not a table of 'bench table --format csv'")
        rows = [{name: from_csv_field(row[name] or "") for name in fields} for row in reader]
    return {(row["variant"], metric, "{}"): _cell(row, metric) for row in rows for metric in metrics}


def _cell(row: Mapping[str, str], metric: str) -> Number:
    value = row.get(metric) or None
    return Number(float(value) if value else None, error=row.get(f"{metric}_error") or None)


def compare(a: Numbers, b: Numbers) -> list[Line]:
    """One line for each number on either side, sorted; unmatched numbers are kept."""
    return [_line(place, a, b) for place in sorted({*a, *b})]


def _line(place: Place, a: Numbers, b: Numbers) -> Line:
    left, right = a.get(place), b.get(place)
    if left is None or right is None:
        return _unmatched(place, left, right, _nearest(place, b if right is None else a))
    if left.seeds != right.seeds:
        note = f"other seeds: {_listed(left.seeds)} in A, {_listed(right.seeds)} in B"
        return Line(*place[:2], "other seeds", left.value, right.value, None, left.error or right.error, note)
    if left.value is None or right.value is None:
        error = left.error or right.error
        return Line(*place[:2], "error" if error else "not measured", left.value, right.value, None, error)
    status: Status = "same" if left.value == right.value else "differs"
    return Line(*place[:2], status, left.value, right.value, right.value - left.value)


def _unmatched(place: Place, left: Number | None, right: Number | None, note: str) -> Line:
    status: Status = "only in B" if left is None else "only in A"
    a, b = (side.value if side else None for side in (left, right))
    error = (left or right or Number(None)).error
    return Line(*place[:2], status, a, b, None, error, note)


def _nearest(place: Place, others: Numbers) -> str:
    """How the same variant and metric were measured on the other side, where only the conditions differ."""
    mine = json.loads(place[2])
    candidates = [json.loads(each[2]) for each in others if each[:2] == place[:2]]
    notes: list[list[str]] = [_differing(mine, other) for other in candidates]
    nearest = min(notes, key=len, default=[])
    return "; ".join(nearest)


def _differing(mine: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    if not mine or not other:
        return ["the conditions of one side are not recorded"]
    return [*differences(mine, other), *missing_on_one_side(mine, other)]


def _listed(seeds: Iterable[int | None]) -> str:
    return ", ".join("none" if seed is None else str(seed) for seed in seeds)
