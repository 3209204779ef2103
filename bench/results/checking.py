"""What is wrong with a store: the database's own check, the checksum of every row, and results that wait in files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bench.results.database import existing_version
from bench.results.location import Location
from bench.results.spill import files_of
from bench.results.spill import read as read_spilled
from bench.results.store import COLUMNS, SOUND, Store, sound
from bench.results.storefile import StoreError

MOST = 100
"""Findings of one kind that are listed."""


@dataclass(frozen=True)
class Finding:
    """One thing about a store: `fault` is damage, `note` is not. `place` names the row or the file."""

    level: Literal["fault", "note"]
    place: str
    text: str


def check(location: Location) -> list[Finding]:
    """Everything about the store, faults first. Writes nothing.

    Raises StoreError for a file that is no store of this version.
    """
    with Store(location) as store:
        existing_version(store.database, location)
        findings = [*_structure(store), *_rows(store), *_waiting(store)]
    return sorted(findings, key=lambda finding: finding.level)


def _structure(store: Store) -> Iterator[Finding]:
    """What the database itself says."""
    yield from (Finding("fault", place, text) for place, text in store.database.faults())


def _rows(store: Store) -> Iterator[Finding]:
    """Rows that do not match their checksum; what has none, and what nothing refers to."""
    try:
        yield from _measurements(store)
        for table, (key, *_) in COLUMNS.items():
            for (name,) in store.query(f"SELECT {key} FROM {table} WHERE NOT {sound(table)} LIMIT {MOST}"):
                yield Finding("fault", f"{table} {name}", "does not match its checksum")
    except StoreError as error:
        yield Finding("fault", str(store.location), str(error))


def _measurements(store: Store) -> Iterator[Finding]:
    place = f"SELECT id, key, live, variant, metric, seed FROM measurement WHERE NOT ({SOUND}) LIMIT {MOST}"
    for number, key, live, variant, metric, seed in store.query(place):
        name = f"{variant} {metric}" + ("" if seed is None else f" seed {seed}")
        remedy = "the next bench run measures it again" if live else "it is history, and no table reads it"
        yield Finding("fault", f"measurement {number}", f"{name}, key {key}: damaged; {remedy}")
    (without,) = store.query("SELECT count(*) FROM measurement WHERE checksum = ''")[0]
    if without:
        yield Finding(
            "note", str(store.location), f"{without} measurements have no checksum (stored by an earlier version)"
        )
    orphans = "SELECT count(*) FROM environment WHERE id NOT IN (SELECT environment FROM measurement)"
    if count := store.query(orphans)[0][0]:
        yield Finding("note", str(store.location), f"{count} environments belong to no measurement")


def _waiting(store: Store) -> Iterator[Finding]:
    for file in files_of(store.path):
        try:
            count = sum(len(item) for item in read_spilled(file))
        except StoreError as error:
            yield Finding("fault", str(file), str(error))
        else:
            yield Finding("note", str(file), f"{count} results wait here; the next bench run adds them to the store")
