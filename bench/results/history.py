"""The history file: one line of JSON for each commit that was measured, appended by CI and read by `bench history`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.registry import Better
from bench.results.measurement import Record

FILE = Path("results") / "history.jsonl"
"""Where the file of a project is, below its folder."""

LAYOUT = 1


class HistoryError(ValueError):
    """A history file that cannot be read; the text begins with its path."""


@dataclass(frozen=True)
class Number:
    """One number of a commit: the value, or the error.

    `conditions` are the settings that it depends on besides the code: shape, machine, threads. Numbers under different
    conditions are of different series. `detail` says of a time what it was compared with: against,
    ratio, interval, verdict, rounds, left_out.
    """

    ablation: str
    variant: str
    metric: str
    kind: str
    value: float | None
    unit: str = ""
    better: Better = None
    conditions: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PairedTime:
    """What a paired run says of one variant and metric of the working tree; None where it did not run."""

    ablation: str
    variant: str
    metric: str
    value: float | None
    error: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """What was measured of one commit. `date` is the commit's (ISO 8601), `recorded` when the line was written.

    `changed` says that the working tree had changes that were not committed.
    """

    commit: str
    date: str
    subject: str
    recorded: str
    numbers: tuple[Number, ...]
    changed: bool = False
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The commit, short; with a plus where the working tree had changes."""
        return f"{self.commit[:10]}{'+' if self.changed else ''}"

    @property
    def time(self) -> datetime:
        """The date of the commit."""
        return datetime.fromisoformat(self.date)


def append(file: Path, entry: Entry) -> Path:
    """Add a line to a history file, which is made where it lacks; the path. Several processes may append at once."""
    from filelock import FileLock

    line = json.dumps({"layout": LAYOUT, **asdict(entry)}, sort_keys=True, allow_nan=False)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(f".{file.name}.lock")), file.open("a+b") as stream:
        stream.write((b"" if _ends_a_line(stream) else b"\n") + line.encode() + b"\n")
    return file


def _ends_a_line(stream: Any) -> bool:
    """Whether a file is empty or ends with a line feed; a process that was killed may leave a part of a line."""
    if stream.seek(0, 2) == 0:
        return True
    stream.seek(-1, 2)
    return bool(stream.read(1) == b"\n")


def read(files: Sequence[Path]) -> list[Entry]:
    """The entries of history files by the date of their commits; a line that occurs twice counts once.

    Raises HistoryError for a file that is not there, and for a line that is none of ours, with its number.
    """
    places: dict[str, str] = {}
    for line, place in (pair for file in files for pair in _lines(file)):
        places.setdefault(line, place)
    return sorted((_entry(line, place) for line, place in places.items()), key=_order)


def _order(entry: Entry) -> tuple[datetime, str]:
    """By the commit's date; commits of the same second in the order in which they were recorded."""
    return entry.time, entry.recorded


def _lines(file: Path) -> Iterator[tuple[str, str]]:
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        raise HistoryError(f"{file} does not exist; write it with: bench history add") from None
    except (OSError, UnicodeDecodeError) as error:
        raise HistoryError(f"{file}: not readable as text in UTF-8 ({error})") from None
    return ((line, f"{file}:{number}") for number, line in enumerate(text.splitlines(), 1) if line.strip())


def _entry(line: str, place: str) -> Entry:
    try:
        values = json.loads(line)
        layout = values.pop("layout")
        if layout == LAYOUT:
            numbers = tuple(Number(**number) for number in values.pop("numbers"))
            entry = Entry(numbers=numbers, **values)
            if entry.time.tzinfo is None:
                raise ValueError("the date has no time zone")
            return entry
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise HistoryError(f"{place}: no line of a history ({error}); delete it") from None
    raise HistoryError(f"{place}: layout {layout}, this fovbench reads {LAYOUT}; install a newer fovbench")


def numbers_of(ablation: str, records: Iterable[Record]) -> list[Number]:
    """What records of a store or bundle say: for each variant, metric and conditions the mean over seeds.

    Failures are numbers with an error.
    """
    groups: dict[str, list[Record]] = {}
    for record in records:
        conditions = json.dumps(record.conditions, sort_keys=True, default=str)
        place = f"{record.measurement.variant.name}\n{record.measurement.metric}\n{conditions}"
        groups.setdefault(place, []).append(record)
    return [_number(ablation, group) for group in groups.values()]


def _number(ablation: str, group: Sequence[Record]) -> Number:
    first, values = group[0].measurement, [record.measurement.value for record in group]
    present = [value for value in values if value is not None]
    error = next((record.measurement.error for record in group if record.measurement.error), None) or ""
    return Number(
        ablation=ablation,
        variant=first.variant.name,
        metric=first.metric,
        kind=group[0].kind,
        value=None if error or not present else sum(present) / len(present),
        unit=first.unit,
        better=first.better,
        conditions=json.loads(json.dumps(group[0].conditions, default=str)),
        error=error,
    )
