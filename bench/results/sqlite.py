"""A store in a file of SQLite: write-ahead log, full synchronisation, one writer at a time. Not for network drives."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.results.storefile import (
    Reader,
    StoreError,
    check_is_store,
    explained,
    fetched,
    immediate,
    version_of,
    writing,
)

MOST = 100
"""Findings of SQLite's own check that are listed."""


class SqliteFile:
    """The tables of a store in a file. Until something is written, the file is only read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer: sqlite3.Connection | None = None
        self._reader: Reader | None = None

    def rows(self, statement: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with explained(self.path):
            if self.writer is not None:
                return fetched(self.writer, statement, arguments)
            if self._reader is None:
                if not check_is_store(self.path):
                    return []
                self._reader = Reader(self.path)
            return self._reader.rows(statement, arguments)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        with explained(self.path), immediate(self._writing()) as connection:
            yield connection

    def _writing(self) -> sqlite3.Connection:
        if self.writer is None:
            check_is_store(self.path)
            self._close_reader()
            self.writer = writing(self.path)
        return self.writer

    def owner(self, process: str) -> str:
        return process

    def living(self, owners: Iterable[str], is_running: Callable[[str], bool]) -> set[str]:
        return {owner for owner in owners if is_running(owner)}

    def now(self) -> datetime:
        return datetime.now(UTC)

    def version(self) -> int | None:
        if not check_is_store(self.path):
            return None
        return int(self.rows("PRAGMA user_version")[0][0]) if self.writer is None else version_of(self.writer)

    def size(self) -> int:
        """Bytes of the file and its write-ahead log."""
        log = self.path.with_name(f"{self.path.name}-wal")
        return self.path.stat().st_size + (log.stat().st_size if log.exists() else 0)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What SQLite says of its pages, indexes and references."""
        try:
            pages = self.rows(f"PRAGMA main.integrity_check({MOST})")
            references = self.rows("PRAGMA main.foreign_key_check")
        except StoreError as error:
            yield str(self.path), str(error)
            return
        yield from ((str(self.path), text) for (text,) in pages if text != "ok")
        for table, row, parent, _ in references:
            yield f"{table} {row}", f"names a row of {parent} that does not exist"

    def vacuum(self) -> None:
        """Write the file anew; the disk needs room for a second copy."""
        with explained(self.path):
            connection = self._writing()
            with immediate(connection):
                pass  # waits until no other process writes
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self._close_reader()
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
