"""Two result sets side by side: every number of either, paired only where it was measured under the same conditions."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
"""(variant, metric, conditions as JSON; of a table, which does not record them, the empty object).

The conditions have the axes that the variant's name leaves out, and of a number that other code measured the versions.
"""


MOST = 3
"""Modules and libraries that a note names."""


OLDER = "code or libraries of one side are older than those of its latest number"


class CompareError(ValueError):
    """A result set that cannot be read."""


@dataclass(frozen=True)
class Number:
    """A variant's number by one metric: the mean over its seeds (or the median of its samples), or the error.

    All of its seeds were measured by the same `versions` of code and libraries.
    """

    value: float | None
    seeds: tuple[int | None, ...] = (None,)
    error: str | None = None
    versions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """One row of a comparison; `change` is B - A. `note` says how conditions, seeds or versions of the two differ."""

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
    if path.suffix == ".csv" and path.is_file():
        return _table(path)
    if not path.is_file():
        raise CompareError(f"{path}: neither a file nor a folder")
    with Store(path) as store:
        return numbers_of(store.records())


def numbers_of(records: Iterable[Record]) -> Numbers:
    """Each variant's number by metric and conditions; a later measurement of a seed replaces an earlier one.

    Seeds that different code or other libraries measured are not averaged: what the latest measured is the number, and
    earlier ones are numbers of their own.
    """
    groups: dict[Place, dict[str, dict[int | None, Record]]] = {}
    for record in records:
        versions = groups.setdefault(_place(record), {})
        identity = _identity(record.versions)
        by_seed = versions.pop(identity, {}) | {record.measurement.seed: record}
        versions[identity] = by_seed  # the latest comes last
    return {place: number for head, versions in groups.items() for place, number in _by_versions(head, versions)}


def _place(record: Record) -> Place:
    m = record.measurement
    unnamed = {axis: value for axis, value in m.variant.axes if axis not in m.variant.stated}
    axes = {"axes": unnamed} if unnamed else {}
    return m.variant.name, m.metric, json.dumps({**record.conditions, **axes}, sort_keys=True)


def _identity(versions: Mapping[str, Any]) -> str:
    """Equal where code and libraries are equal; the names of modules do not count."""
    code = {role: sorted(digests.values()) for role, digests in versions.get("code", {}).items()}
    return json.dumps({**versions, "code": code}, sort_keys=True) if versions else ""


def _by_versions(head: Place, versions: Mapping[str, Mapping[int | None, Record]]) -> Iterator[tuple[Place, Number]]:
    *earlier, latest = versions.values()
    yield head, _number(list(latest.values()))
    for by_seed in earlier:
        number = _number(list(by_seed.values()))
        conditions = {**json.loads(head[2]), "versions": number.versions}
        yield (*head[:2], json.dumps(conditions, sort_keys=True)), number


def _number(records: Sequence[Record]) -> Number:
    measurements = [record.measurement for record in records]
    values = [m.value for m in measurements if m.value is not None]
    error = next((m.error for m in measurements if m.error), None)
    seeds = tuple(sorted((m.seed for m in measurements), key=lambda seed: -1 if seed is None else seed))
    return Number(mean(values) if values else None, seeds, error, records[0].versions)


def _table(path: Path) -> Numbers:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _numbers_of_table(path, csv.DictReader(file))
    except UnicodeDecodeError as error:
        raise CompareError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from None
    except csv.Error as error:
        raise CompareError(f"{path}: not a table of 'bench table --format csv' ({error})") from None


def _numbers_of_table(path: Path, reader: csv.DictReader[str]) -> Numbers:
    fields = list(reader.fieldnames or [])
    metrics = [name for name in fields if f"{name}_unit" in fields]
    if "variant" not in fields or not metrics:
        raise CompareError(f"{path}: not a table of 'bench table --format csv'")
    numbers: dict[Place, Number] = {}
    for row in reader:
        where = f"{path}:{reader.line_num}"
        if None in row or None in row.values():
            raise CompareError(f"{where}: the first line has {len(fields)} fields, and this one has not")
        for metric in metrics:
            place = (from_csv_field(row["variant"]), metric, "{}")
            if place in numbers:
                raise CompareError(f"{where}: the variant {row['variant']} is listed twice")
            numbers[place] = _cell(row, metric, where)
    return numbers


def _cell(row: Mapping[str, str], metric: str, where: str) -> Number:
    value = row[metric] or None
    try:
        return Number(float(value) if value else None, error=from_csv_field(row.get(f"{metric}_error") or "") or None)
    except ValueError:
        raise CompareError(f"{where}: {metric} is '{row[metric][:50]}', and no number") from None


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
    note = _other_versions(left, right)
    if error := left.error or right.error:  # some seeds have no number, so that the means are of different seeds
        return Line(*place[:2], "error", left.value, right.value, None, error, note)
    if left.value is None or right.value is None:
        return Line(*place[:2], "not measured", left.value, right.value, None, None, note)
    status: Status = "same" if left.value == right.value else "differs"
    return Line(*place[:2], status, left.value, right.value, right.value - left.value, None, note)


def _other_versions(left: Number, right: Number) -> str:
    """Which code and libraries differ between two numbers; empty where one side does not record them."""
    notes = list(differences(left.versions, right.versions))
    return "; ".join([*notes[:MOST], *([f"and {len(notes) - MOST} more"] if len(notes) > MOST else [])])


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
    notes = [*differences(mine, other), *missing_on_one_side(mine, other)]
    return [OLDER if note.startswith("versions") else note for note in notes]


def _listed(seeds: Iterable[int | None]) -> str:
    return ", ".join("none" if seed is None else str(seed) for seed in seeds)
