"""The interface to the tables of a store: a file of SQLite, or a PostgreSQL server.

Statements are written once, in SQL that both understand, with `?` and `:name` for arguments. `digest`, `json_valid`,
`json_extract` and the type `BLOB` are SQLite's (and ours); the server defines them too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from bench.results.location import Location, Server
from bench.results.postgres import PostgresDatabase
from bench.results.sqlite import SqliteFile
from bench.results.storefile import StoreError


class Rows(Protocol):
    """The result of a statement."""

    rowcount: int

    def fetchone(self) -> Any: ...

    def fetchall(self) -> Any: ...


class Connection(Protocol):
    """A connection within a transaction."""

    def execute(self, statement: str, arguments: Any = (), /) -> Any: ...

    def executemany(self, statement: str, arguments: Iterable[Any], /) -> Any: ...


class Database(Protocol):
    """Where the tables of one store are. Methods raise StoreError, or StoreUnavailable for what may pass."""

    def rows(self, statement: str, arguments: Any = ()) -> list[tuple[Any, ...]]:
        """The rows of a query; none where there is no store yet, which reading does not make."""
        ...

    def transaction(self) -> AbstractContextManager[Any]:
        """A transaction that no other writer overlaps; an exception rolls it back."""
        ...

    def owner(self, process: str) -> str:
        """How this process is named in claims; as long as it is connected, others can see that it lives."""
        ...

    def living(self, owners: Iterable[str], is_running: Callable[[str], bool]) -> set[str]:
        """Those of the owners that still run; asked within a transaction."""
        ...

    def now(self) -> datetime:
        """The time by the one clock of all who share the store: two machines of a server may have different ones."""
        ...

    def version(self) -> int | None:
        """The layout of the tables; None where there is no store yet."""
        ...

    def size(self) -> int:
        """Bytes."""
        ...

    def faults(self) -> Iterator[tuple[str, str]]:
        """(place, text) of what the database itself says is damaged."""
        ...

    def vacuum(self) -> None:
        """Give back the space of what was removed. Waits until no other process writes."""
        ...

    def close(self) -> None:
        """Close the connection; the next use opens another one."""
        ...


def existing_version(database: Database, location: Location) -> int:
    """The layout of the tables. Raises StoreError where there is no store yet."""
    version = database.version()
    if version is None:
        raise StoreError(f"{location}: there is no results store; the first bench run makes it")
    return version


def database_at(location: Location) -> Database:
    """The database of a store, opened when it is first used."""
    return PostgresDatabase(location) if isinstance(location, Server) else SqliteFile(location)
