"""The file of a results store: its tables, how it is recognised, and how it is opened to write or only to read.

A file is recognised before it is opened, so that a database of another program is never written to. Reading creates
nothing: a store that no process is writing is read as it lies, without locks and without a write-ahead log.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

APPLICATION_ID = 0x466F7642
"""`FoVB`, in the header of every store since layout 3; a store of layout 2 has 0 there."""

VERSION = 3
OLDEST = 2
TIMEOUT = 60.0
"""Seconds to wait for a lock of another process."""

SCHEMA = """
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
    created TEXT NOT NULL,
    traceback TEXT NOT NULL DEFAULT '',
    files TEXT NOT NULL DEFAULT '{}',
    checksum TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_live_row ON measurement (key) WHERE live = 1;
CREATE INDEX IF NOT EXISTS by_metric ON measurement (metric, architecture);
CREATE TABLE IF NOT EXISTS evaluation (
    training_run TEXT PRIMARY KEY, facts TEXT NOT NULL, arrays BLOB NOT NULL, checksum TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE IF NOT EXISTS signature (
    key TEXT PRIMARY KEY, facts TEXT NOT NULL, checksum TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE IF NOT EXISTS note (
    ablation TEXT PRIMARY KEY, text TEXT NOT NULL, checksum TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE IF NOT EXISTS claim (key TEXT PRIMARY KEY, owner TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS by_owner ON claim (owner);
CREATE TABLE IF NOT EXISTS fingerprint (
    dataset TEXT PRIMARY KEY, value TEXT NOT NULL, checksum TEXT NOT NULL DEFAULT ''
) STRICT;
"""
ADDED = {
    ("measurement", "traceback"): "''",
    ("measurement", "files"): "'{}'",
    **{(table, "checksum"): "''" for table in ("measurement", "evaluation", "signature", "note", "fingerprint")},
}
"""(table, column) -> default, of the columns that a store of layout 2 lacks."""

_LAYOUT_2 = frozenset({"environment", "measurement", "evaluation", "signature", "note", "claim", "fingerprint"})
_MAGIC = b"SQLite format 3\0"
_PAGE = 65536
"""The largest page of SQLite: a larger file has tables."""


class StoreError(RuntimeError):
    """A file that is no results store of this version, or that cannot be read or written."""


class StoreUnavailable(StoreError):  # noqa: N818 - the name says what is wrong
    """The store cannot be used now, and may be later: it is locked, or its disk is full or fails."""


_FOR_NOW = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raises StoreError, or StoreUnavailable for what may pass, in place of an error of SQLite."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _FOR_NOW:
            raise StoreUnavailable(f"{path}: {_reason(error, code)}") from error
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            raise StoreError(f"{path}: cannot be opened ({error}); name another with --store") from error
        raise _damaged(path, error) from error
    except UnicodeDecodeError as error:  # SQLite quotes the garbage that it met
        raise _damaged(path, error.object.decode("utf-8", "backslashreplace")) from error


def _damaged(path: Path, reason: object) -> StoreError:
    return StoreError(f"{path}: damaged ({reason}); see: bench store check {path}")


def _reason(error: sqlite3.Error, code: int) -> str:
    busy = code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return f"another process has locked it ({error})" if busy else f"cannot be written or read now ({error})"


def digest(*values: bytes | int | float | None) -> str:
    """The checksum of a row's values: 16 hexadecimal digits."""
    parts = (value if isinstance(value, bytes) else repr(value).encode() for value in values)
    return hashlib.sha256(b"\x1f".join(parts)).hexdigest()[:16]


def check_is_store(path: Path) -> bool:
    """Whether the file holds a store; False where there is none yet. Opens nothing for writing.

    Raises StoreError for a folder, a pipe, a file that is no database, and a database of another program.
    """
    if not path.exists():
        return False
    if not path.is_file():
        raise StoreError(f"{path}: not a results store (not a regular file); name another with --store")
    header = _header(path)
    if header and not header.startswith(_MAGIC):
        raise StoreError(f"{path}: not a results store (file is not a database); name another with --store")
    if len(header) < 100:
        return False
    version, identity = (int.from_bytes(header[at : at + 4], "big") for at in (60, 68))
    if identity == APPLICATION_ID:
        return True
    return _is_old_store(path, version, identity)


def _header(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(100)


def _is_old_store(path: Path, version: int, identity: int) -> bool:
    """Whether a database without our mark is a store of an earlier layout; False for one without tables."""
    with explained(path):
        tables, version = _contents(path, version)
    if identity == 0 and tables >= _LAYOUT_2 and OLDEST <= version <= VERSION:
        return True
    if identity == 0 and (not tables or tables >= _LAYOUT_2) and version:
        raise other_version(path, version)
    if identity or tables:
        raise StoreError(f"{path}: not a results store (a database of another program); name another with --store")
    return False


def other_version(store: object, version: int) -> StoreError:
    """The error of a store, a file or a server, of another layout."""
    what = "a newer fovbench" if version > VERSION else "another fovbench"
    advice = "update fovbench, or" if version > VERSION else "merge it with that one's `bench store`, or"
    return StoreError(
        f"{store}: written by {what} (layout {version}, not {VERSION}); {advice} name another with --store"
    )


def _contents(path: Path, version: int) -> tuple[set[str], int]:
    """(names of the tables, user version), with what a killed process left in the write-ahead log of a small file."""
    logged = has_log(path) and (version in range(OLDEST, VERSION + 1) or path.stat().st_size <= _PAGE)
    with contextlib.closing(_snapshot(path) if logged else _immutable(path)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return tables, connection.execute("PRAGMA user_version").fetchone()[0]


def has_log(path: Path) -> bool:
    """Whether there is a write-ahead log that is not empty: a process writes the store, or was killed."""
    log = path.with_name(f"{path.name}-wal")
    return log.exists() and log.stat().st_size > 0


def _uri(path: Path, options: str) -> str:
    return f"file:{quote(str(path.absolute()))}?{options}"


def _immutable(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(_uri(path, "mode=ro&immutable=1"), uri=True, timeout=TIMEOUT, isolation_level=None)


def _snapshot(path: Path) -> sqlite3.Connection:
    """A copy of the database with its log, in memory."""
    memory = sqlite3.connect(":memory:", isolation_level=None)
    with tempfile.TemporaryDirectory() as folder:
        for end in ("", "-wal"):
            shutil.copyfile(path.with_name(path.name + end), Path(folder) / f"copy{end}")
        with contextlib.closing(sqlite3.connect(Path(folder) / "copy")) as copy:
            copy.backup(memory)
    return memory


class Reader:
    """Reads a store with a connection that cannot write, opened when it is first needed. The file is a store.

    A file that no process writes is read as it lies, and read again where it was changed meanwhile. Where a process
    writes it, the connection shares the log. A log that cannot be shared, since the folder is read-only, is read from a
    copy.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._state: tuple[int, ...] | None = None

    def rows(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query; none of a file that has no tables yet. Raises sqlite3.Error and StoreError."""
        while True:
            try:
                connection = self._connection or self._open()
                rows = fetched(connection, statement, arguments) if version_of(connection) else []
            except sqlite3.DatabaseError:
                if not self._was_changed():
                    raise
            else:
                if not self._was_changed():
                    return rows
            self.close()

    def close(self) -> None:
        """Close the connection; the next query opens another one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _was_changed(self) -> bool:
        """Whether a file that is read as it lies was written since it was opened."""
        return self._state is not None and self._state != _state(self.path)

    def _open(self) -> sqlite3.Connection:
        self._state = _state(self.path)
        if has_log(self.path):
            self._state = None
            self._connection = _sharing_log(self.path)
        else:
            self._connection = _immutable(self.path)
        _prepare_to_read(self.path, self._connection)
        return self._connection


def _state(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _sharing_log(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(_uri(path, "mode=ro"), uri=True, timeout=TIMEOUT, isolation_level=None)
    try:
        version_of(connection)
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        return _snapshot(path)
    return connection


def _prepare_to_read(path: Path, connection: sqlite3.Connection) -> None:
    """Columns that a store of an earlier layout lacks read as their defaults."""
    connection.create_function("digest", -1, digest, deterministic=True)
    version = version_of(connection)
    if not version:
        return
    if not OLDEST <= version <= VERSION:
        raise other_version(path, version)
    lacking: dict[str, list[str]] = {}
    for table, column in missing_columns(connection):
        lacking.setdefault(table, []).append(f"{ADDED[table, column]} AS {column}")
    for table, columns in lacking.items():
        connection.execute(f"CREATE TEMP VIEW {table} AS SELECT *, {', '.join(columns)} FROM main.{table}")


def fetched(connection: sqlite3.Connection, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """The rows of a query; in text that is no UTF-8, which a damaged row may have, wrong bytes are replaced."""
    try:
        return connection.execute(statement, arguments).fetchall()
    except sqlite3.OperationalError as error:
        if "decode" not in str(error):
            raise
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    try:
        return connection.execute(statement, arguments).fetchall()
    finally:
        connection.text_factory = str


def writing(path: Path) -> sqlite3.Connection:
    """A connection that writes; the file and its tables are made where they are missing. `path` was recognised."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=TIMEOUT, isolation_level=None)
    try:
        connection.create_function("digest", -1, digest, deterministic=True)
        _make_ready(path, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_ready(path: Path, connection: sqlite3.Connection) -> None:
    version = version_of(connection)
    if version and not OLDEST <= version <= VERSION:
        raise other_version(path, version)
    if not version and _identity(connection) != APPLICATION_ID:
        with immediate(connection):  # before there is a log, so that the file itself shows what it is from then on
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    if _is_incomplete(connection):
        with immediate(connection):
            _complete(connection)


def _is_incomplete(connection: sqlite3.Connection) -> bool:
    complete = _identity(connection) == APPLICATION_ID and version_of(connection) == VERSION
    return not complete or bool(missing_columns(connection))


def _identity(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA application_id").fetchone()[0])


def _complete(connection: sqlite3.Connection) -> None:
    """Make the layout of this version. What is missing is read under the lock, since two runs may start at once."""
    for statement in SCHEMA.split(";"):
        connection.execute(statement)
    for table, column in missing_columns(connection):
        default = ADDED[table, column]
        connection.execute(f"ALTER TABLE {table} ADD COLUMN {column} TEXT NOT NULL DEFAULT {default}")
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version={VERSION}")


def version_of(connection: sqlite3.Connection) -> int:
    """The layout of the store; 0 where it has no tables yet."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def missing_columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """(table, column) of the columns that a store of an earlier layout lacks."""
    columns = "SELECT name FROM pragma_table_info(?)"
    tables = dict.fromkeys(table for table, _ in ADDED)
    present = {(table, name) for table in tables for (name,) in connection.execute(columns, (table,))}
    return [place for place in ADDED if place not in present]


@contextlib.contextmanager
def immediate(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A transaction that holds the write lock from its beginning; an exception, also of the commit, rolls it back."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk ends the transaction by itself
            connection.execute("ROLLBACK")
        raise
