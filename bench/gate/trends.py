"""The trend of each number over commits, and the commits at which it changed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bench.gate.paired import Comparison
from bench.registry import Better
from bench.results.history import Entry, Number, PairedTime
from bench.stats.changes import LEAST, changes, exact_changes
from bench.stats.descriptive import median

Direction = Literal["better", "worse", "changed"]

DETAIL = ("ratio", "interval", "verdict", "rounds", "left_out")
"""What a history keeps of a paired comparison besides the time and what it was compared with."""


@dataclass(frozen=True)
class Point:
    """One commit of a series: the value (the median, where it was measured several times), or the error."""

    commit: str
    label: str
    date: str
    subject: str
    value: float | None
    error: str = ""


@dataclass(frozen=True)
class Change:
    """A change of level: it began with `commit`, the commit before it in the series is `before`.

    `ratio` is the new level over the old, None where the old is 0.
    """

    commit: str
    label: str
    before: str
    place: int
    old: float
    new: float
    direction: Direction

    @property
    def ratio(self) -> float | None:
        return self.new / self.old if self.old else None


@dataclass(frozen=True)
class Series:
    """A number of a variant over commits, all under the same conditions."""

    ablation: str
    variant: str
    metric: str
    kind: str
    unit: str
    better: Better
    conditions: Mapping[str, Any]
    points: tuple[Point, ...]
    changes: tuple[Change, ...] = ()
    note: str = ""

    @property
    def values(self) -> list[float]:
        """The values of the commits that have one."""
        return [point.value for point in self.points if point.value is not None]

    @property
    def first(self) -> float | None:
        return self.values[0] if self.values else None

    @property
    def last(self) -> float | None:
        """The value of the latest commit; None where that failed."""
        return self.points[-1].value

    def as_row(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **{name: value for name, value in vars(self).items() if name not in ("points", "changes")},
            "conditions": dict(self.conditions),
            "points": [vars(point) for point in self.points],
            "changes": [{**vars(change), "ratio": change.ratio} for change in self.changes],
        }


Measured = tuple[Entry, Number]


def series_of(entries: Iterable[Entry], ablations: Sequence[str] = (), metrics: Sequence[str] = ()) -> list[Series]:
    """A series for each ablation, variant, metric and set of conditions; `ablations` and `metrics` choose some of them.

    Raises MissingLibraryError where a series with noise is long enough for change points and ruptures is missing.
    """
    groups: dict[tuple[str, ...], list[Measured]] = {}
    for entry in entries:
        for number in entry.numbers:
            if number.ablation in (ablations or (number.ablation,)) and number.metric in (metrics or (number.metric,)):
                groups.setdefault(_identity(number), []).append((entry, number))
    return [_series(group) for group in groups.values()]


def _identity(number: Number) -> tuple[str, ...]:
    conditions = json.dumps(number.conditions, sort_keys=True)
    return number.ablation, number.variant, number.metric, number.kind, number.unit, conditions


def _series(group: Sequence[Measured]) -> Series:
    by_commit: dict[str, list[Measured]] = {}
    for entry, number in group:
        by_commit.setdefault(entry.label, []).append((entry, number))
    points = tuple(_point(measured) for measured in by_commit.values())
    last = group[-1][1]
    valued = [point for point in points if point.value is not None]
    few = last.kind != "static" and len(valued) < 2 * LEAST
    return Series(
        last.ablation,
        last.variant,
        last.metric,
        last.kind,
        last.unit,
        last.better,
        last.conditions,
        points,
        tuple(_changes(valued, last)),
        f"{len(valued)} of the {2 * LEAST} commits that change points need" if few else "",
    )


def _point(measured: Sequence[Measured]) -> Point:
    """Of a static number the latest value counts."""
    entry, number = measured[-1]
    values = [each.value for _, each in measured if each.value is not None]
    value = number.value if number.kind == "static" or not values else median(values)
    return Point(entry.commit, entry.label, entry.date, entry.subject, value, "" if value is not None else number.error)


def _changes(points: Sequence[Point], number: Number) -> Iterator[Change]:
    values = [point.value for point in points if point.value is not None]
    logs = [math.log(value) for value in values] if min(values, default=0.0) > 0 else values
    places = exact_changes(values) if number.kind == "static" else changes(logs)
    ends = [0, *places, len(values)]
    for start, place, end in zip(ends, ends[1:], ends[2:], strict=False):
        old, new = median(values[start:place]), median(values[place:end])
        here, before = points[place], points[place - 1]
        yield Change(here.commit, here.label, before.label, place, old, new, _direction(old, new, number.better))


def _direction(old: float, new: float, better: Better) -> Direction:
    if better not in ("lower", "higher") or old == new:
        return "changed"
    return "better" if (new < old) == (better == "lower") else "worse"


def timed(comparisons: Iterable[Comparison], against: str) -> Iterator[PairedTime]:
    """What a history keeps of the comparisons of `bench gate --against`: the times of the working tree.

    A comparison that was not looked at gives nothing.
    """
    for each in comparisons:
        ablation, _, variant = each.name.partition(": ")
        detail = {"against": against, **{name: getattr(each, name) for name in DETAIL}}
        if each.b is not None or each.error:
            yield PairedTime(ablation, variant, each.metric, each.b, each.error, detail)
