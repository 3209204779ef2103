"""The gate: committed expectations against what was measured, number by number, with zero tolerance.

Exit codes: 0 pass, 1 regression or change, 4 broken or missing, 5 unexpected win, and 3 inconclusive
for verdicts by interval. (2 is a usage error.) Where several hold, the gravest wins: 4, 1, 3, 5.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from bench.analysis.verdict import Verdict
from bench.registry import Better
from bench.registry.builtin import home
from bench.registry.project import project
from bench.registry.writing import write_text
from bench.results.keys import Request
from bench.results.measurement import Measurement
from bench.results.store import Store
from bench.results.unreadable import settled
from bench.spec.ablation import Ablation
from bench.spec.characters import csv_field, from_csv_field

FOLDER = Path("results") / "expected"
EXIT: Mapping[Verdict, int] = {
    "same": 0,
    "better": 5,
    "worse": 1,
    "changed": 1,
    "renamed": 0,
    "missing": 4,
    "new": 4,
    "broken": 4,
    "inconclusive": 3,
}
"""A renamed variant has its numbers compared under the new name, so that nothing goes unchecked: it fails neither this
gate nor that against a revision, and the hint says how to accept the name."""
GRAVITY = (4, 1, 3, 5, 0)
NOTHING_TO_COMPARE = EXIT["missing"]
COLUMNS = ("variant", "metric", "value")

GRAPH = "graph_hash/hash"
"""The part of a detail that is the whole hash of a graph."""
AGAIN = "mend the line, or write the file again with: bench accept ABLATION"
"""What helps where a file of expectations cannot be read."""

Part = tuple[str, str]
"""(variant, metric) or (variant, metric/part of its detail)."""


class ExpectationError(ValueError):
    """A file of expectations that cannot be read or written."""


class NoExpectationsError(ExpectationError):
    """An ablation without expectations, or a folder without any: nothing to compare with, which is never a pass."""


@dataclass(frozen=True)
class Check:
    """What became of one number. `expected` and `measured` are its exact text; None where there is none."""

    ablation: str
    variant: str
    metric: str
    verdict: Verdict
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
    writer.writerows([COLUMNS, *([csv_field(text) for text in (*pair, value)] for pair, value in rows)])
    return buffer.getvalue()


def read(text: str, name: str) -> dict[Part, str]:
    """Expectations from CSV text. Raises ExpectationError with the line that is wrong."""
    try:
        rows = [[from_csv_field(field) for field in row] for row in csv.reader(io.StringIO(text))]
    except csv.Error as error:
        raise ExpectationError(f"{name}: not a CSV file ({error}); {AGAIN}") from None
    if not rows or tuple(rows[0]) != COLUMNS:
        raise ExpectationError(f"{name}:1: the first line must be {','.join(COLUMNS)}; {AGAIN}")
    expected: dict[Part, str] = {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(COLUMNS) or (row[0], row[1]) in expected:
            problem = "is listed twice" if len(row) == len(COLUMNS) else "needs three fields"
            raise ExpectationError(f"{name}:{number}: {','.join(row)} {problem}; {AGAIN}")
        expected[row[0], row[1]] = row[2]
    return expected


def expected_names(folder: Path | None = None) -> list[str]:
    """The ablations that have expectations. Raises NoExpectationsError where there are none."""
    place = folder or own_folder()
    names = sorted(path.stem for path in place.glob("*.csv"))
    if not names:
        raise NoExpectationsError(f"there are no expectations in {place}; write them with: bench accept ABLATION")
    return names


def own_folder() -> Path:
    """Where the project's expectations are."""
    return project().place(str(FOLDER))


def _file(ablation: Ablation, folder: Path | None) -> Path:
    """The expectations of an ablation; of one that fovbench brings along, its own where the project has none."""
    own, ours = (place / f"{ablation.name}.csv" for place in (folder or own_folder(), home() / FOLDER))
    return ours if folder is None and ablation.builtin and not own.is_file() and ours.is_file() else own


def has_expectations(ablation: Ablation, folder: Path | None = None) -> bool:
    """Whether numbers of the ablation were accepted."""
    return _file(ablation, folder).is_file()


def check(ablation: Ablation, requests: Sequence[Request], store: Store, folder: Path | None = None) -> list[Check]:
    """One check for each static number, expected or measured, and one for each renamed variant.

    `requests` may have metrics that the ablation does not name: these are compared where the expectations have them,
    and say that a network is broken in any case. Raises NoExpectationsError where the ablation has no expectations.
    """
    file = _file(ablation, folder)
    if not file.is_file():
        raise NoExpectationsError(f"{file} does not exist; write it with: bench accept {ablation.name}")
    expected = read(_text(file), str(file))
    named = {metric.name for metric in ablation.metrics}
    return judged(ablation.name, expected, settled(deterministic(requests, store), named), named)


def judged(
    ablation: str, expected: Mapping[Part, str], measurements: Sequence[Measurement], named: Collection[str]
) -> list[Check]:
    """The checks of `compared`, once variants that only changed their name are recognised by their graph.

    `named` are the metrics that the ablation names; of the others only those with expectations are compared.
    """
    rows = _asked(measurements, {metric.split("/")[0] for _, metric in expected} | {*named})
    names = renamed(expected, rows)
    under_new = {(names.get(variant, variant), metric): value for (variant, metric), value in expected.items()}
    checks = [Check(ablation, new, "", "renamed", old, new) for old, new in names.items()]
    return sorted([*checks, *compared(ablation, under_new, rows)], key=lambda c: (c.variant, c.metric))


def _asked(measurements: Sequence[Measurement], metrics: Collection[str]) -> list[Measurement]:
    """The measurements of these metrics; of the others the first error of each variant that has no other."""
    rows = [m for m in measurements if m.metric in metrics]
    broken = {m.variant for m in rows if m.error}
    others = {m.variant: m for m in reversed(measurements) if m.error and m.variant not in broken}
    return [*rows, *others.values()]


def renamed(expected: Mapping[Part, str], measurements: Sequence[Measurement]) -> dict[str, str]:
    """Old name -> new name of the variants that have another name and the same graph."""
    before = {variant: value for (variant, metric), value in expected.items() if metric == GRAPH}
    graphs = (parts(m) for m in measurements if m.metric == GRAPH.split("/")[0] and not m.error)
    now = {variant: value for rows in graphs for (variant, metric), value in rows if metric == GRAPH}
    listed = {variant for variant, _ in expected}
    came = {variant: graph for variant, graph in now.items() if variant not in listed}
    names: dict[str, str] = {}
    for old in sorted(before.keys() - {m.variant.name for m in measurements}):
        if new := next((name for name in came if came[name] == before[old]), None):
            names[old] = new
            del came[new]
    return names


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")  # a spreadsheet writes a byte order mark
    except UnicodeDecodeError as error:
        line = file.read_bytes().count(b"\n", 0, error.start) + 1
        raise ExpectationError(f"{file}:{line}: not text in UTF-8; {AGAIN}") from None


def deterministic(requests: Sequence[Request], store: Store) -> list[Measurement]:
    """The exact measurements and the failures of the static requests, variants named as in the requests."""
    static = [request for request in requests if request.kind == "static"]
    records = store.records(request.key for request in static)
    rows = {record.measurement.key: record.measurement for record in records}
    measured = [replace(rows[request.key], variant=request.variant) for request in static if request.key in rows]
    return [m for m in measured if m.exact or m.error]


def accept_all(chosen: Sequence[tuple[Ablation, Sequence[Request]]], store: Store, folder: Path) -> Iterator[Path]:
    """Write the expectations of each ablation; yields the files. Raises ExpectationError for a failed measurement."""
    for ablation, requests in chosen:
        rows = settled(deterministic(requests, store), {metric.name for metric in ablation.metrics})
        if not rows:
            raise ExpectationError(f"{ablation.name} has no static metric, so that there is nothing to expect")
        failed = [m for m in rows if m.error]
        if failed:
            first = f"{failed[0].metric} of {failed[0].variant.name}: {failed[0].error}"
            again = f"after mending: bench run {ablation.target} --rerun failed"
            raise ExpectationError(f"{ablation.name}: {len(failed)} measurements failed ({first}); {again}")
        yield write_text(folder / f"{ablation.name}.csv", written(rows))


def compared(ablation: str, expected: Mapping[Part, str], measurements: Iterable[Measurement]) -> list[Check]:
    """One check for each number on either side (outer join), sorted by variant and metric.

    A part of a number's detail that is on one side only is a change where the number itself is on both: an operator
    that a network no longer has is not a number that was not measured.
    """
    rows = list(measurements)
    directions = {m.metric: m.better for m in rows}
    errors = {(m.variant.name, m.metric): m.error for m in rows if m.error}
    actual = {pair: value for m in rows if not m.error for pair, value in parts(m)}
    on_both = expected.keys() & actual.keys()
    return [
        _check(ablation, pair, expected.get(pair), actual.get(pair), errors, directions, on_both)
        for pair in sorted({*expected, *actual, *errors})
    ]


def _check(
    ablation: str,
    pair: Part,
    expected: str | None,
    actual: str | None,
    errors: Mapping[Part, str],
    directions: Mapping[str, Better],
    on_both: Set[Part],
) -> Check:
    variant, metric = pair
    number = variant, metric.split("/", 1)[0]
    if number in errors:
        return Check(ablation, variant, metric, "broken", expected, None, errors[number])
    if expected is None or actual is None:
        verdict: Verdict = "changed" if number in on_both else "missing" if actual is None else "new"
    else:
        verdict = "same" if _same(expected, actual) else _change(expected, actual, directions.get(metric))
    return Check(ablation, variant, metric, verdict, expected, actual)


def _change(expected: str, actual: str, better: Better) -> Verdict:
    if better is None:
        return "changed"
    before, now = _number(expected), _number(actual)
    if before is None or now is None:
        return "changed"
    return "better" if (now > before) == (better == "higher") else "worse"


def _same(expected: str, actual: str) -> bool:
    """Whether two texts are equal, or are equal numbers or lists of numbers: 36 and 36.0, [1 2] and [1.0 2]."""
    return expected == actual or _items(expected) == _items(actual)


def _items(text: str) -> list[Decimal | str]:
    """The numbers of a text, and its brackets and other words; a text with quotes is one word."""
    if "'" in text or '"' in text:
        return [text]
    words = text.replace("[", "[ ").replace("]", " ]").split(" ")
    return [word if (number := _number(word)) is None else number for word in words]


def _number(text: str) -> Decimal | None:
    """The finite number of a text, exactly; None for another text."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def exit_code(checks: Iterable[Check]) -> int:
    """The gravest of the verdicts' exit codes; nothing to compare is 4, never a pass."""
    codes = {EXIT[check.verdict] for check in checks} or {NOTHING_TO_COMPARE}
    return next(code for code in GRAVITY if code in codes)
