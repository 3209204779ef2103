"""The gate: committed expectations against what was measured, part by part, with zero tolerance. Pure.

Exit codes: 0 pass, 1 regression or change, 4 broken or missing, 5 unexpected win. (2 is a usage error,
3 is kept for verdicts by interval.) Where several hold, the gravest wins: 4, 1, 5.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bench.registry import Better
from bench.results.measurement import Measurement

Status = Literal["same", "better", "worse", "changed", "missing", "new", "broken"]
EXIT: Mapping[Status, int] = {"same": 0, "better": 5, "worse": 1, "changed": 1, "missing": 4, "new": 4, "broken": 4}
GRAVITY = (4, 1, 5, 0)
COLUMNS = ("variant", "metric", "value")

Part = tuple[str, str]
"""(variant, metric) or (variant, metric/part of its detail)."""


class ExpectationError(ValueError):
    """A file of expectations that cannot be read."""


@dataclass(frozen=True)
class Verdict:
    """What became of one number. `expected` and `measured` are its exact text; None where there is none."""

    variant: str
    metric: str
    status: Status
    expected: str | None
    measured: str | None
    error: str | None = None


def parts(measurement: Measurement) -> Iterator[tuple[Part, str]]:
    """Every number of a deterministic measurement: its value, and the numbers of its detail."""
    variant, metric = measurement.variant.name, measurement.metric
    if measurement.samples:
        yield (variant, metric), " ".join(repr(sample) for sample in measurement.samples)
    for path, value in sorted(_leaves(measurement.detail)):
        yield (variant, f"{metric}/{path}"), value


def _leaves(detail: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(detail, Mapping):
        for name, value in detail.items():
            yield from _leaves(value, f"{prefix}{name}/")
    elif isinstance(detail, (list, tuple)):
        yield prefix.rstrip("/"), "[" + " ".join(repr(v) for v in detail) + "]"
    else:
        yield prefix.rstrip("/"), repr(detail)


def written(measurements: Iterable[Measurement]) -> str:
    """Expectations as CSV text: sorted, one number a line, LF, so that a change is a line of a diff."""
    rows = sorted({pair: value for m in measurements for pair, value in parts(m)}.items())
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([COLUMNS, *((*pair, value) for pair, value in rows)])
    return buffer.getvalue()


def read(text: str, name: str) -> dict[Part, str]:
    """Expectations from CSV text. Raises ExpectationError with the line that is wrong."""
    rows = list(csv.reader(io.StringIO(text)))
    if not rows or tuple(rows[0]) != COLUMNS:
        raise ExpectationError(f"{name}:1: the first line must be {','.join(COLUMNS)}")
    expected: dict[Part, str] = {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(COLUMNS) or (row[0], row[1]) in expected:
            problem = "stands here for the second time" if len(row) == len(COLUMNS) else "needs three fields"
            raise ExpectationError(f"{name}:{number}: {','.join(row)} {problem}")
        expected[row[0], row[1]] = row[2]
    return expected


def gate(expected: Mapping[Part, str], measured: Iterable[Measurement]) -> list[Verdict]:
    """One verdict for each number on either side (outer join), sorted by variant and metric."""
    found = list(measured)
    directions = {m.metric: m.better for m in found}
    errors = {(m.variant.name, m.metric): m.error for m in found if m.error}
    actual = {pair: value for m in found if not m.error for pair, value in parts(m)}
    return [
        _verdict(pair, expected.get(pair), actual.get(pair), errors, directions)
        for pair in sorted({*expected, *actual, *errors})
    ]


def _verdict(
    pair: Part,
    expected: str | None,
    actual: str | None,
    errors: Mapping[Part, str],
    directions: Mapping[str, Better],
) -> Verdict:
    variant, metric = pair
    error = errors.get((variant, metric.split("/", 1)[0]))
    if error is not None:
        return Verdict(variant, metric, "broken", expected, None, error)
    status: Status = "missing" if actual is None else "new" if expected is None else "same"
    if expected is not None and actual is not None and expected != actual:
        status = _change(expected, actual, directions.get(metric))
    return Verdict(variant, metric, status, expected, actual)


def _change(expected: str, actual: str, better: Better) -> Status:
    if better is None:
        return "changed"
    try:
        before, now = float(expected), float(actual)
    except ValueError:
        return "changed"
    if not (math.isfinite(before) and math.isfinite(now)):
        return "changed"
    rose = now > before
    return "better" if rose == (better == "higher") else "worse"


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """The gravest of the verdicts' exit codes; nothing to compare is 4, never a pass."""
    codes = {EXIT[v.status] for v in verdicts} or {4}
    return next(code for code in GRAVITY if code in codes)
