"""The results store: one SQLite file, every measurement stays, one live row for each key.

Write-ahead log, full synchronisation: what was acknowledged survives `kill -9`. Only the driver of
a run writes; other runs and any number of readers may use it at the same time. Not for network drives.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from bench.results.conditions import chosen
from bench.results.measurement import Evaluation, Measurement, Record
from bench.results.packing import packed, tuples, unpacked
from bench.spec.variant import Variant
from bench.spec.workload import Workload

DEFAULT = Path("results") / "store.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS environment (id INTEGER PRIMARY KEY, facts TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS measurement (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    live INTEGER CHECK (live = 1),
    architecture TEXT NOT NULL,
    variant TEXT NOT NULL,
    axes TEXT NOT NULL,
    stated TEXT NOT NULL,
    workload TEXT NOT NULL,
    metric TEXT NOT NULL,
    kind TEXT NOT NULL,
    unit TEXT NOT NULL,
    better TEXT,
    seed INTEGER,
    samples TEXT NOT NULL,
    exact INTEGER NOT NULL,
    error TEXT,
    detail TEXT NOT NULL,
    contributions TEXT NOT NULL,
    duration REAL NOT NULL,
    parts TEXT NOT NULL,
    environment INTEGER NOT NULL REFERENCES environment (id),
    created TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_live_row ON measurement (key) WHERE live = 1;
CREATE INDEX IF NOT EXISTS by_metric ON measurement (metric, architecture);
CREATE TABLE IF NOT EXISTS evaluation (training_run TEXT PRIMARY KEY, facts TEXT NOT NULL, arrays BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS signature (key TEXT PRIMARY KEY, facts TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS note (ablation TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS claim (key TEXT PRIMARY KEY, owner TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS fingerprint (dataset TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
VERSION = 2


class StoreError(RuntimeError):
    """A file that is no results store of this version."""


@dataclass(frozen=True)
class Row:
    """What planning needs of a stored measurement; `duration` in seconds."""

    key: str
    error: str | None
    duration: float


class Store:
    """An open store. Use as a context manager; a missing file reads as empty and is made by the first write."""

    def __init__(self, path: str | Path = DEFAULT) -> None:
        self.path = Path(path)
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _read(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        if self._connection is None and not self.path.exists():
            return []
        return self._open().execute(statement, arguments).fetchall()

    def _each(self, statement: str, arguments: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """As `_read`, one row at a time: for statements whose rows together would fill the memory."""
        if self._connection is not None or self.path.exists():
            yield from self._open().execute(statement, arguments)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            try:
                self._prepare(connection)
            except sqlite3.DatabaseError as error:
                connection.close()
                what = "not a results store" if "not a database" in str(error) else "cannot be opened"
                raise StoreError(f"{self.path}: {what} ({error}); name another with --store") from None
            self._connection = connection
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, VERSION):
            raise StoreError(f"{self.path}: written by another version of fovbench (layout {version}, not {VERSION})")
        if version == 0:
            connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version={VERSION};COMMIT;")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def measured(self, keys: Iterable[str]) -> dict[str, Row]:
        """The live rows of those keys that have one."""
        return {row[0]: Row(*row) for row in self._chosen("key, error, duration", keys)}

    def _chosen(self, columns: str, keys: Iterable[str]) -> Iterator[tuple[Any, ...]]:
        unique = list(dict.fromkeys(keys))
        for start in range(0, len(unique), 500):
            chunk = unique[start : start + 500]
            marks = ",".join("?" * len(chunk))
            yield from self._read(f"SELECT {columns} FROM measurement WHERE live = 1 AND key IN ({marks})", chunk)

    def add(
        self,
        measurements: Iterable[tuple[Measurement, str, Mapping[str, Any]]],
        replace: bool = False,
    ) -> int:
        """Store measurements, each with its metric's kind and the parts of its key; how many were new.

        A live row stays, so that nothing is doubled; with `replace` the old row stays as
        history and the new one becomes the live one.
        """
        created = datetime.now(UTC).isoformat(timespec="seconds")
        added = 0
        with self._transaction() as connection:
            for measurement, kind, parts in measurements:
                if replace:
                    connection.execute("UPDATE measurement SET live = NULL WHERE key = ?", (measurement.key,))
                added += self._insert(connection, measurement, kind, parts, created)
        return added

    def add_records(self, records: Iterable[Record]) -> int:
        """Add records of another store or a bundle with their dates; how many were new. Existing rows stay.

        Of their keys' parts only the conditions are recorded.
        """
        with self._transaction() as connection:
            return sum(self._insert(connection, r.measurement, r.kind, r.conditions, r.created) for r in records)

    def _insert(
        self, connection: sqlite3.Connection, m: Measurement, kind: str, parts: Mapping[str, Any], created: str
    ) -> int:
        cursor = connection.execute(_INSERT, _columns(m, kind, parts, self._environment(m), created))
        connection.execute("DELETE FROM claim WHERE key = ?", (m.key,))
        return cursor.rowcount

    def _environment(self, measurement: Measurement) -> int:
        facts = _json(measurement.environment)
        connection = self._open()
        connection.execute("INSERT OR IGNORE INTO environment (facts) VALUES (?)", (facts,))
        (number,) = connection.execute("SELECT id FROM environment WHERE facts = ?", (facts,)).fetchone()
        return int(number)

    def add_evaluation(self, training_run: str, evaluation: Evaluation) -> None:
        """Keep what a trained network did; the training run's key is what its training depends on."""
        facts, arrays = packed(evaluation)
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO evaluation VALUES (?, ?, ?)", (training_run, facts, arrays))

    def evaluation(self, training_run: str) -> Evaluation | None:
        """The evaluation of a training run, or None."""
        rows = self._read("SELECT facts, arrays FROM evaluation WHERE training_run = ?", (training_run,))
        return unpacked(*rows[0]) if rows else None

    def evaluated(self) -> set[str]:
        """The training runs that have an evaluation."""
        return {row[0] for row in self._read("SELECT training_run FROM evaluation")}

    def claim(self, keys: Sequence[str], owner: str, alive: Callable[[str], bool]) -> set[str]:
        """The keys that `owner` may measure now: those that no other living run has claimed."""
        with self._transaction() as connection:
            owners = dict(connection.execute("SELECT key, owner FROM claim").fetchall())
            living = {each: each == owner or alive(each) for each in set(owners.values())}
            free = {key for key in keys if owners.get(key, owner) == owner or not living[owners[key]]}
            connection.executemany("INSERT OR REPLACE INTO claim VALUES (?, ?)", [(k, owner) for k in sorted(free)])
        return free

    def release(self, owner: str) -> None:
        """Give back what `owner` claimed and did not measure."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM claim WHERE owner = ?", (owner,))

    def signatures(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """What was recorded of the networks of those keys."""
        requested = set(keys)
        rows = self._read("SELECT key, facts FROM signature")
        return {key: json.loads(facts) for key, facts in rows if key in requested}

    def add_signatures(self, signatures: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep what networks are, by key."""
        with self._transaction() as connection:
            rows = [(key, _json(facts)) for key, facts in signatures.items()]
            connection.executemany("INSERT OR REPLACE INTO signature VALUES (?, ?)", rows)

    def note(self, ablation: str) -> str:
        """A person's remark on this ablation's run (`--allow-noop`); empty where there is none."""
        rows = self._read("SELECT text FROM note WHERE ablation = ?", (ablation,))
        return rows[0][0] if rows else ""

    def add_note(self, ablation: str, text: str) -> None:
        """Keep a person's reason beside the ablation's results."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (ablation, text))

    def durations(self) -> list[tuple[str, str, float, dict[str, Any]]]:
        """(metric, architecture, seconds, parts of the key) of the latest measurements that did not fail."""
        chosen = "FROM measurement WHERE error IS NULL ORDER BY id DESC LIMIT 2000"
        statement = f"SELECT metric, architecture, duration, parts {chosen}"
        return [(metric, name, seconds, json.loads(parts)) for metric, name, seconds, parts in self._read(statement)]

    def remember_fingerprint(self, dataset: str, value: str) -> None:
        """Note the data that a named dataset had last, so that tables can be made where the data is not."""
        with self._transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO fingerprint VALUES (?, ?)", (dataset, value))

    def fingerprint(self, dataset: str) -> str | None:
        """The last noted fingerprint of a dataset, or None."""
        rows = self._read("SELECT value FROM fingerprint WHERE dataset = ?", (dataset,))
        return rows[0][0] if rows else None

    def parts(self, architecture: str, metric: str) -> Iterator[dict[str, Any]]:
        """The parts of the key of every measurement of that metric and architecture, the newest first."""
        statement = "SELECT parts FROM measurement WHERE architecture = ? AND metric = ? ORDER BY id DESC"
        return (_parsed(parts) for (parts,) in self._each(statement, (architecture, metric)))

    def records(self, keys: Iterable[str] | None = None) -> list[Record]:
        """The live measurements: all of them in the order they were made, or those of `keys`."""
        if keys is None:
            rows = self._each(f"SELECT {_READ} FROM measurement WHERE live = 1 ORDER BY id")
        else:
            rows = self._chosen(_READ, keys)
        environments = dict(self._read("SELECT id, facts FROM environment"))
        return [_record(row, environments) for row in rows]


_WRITE = (
    "key, live, architecture, variant, axes, stated, workload, metric, kind, unit, better, seed, samples, "
    "exact, error, detail, contributions, duration, parts, environment, created"
)
_READ = (
    "key, architecture, axes, stated, workload, metric, kind, unit, better, seed, samples, exact, error, "
    "detail, contributions, duration, parts, environment, created"
)
_INSERT = f"INSERT INTO measurement ({_WRITE}) VALUES ({','.join('?' * 21)}) ON CONFLICT DO NOTHING"


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _parsed(text: str) -> Any:
    """JSON as values; pydantic's parser is the faster one, and refuses texts with halves of surrogate pairs."""
    try:
        return from_json(text)
    except ValueError:
        return json.loads(text)


def _columns(m: Measurement, kind: str, parts: Mapping[str, Any], environment: int, created: str) -> tuple[Any, ...]:
    variant, workload = m.variant, _json(asdict(m.workload))
    head = (m.key, 1, variant.architecture, variant.name, _json(variant.axes), _json(variant.stated), workload)
    value = (m.metric, kind, m.unit, m.better, m.seed, _json(m.samples), int(m.exact), m.error, _json(dict(m.detail)))
    return (*head, *value, _json(m.contributions), m.duration, _json(parts), environment, created)


def _record(row: tuple[Any, ...], environments: Mapping[int, str]) -> Record:
    key, architecture, axes, stated, workload, metric, kind, unit, better, seed, *rest = row
    samples, exact, error, detail, contributions, duration, parts, environment, created = rest
    measurement = Measurement(
        key=key,
        variant=_variant(architecture, axes, stated),
        workload=_workload(workload),
        metric=metric,
        unit=unit,
        better=better,
        samples=tuple(_parsed(samples)),
        exact=bool(exact),
        seed=seed,
        duration=duration,
        environment=_environment(environments[environment]),
        error=error,
        detail=_parsed(detail),
        contributions=tuple(_parsed(contributions)),
    )
    return Record(measurement, kind, created, chosen(_parsed(parts)))


@functools.lru_cache(maxsize=2**14)
def _variant(architecture: str, axes: str, stated: str) -> Variant:
    return Variant(architecture, tuples(json.loads(axes)), tuple(json.loads(stated)))


@functools.lru_cache(maxsize=256)
def _workload(text: str) -> Workload:
    return Workload(**{name: tuples(value) for name, value in json.loads(text).items()})


@functools.lru_cache(maxsize=256)
def _environment(text: str) -> Mapping[str, Any]:
    facts: dict[str, Any] = json.loads(text)
    return facts
