"""The results store: every measurement stays, one live row for each key. A SQLite file, or a PostgreSQL server.

What was acknowledged survives `kill -9`. Only the driver of a run writes; other runs and any number of readers may use
the store at the same time. A file is not for network drives; a server is for runs of several machines.
"""

from __future__ import annotations

import contextlib
import functools
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from bench.results.conditions import chosen, versions_of, with_clock
from bench.results.database import Connection, database_at
from bench.results.encoding import json_text as _json
from bench.results.encoding import storable
from bench.results.location import Location, local_file, location_of
from bench.results.measurement import Evaluation, Measurement, Record
from bench.results.packing import packed, tuples, unpacked
from bench.results.storefile import StoreError as StoreError
from bench.spec.inputs import workload_from
from bench.spec.variant import Variant
from bench.spec.workload import Workload

DEFAULT = Path("results") / "store.sqlite"

DAMAGED = "damaged"
"""How the error of a stored row begins that does not match its checksum; it is measured again by the next run."""


@dataclass(frozen=True)
class Row:
    """What planning needs of a stored measurement; `duration` in seconds, `files` as JSON."""

    key: str
    error: str | None
    duration: float
    files: str = "{}"

    @property
    def is_damaged(self) -> bool:
        """Whether the row does not match its checksum."""
        return self.error is not None and self.error.startswith(DAMAGED)


@dataclass(frozen=True)
class Precedent:
    """What a measurement took: `seconds` in all, of which `trained` for the training run that it needed, if any.

    `fitted` is what the steps of that run took, without loading and evaluation. `parts` are those of the key.
    """

    metric: str
    architecture: str
    seconds: float
    trained: float | None
    parts: Mapping[str, Any]
    fitted: float | None = None


PAGE = 2000
"""Rows that are read at a time."""


class Store:
    """An open store. Use as a context manager; a missing one reads as empty and is made by the first write.

    `path` is the file, or `postgresql://USER@HOST/DATABASE`; of a server `Store.path` is the file in whose folder
    weights lie on this machine. Until something is written, a file is only read. `damage` collects a line for each
    damaged row that was read.
    Methods raise StoreError, or StoreUnavailable while the file is locked, its disk is full, or the server is away.
    """

    def __init__(self, path: str | Location = DEFAULT) -> None:
        self.location = location_of(path)
        self.path = local_file(self.location)
        self.database = database_at(self.location)
        self.damage: dict[str, str] = {}

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.database.close()

    def _read(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.database.rows(statement, arguments)

    def _transaction(self) -> contextlib.AbstractContextManager[Connection]:
        return self.database.transaction()

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a query on the tables of `bench.results.storefile.SCHEMA`."""
        return self._read(statement)

    def _newest(self, columns: str, where: str, arguments: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        """Measurements from the newest on, a page at a time: all of them together would fill the memory."""
        statement = f"SELECT id, {columns} FROM measurement WHERE id < ? AND {where} ORDER BY id DESC LIMIT {PAGE}"
        last = 2**62
        while page := self._read(statement, (last, *arguments)):
            last = page[-1][0]
            yield from (tuple(row[1:]) for row in page)

    def measured(self, keys: Iterable[str]) -> dict[str, Row]:
        """The live rows of those keys that have one; the error of a damaged row says so."""
        rows = self._chosen(f"key, CASE WHEN {SOUND} THEN error ELSE '{_MISMATCH}' END, duration, files", keys)
        return {row[0]: Row(*row) for row in rows}

    def _chosen(self, columns: str, keys: Iterable[str], which: str = "live = 1") -> Iterator[tuple[Any, ...]]:
        unique = list(dict.fromkeys(keys))
        for start in range(0, len(unique), 500):
            chunk = unique[start : start + 500]
            marks = ",".join("?" * len(chunk))
            yield from self._read(f"SELECT {columns} FROM measurement WHERE {which} AND key IN ({marks})", chunk)

    def earlier_samples(self, keys: Iterable[str]) -> dict[str, list[tuple[float, ...]]]:
        """The samples that other processes took of those keys before, the oldest first; failures have none.

        Of the rows that a later measurement of the same key, made of the same files, took the place of.
        """
        live = {row[0]: row[1] for row in self._chosen("key, files", keys)}
        earlier: dict[str, list[tuple[float, ...]]] = {}
        chosen = self._chosen("id, key, files, samples", live, f"live IS NULL AND error IS NULL AND {SOUND}")
        for _, key, files, samples in sorted(chosen):
            if files == live[key] and (values := tuple(_parsed(samples))):
                earlier.setdefault(key, []).append(values)
        return earlier

    def add(
        self,
        measurements: Iterable[tuple[Measurement, str, Mapping[str, Any]]],
        replace: bool = False,
    ) -> int:
        """Store measurements, each with its metric's kind and the parts of its key; how many were new.

        A live row stays, so that nothing is doubled; with `replace` the old row stays as
        history and the new one becomes the live one.
        """
        created = self.now()
        return self.add_rows((row_of(m, kind, parts, created) for m, kind, parts in measurements), replace)

    def now(self) -> str:
        """The time that results are dated with, in ISO 8601: by the clock of the store, not of a node."""
        return self.database.now().isoformat(timespec="seconds")

    def add_records(self, records: Iterable[Record]) -> int:
        """Add records of another store or a bundle with their dates; how many were new. Existing rows stay.

        Of their keys' parts only the conditions are recorded.
        """
        return self.add_rows(row_of(r.measurement, r.kind, r.conditions, r.created) for r in records)

    def add_rows(self, rows: Iterable[StoredRow], replace: bool = False) -> int:
        """Add rows as `row_of` makes them; how many were new. With `replace` a live row goes to history."""
        with self._transaction() as connection:
            return sum(self._insert(connection, row, replace) for row in rows)

    def rows(self) -> list[StoredRow]:
        """The live rows as they are stored, for `add_rows` of another store; without damaged ones."""
        columns = ", ".join(_WRITE)
        statement = f"SELECT {columns}, {_FACTS} FROM measurement WHERE live = 1 AND {SOUND} ORDER BY id"
        return [dict(zip((*_WRITE, "environment"), row, strict=True)) for row in self._read(statement)]

    def values(self) -> dict[str, tuple[str, str | None]]:
        """Key -> samples, as they are stored, and error of each live row; without damaged ones."""
        statement = f"SELECT key, samples, error FROM measurement WHERE live = 1 AND {SOUND}"
        return {key: (samples, error) for key, samples, error in self._read(statement)}

    def _insert(self, connection: Connection, row: StoredRow, replace: bool) -> int:
        """A damaged live row goes to history; so does another one where `replace`, unless it is this very row."""
        if replace and connection.execute(_SAME, row).fetchone():
            return 0
        damaged = "" if replace else f" AND live = 1 AND NOT ({SOUND})"
        connection.execute(f"UPDATE measurement SET live = NULL WHERE key = :key{damaged}", row)
        connection.execute("INSERT INTO environment (facts) VALUES (:environment) ON CONFLICT DO NOTHING", row)
        added: int = connection.execute(_INSERT, row).rowcount
        connection.execute("DELETE FROM claim WHERE key = :key", row)
        return added

    def add_evaluation(self, training_run: str, evaluation: Evaluation) -> None:
        """Keep what a trained network did; the training run's key is what its training depends on."""
        self.add_packed(training_run, *packed(evaluation))

    def add_packed(self, training_run: str, facts: str, arrays: bytes) -> None:
        """Keep an evaluation that was packed before."""
        self._put("evaluation", (training_run, facts, arrays))

    def _put(self, table: str, *rows: tuple[Any, ...]) -> None:
        """Store rows with their checksums in place of earlier ones."""
        with self._transaction() as connection:
            connection.executemany(_put(table), [dict(zip(COLUMNS[table], row, strict=True)) for row in rows])

    def evaluation(self, training_run: str) -> Evaluation | None:
        """The evaluation of a training run, or None; a damaged one counts as none."""
        statement = f"SELECT facts, arrays, checksum, {sound('evaluation')} FROM evaluation WHERE training_run = ?"
        for facts, arrays, checksum, matches in self._read(statement, (training_run,)):
            try:
                if matches:
                    return unpacked(facts, arrays, eager=not checksum)
            except (*UNREADABLE, EOFError, zipfile.BadZipFile, zlib.error):
                pass
            self.damage[training_run] = f"the evaluation of the training run {training_run} is damaged"
        return None

    def evaluated(self) -> set[str]:
        """The training runs that have an evaluation."""
        return {row[0] for row in self._read("SELECT training_run FROM evaluation")}

    def claim(self, keys: Sequence[str], owner: str, alive: Callable[[str], bool]) -> set[str]:
        """The keys that `owner` may measure now: those that no other living run has claimed.

        `owner` is a process of this machine, and `alive` says of such a process whether it still runs.
        """
        name = self.database.owner(owner)
        with self._transaction() as connection:
            owners = dict(connection.execute("SELECT key, owner FROM claim").fetchall())
            living = self.database.living(set(owners.values()) - {name}, alive)
            free = {key for key in keys if owners.get(key, name) not in living}
            connection.executemany(_CLAIM, [(key, name) for key in sorted(free)])
        return free

    def claims(self, alive: Callable[[str], bool]) -> dict[str, bool]:
        """The keys that a run has claimed and not measured yet, and whether it still runs; see `claim`.

        Of a file that a run on another machine writes, that is not seen: its run counts as ended.
        """
        owners = dict(self._read("SELECT key, owner FROM claim"))
        living = self.database.living(set(owners.values()), alive) if owners else set()
        return {key: owner in living for key, owner in owners.items()}

    def release(self, owner: str) -> None:
        """Give back what `owner` claimed and did not measure."""
        name = self.database.owner(owner)
        with self._transaction() as connection:
            connection.execute("DELETE FROM claim WHERE owner = ?", (name,))

    def signatures(self, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
        """What was recorded of the networks of those keys; a damaged record counts as none."""
        requested = set(keys)
        rows = self._read(f"SELECT key, facts FROM signature WHERE {sound('signature')}")
        return {key: json.loads(facts) for key, facts in rows if key in requested}

    def add_signatures(self, signatures: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep what networks are, by key."""
        self._put("signature", *((key, _json(facts)) for key, facts in signatures.items()))

    def note(self, ablation: str) -> str:
        """A person's remark on this ablation's run (`--allow-noop`); empty where there is none."""
        return self._text("note", ablation) or ""

    def add_note(self, ablation: str, text: str) -> None:
        """Keep a person's reason beside the ablation's results."""
        self._put("note", (ablation, text))

    def _text(self, table: str, key: str) -> str | None:
        """The text that a table has for a key, or None; a damaged one counts as none, and `damage` says so."""
        name, column = COLUMNS[table]
        rows = self._read(f"SELECT {column}, {sound(table)} FROM {table} WHERE {name} = ?", (key,))
        if rows and not rows[0][1]:
            self.damage[key] = f"the {table} of {key} is damaged"
            return None
        return rows[0][0] if rows else None

    def precedents(self) -> list[Precedent]:
        """What the latest measurements took that did not fail; of variants that share a timing, the first one."""
        of_detail = "CASE WHEN json_valid(detail) THEN json_extract(detail, '$.{}') END".format
        made = f"error IS NULL AND json_valid(parts) AND {of_detail('shared_with')} IS NULL"
        whole = f"coalesce({of_detail('job_seconds')}, {of_detail('seconds')})"
        chosen = f"FROM measurement WHERE {made} AND {SOUND} ORDER BY id DESC LIMIT 2000"
        columns = f"metric, architecture, duration, {whole}, parts, {of_detail('seconds')}"
        rows = self._read(f"SELECT {columns} {chosen}")
        return [
            Precedent(name, family, spent, _number(trained), _parsed(text), _number(fitted))
            for name, family, spent, trained, text, fitted in rows
        ]

    def macs(self) -> dict[tuple[str, str], float]:
        """(architecture, `network_text`) -> MACs of one image, of the latest counts."""
        chosen = f"metric = 'macs' AND error IS NULL AND json_valid(parts) AND {SOUND}"
        columns = "architecture, parts, CASE WHEN json_valid(samples) THEN json_extract(samples, '$[0]') END"
        rows = self._read(f"SELECT {columns} FROM measurement WHERE {chosen} ORDER BY id DESC LIMIT 2000")
        counts = {(family, network_text(_parsed(parts))): _number(count) for family, parts, count in reversed(rows)}
        return {place: count for place, count in counts.items() if count}

    def remember_fingerprint(self, dataset: str, value: str) -> None:
        """Note the data that a named dataset had last, so that tables can be made where the data is not."""
        self._put("fingerprint", (dataset, value))

    def fingerprint(self, dataset: str) -> str | None:
        """The last noted fingerprint of a dataset, or None."""
        return self._text("fingerprint", dataset)

    def parts(self, architecture: str, metric: str) -> Iterator[dict[str, Any]]:
        """The parts of the key of every measurement of that metric and architecture, the newest first."""
        where = "architecture = ? AND metric = ? AND json_valid(parts)"
        return (_parsed(parts) for (parts,) in self._newest("parts", where, (architecture, metric)))

    def records(self, keys: Iterable[str] | None = None) -> list[Record]:
        """The live measurements: all of them in the order they were made, or those of `keys`.

        A row that does not match its checksum, or cannot be read, is a failure: its error begins with `damaged`.
        """
        columns = f"{_READ}, variant, {SOUND}"
        if keys is None:
            rows: Iterable[tuple[Any, ...]] = self._read(
                f"SELECT {columns} FROM measurement WHERE live = 1 ORDER BY id"
            )
        else:
            rows = self._chosen(columns, keys)
        chosen = list(rows)
        environments = dict(self._read("SELECT id, facts FROM environment"))
        return [self._checked(row, environments) for row in chosen]

    def _checked(self, row: tuple[Any, ...], environments: Mapping[int, str]) -> Record:
        *values, variant, matches = row
        if not matches:
            return self._damaged(values, variant, _MISMATCH)
        try:
            return _record(values, environments)
        except UNREADABLE as error:
            return self._damaged(values, variant, f"{DAMAGED}: the stored row cannot be read ({error})")

    def _damaged(self, row: Sequence[Any], variant: str, error: str) -> Record:
        """A failure in place of a damaged row: its names, as far as they can be read, and nothing that was measured."""
        key, _, _, _, _, metric, kind, unit, _, seed, *_, created, _, _ = row
        named, workload = Variant(str(variant), ()), Workload("", "", (), (), 1)
        place = f"{variant} {metric}" + ("" if seed is None else f" seed {seed}")
        self.damage[str(key)] = f"the measurement {place}, key {key}, is damaged"
        failure = Measurement(str(key), named, workload, str(metric), str(unit), None, (), False, seed, 0.0, {}, error)
        return Record(failure, str(kind), str(created))


def is_damaged(record: Record) -> bool:
    """Whether the row does not match its checksum or cannot be read: nothing in it may be used."""
    return (record.measurement.error or "").startswith(DAMAGED)


COLUMNS = {
    "evaluation": ("training_run", "facts", "arrays"),
    "signature": ("key", "facts"),
    "note": ("ablation", "text"),
    "fingerprint": ("dataset", "value"),
}
"""Columns of the tables that have a checksum and no history, the key first."""

UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)
"""What reading a row of garbage raises: no JSON, other types, a missing environment."""


def sound(table: str) -> str:
    """SQL: whether a row matches its checksum; a row of layout 2 has none, and counts as sound."""
    return f"(checksum = '' OR checksum = digest({_bytes(COLUMNS[table])}))"


def _bytes(columns: Iterable[str]) -> str:
    """SQL: values as the bytes that are stored, whether they are text in UTF-8 or not."""
    return ", ".join(f"CAST({column} AS BLOB)" for column in columns)


def _put(table: str) -> str:
    """SQL that stores a row with its checksum in place of an earlier one."""
    key, *others = COLUMNS[table]
    marks = [f":{column}" for column in COLUMNS[table]]
    replaced = ", ".join(f"{column} = excluded.{column}" for column in (*others, "checksum"))
    head = f"INSERT INTO {table} ({', '.join(COLUMNS[table])}, checksum) VALUES ({', '.join(marks)}, "
    return f"{head}digest({_bytes(marks)})) ON CONFLICT ({key}) DO UPDATE SET {replaced}"


_CLAIM = "INSERT INTO claim (key, owner) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET owner = excluded.owner"

_READ = (
    "key, architecture, axes, stated, workload, metric, kind, unit, better, seed, samples, exact, error, "
    "detail, contributions, duration, parts, environment, created, traceback, files"
)
_WRITE = (
    "key", "live", "architecture", "variant", "axes", "stated", "workload", "metric", "kind", "unit", "better", "seed",
    "samples", "exact", "error", "detail", "contributions", "duration", "parts", "created", "traceback", "files",
)  # fmt: skip
_SAME = (
    "SELECT 1 FROM measurement "
    "WHERE key = :key AND live = 1 AND created = :created AND samples = :samples AND duration = :duration"
)
StoredRow = Mapping[str, Any]
"""Column -> value as it is stored, with the facts of the environment in place of its number."""

_TEXTS = (
    "key", "architecture", "variant", "axes", "stated", "workload", "metric", "kind", "unit", "better", "samples",
    "error", "detail", "contributions", "parts", "created", "traceback", "files",
)  # fmt: skip
_JSON = ("axes", "stated", "workload", "samples", "detail", "contributions", "parts", "files")
_FACTS = "(SELECT facts FROM environment WHERE environment.id = measurement.environment)"
_DIGEST = f"digest({_bytes((*_TEXTS, _FACTS))}, seed, exact, duration)"
_NEW_DIGEST = (
    f"digest({_bytes(f':{column}' for column in (*_TEXTS, 'environment'))}, "
    "CAST(:seed AS BIGINT), CAST(:exact AS BIGINT), CAST(:duration AS DOUBLE PRECISION))"
)
"""SQL: the checksum of a row that is about to be stored."""
_INSERT = (
    f"INSERT INTO measurement ({', '.join(_WRITE)}, environment, checksum) VALUES (:{', :'.join(_WRITE)}, "
    f"(SELECT id FROM environment WHERE facts = :environment), {_NEW_DIGEST}) ON CONFLICT DO NOTHING"
)
SOUND = (
    f"CASE WHEN checksum = '' THEN {' AND '.join(f'json_valid({column})' for column in _JSON)} "
    f"ELSE checksum = {_DIGEST} END"
)
"""SQL: whether a measurement matches its checksum; one of layout 2 has none, and must be readable."""

_MISMATCH = f"{DAMAGED}: the stored row does not match its checksum"


def row_of(m: Measurement, kind: str, parts: Mapping[str, Any], created: str) -> StoredRow:
    """A measurement as the store keeps it; one that cannot be encoded becomes a failure that says why."""
    m = storable(m)
    variant = m.variant
    return {
        **{"key": m.key, "live": 1, "architecture": variant.architecture, "variant": variant.name},
        **{"axes": _json(variant.axes), "stated": _json(variant.stated), "workload": _json(asdict(m.workload))},
        **{"metric": m.metric, "kind": kind, "unit": m.unit, "better": m.better, "seed": m.seed},
        **{"samples": _json(m.samples), "exact": int(m.exact), "error": m.error, "detail": _json(dict(m.detail))},
        **{"contributions": _json(m.contributions), "duration": m.duration, "parts": _json(parts), "created": created},
        **{"traceback": m.traceback, "files": _json(dict(m.files)), "environment": _json(m.environment)},
    }


def _number(value: Any) -> float | None:
    """A number of the database's JSON; None for anything else."""
    return float(value) if isinstance(value, (int, float)) else None


def network_text(parts: Mapping[str, Any]) -> str:
    """The axes and the input's shape of a network, from the parts of a key, as text that is equal for equal ones."""
    return json.dumps([parts.get("axes"), parts.get("shape")], sort_keys=True, default=list)


def _parsed(text: str) -> Any:
    """JSON as values; pydantic's parser is the faster one, and refuses texts with halves of surrogate pairs."""
    try:
        return from_json(text)
    except ValueError:
        return json.loads(text)


def _record(row: Sequence[Any], environments: Mapping[int, str]) -> Record:
    key, architecture, axes, stated, workload, metric, kind, unit, better, seed, *rest = row
    samples, exact, error, detail, contributions, duration, parts, environment, created, traceback, files = rest
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
        traceback=traceback,
        files=json.loads(files),
    )
    settings = _parsed(parts)
    conditions = with_clock(chosen(settings), measurement.detail)
    return Record(measurement, kind, created, conditions, versions_of(settings))


@functools.lru_cache(maxsize=2**14)
def _variant(architecture: str, axes: str, stated: str) -> Variant:
    return Variant(architecture, tuples(json.loads(axes)), tuple(json.loads(stated)))


@functools.lru_cache(maxsize=256)
def _workload(text: str) -> Workload:
    return workload_from({name: tuples(value) for name, value in json.loads(text).items()})


@functools.lru_cache(maxsize=256)
def _environment(text: str) -> Mapping[str, Any]:
    facts: dict[str, Any] = json.loads(text)
    return facts
