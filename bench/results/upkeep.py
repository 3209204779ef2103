"""What a store holds, and how its file is made as small as what it holds."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from bench.results.storefile import VERSION, Reader, StoreError, check_is_store, explained, immediate, writing

TABLES = ("measurement", "evaluation", "signature", "note", "environment")


@dataclass(frozen=True)
class Contents:
    """`version` is the layout of the file, `current` the one that this fovbench writes; the first write migrates.

    `rows`: table -> number of rows; `replaced` of the measurements are history. `bytes` includes the write-ahead log.
    """

    store: str
    version: int
    current: int
    bytes: int
    rows: dict[str, int]
    replaced: int


def contents(path: Path) -> Contents | None:
    """What the store has, also while a run writes it; None where there is none yet. Raises StoreError."""
    if not check_is_store(path):
        return None
    reader = Reader(path)
    try:
        with explained(path):
            version = reader.rows("PRAGMA user_version")[0][0]
            rows = {table: reader.rows(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}
            replaced = reader.rows("SELECT count(*) FROM measurement WHERE live IS NULL")[0][0]
    finally:
        reader.close()
    return Contents(str(path), int(version), VERSION, size_of(path), rows, replaced)


def size_of(path: Path) -> int:
    """Bytes of the file and its write-ahead log."""
    log = path.with_name(f"{path.name}-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


def vacuum(path: Path) -> tuple[int, int]:
    """Write the file anew without the space of removed rows; (bytes before, bytes after). No row is changed.

    Raises StoreUnavailable while a run writes the store, StoreError where there is none.
    """
    if not check_is_store(path):
        raise StoreError(f"{path}: there is no results store; the first bench run makes it")
    before = size_of(path)
    with explained(path), contextlib.closing(writing(path)) as connection:
        with immediate(connection):
            pass  # waits until no other process writes
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return before, size_of(path)
