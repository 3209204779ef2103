"""Two result sets side by side, outer join: what stands on one side only is a row too. Pure but for reading files."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.registry import suggestion
from bench.results.store import Store
from bench.stats.descriptive import mean

Status = Literal["same", "differs", "only in A", "only in B", "error", "not measured"]
Numbers = Mapping[tuple[str, str], "Entry"]


class CompareError(ValueError):
    """A result set that cannot be read."""


@dataclass(frozen=True)
class Entry:
    """A variant's number by one metric: the mean over its seeds (or the median of its samples), or the error."""

    value: float | None
    count: int = 1
    error: str | None = None


@dataclass(frozen=True)
class Line:
    """One row of a comparison; `change` is B - A."""

    variant: str
    metric: str
    status: Status
    a: float | None
    b: float | None
    change: float | None
    error: str | None = None


def read(path: Path) -> Numbers:
    """A results store, or a table that `bench table --format csv` wrote. Raises CompareError."""
    if not path.exists():
        near = suggestion(path.name, sorted(p.name for p in path.parent.glob("*.*"))) if path.parent.is_dir() else ""
        raise CompareError(f"{path}: there is no such result set{near}")
    return _table(path) if path.suffix == ".csv" else _store(path)


def _store(path: Path) -> Numbers:
    with Store(path) as store:
        found = [m for m, _, _ in store.measurements()]
    latest: dict[tuple[str, str], dict[int | None, Entry]] = {}
    for m in found:  # in the order they were measured: what an edited source measured anew replaces the old
        work = m.workload
        where = f"{work.dataset} " if m.seed is not None else ""
        name = f"{m.variant.name} @ {where}{'x'.join(map(str, work.shape))}"
        latest.setdefault((name, m.metric), {})[m.seed] = Entry(m.value, 1, m.error)
    return {pair: _merged([*by_seed.values()]) for pair, by_seed in latest.items()}


def _merged(entries: list[Entry]) -> Entry:
    values = [e.value for e in entries if e.value is not None]
    error = next((e.error for e in entries if e.error), None)
    return Entry(mean(values) if values else None, len(values), error)


def _table(path: Path) -> Numbers:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        fields = list(reader.fieldnames or [])
        metrics = [name for name in fields if f"{name}_unit" in fields]
        if "variant" not in fields or not metrics:
            raise CompareError(f"{path}: no table of 'bench table --format csv'")
        rows = list(reader)
    return {(row["variant"], m): _number(row, m) for row in rows for m in metrics}


def _number(row: Mapping[str, str], metric: str) -> Entry:
    value = row.get(metric) or None
    return Entry(float(value) if value else None, int(row.get(f"{metric}_n") or 1), row.get(f"{metric}_error") or None)


def compare(a: Numbers, b: Numbers) -> list[Line]:
    """One line for each number on either side, sorted."""
    return [_line(pair, a.get(pair), b.get(pair)) for pair in sorted({*a, *b})]


def _line(pair: tuple[str, str], a: Entry | None, b: Entry | None) -> Line:
    left, right = a.value if a else None, b.value if b else None
    error = (a.error if a else None) or (b.error if b else None)
    status: Status = "same" if left == right else "differs"
    if a is None or b is None:
        status = "only in B" if a is None else "only in A"
    elif left is None or right is None:
        status = "error" if error else "not measured"
    change = right - left if left is not None and right is not None else None
    return Line(*pair, status, left, right, change, error)
