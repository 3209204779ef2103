"""What a store holds, and how it is made as small as what it holds."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from bench.results.database import database_at, existing_version
from bench.results.location import Location
from bench.results.storefile import VERSION

TABLES = ("measurement", "evaluation", "signature", "note", "environment")


@dataclass(frozen=True)
class Contents:
    """`version` is the layout of the store, `current` the one that this fovbench writes; the first write migrates.

    `rows`: table -> number of rows; `replaced` of the measurements are history. `bytes` includes the write-ahead log of
    a file, and the indexes of a server.
    """

    store: str
    version: int
    current: int
    bytes: int
    rows: dict[str, int]
    replaced: int


def contents(location: Location) -> Contents | None:
    """What the store has, also while a run writes it; None where there is none yet. Raises StoreError."""
    with contextlib.closing(database_at(location)) as database:
        version = database.version()
        if version is None:
            return None
        rows = {table: database.rows(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}
        replaced = database.rows("SELECT count(*) FROM measurement WHERE live IS NULL")[0][0]
        return Contents(str(location), version, VERSION, database.size(), rows, replaced)


def vacuum(location: Location) -> tuple[int, int]:
    """Write the store anew without the space of removed rows; (bytes before, bytes after). No row is changed.

    Raises StoreUnavailable while a run writes the store, StoreError where there is none.
    """
    with contextlib.closing(database_at(location)) as database:
        existing_version(database, location)
        before = database.size()
        database.vacuum()
        return before, database.size()
