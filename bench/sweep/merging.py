"""Several stores in one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeGuard

from bench.results.checking import check
from bench.results.location import Location
from bench.results.spill import read, take_in
from bench.results.store import Store
from bench.results.storefile import StoreError


def merge(files: Sequence[Location], location: Location) -> Iterator[tuple[Location, int, int]]:
    """Add stores and files of results that could not be stored to the store at `location`.

    Gives (file, results added, results that have another value in the store, which stays). Raises StoreError where a
    file is damaged or is the store itself, before anything is added.
    """
    for file in files:
        _check(file, location)
    with Store(location) as store:
        for file in files:
            yield file, *((take_in(store, [file]), 0) if _is_spill(file) else _added(file, store))


def _is_spill(file: Location) -> TypeGuard[Path]:
    return isinstance(file, Path) and file.suffix == ".jsonl"


def _check(file: Location, location: Location) -> None:
    if _is_same(file, location):
        raise StoreError(f"{file}: this is the store itself")
    if _is_spill(file):
        read(file)
        return
    faults = [finding for finding in check(file) if finding.level == "fault"]
    if faults:
        raise StoreError(f"{file}: damaged ({faults[0].text}); see: bench store check {file}")


def _is_same(file: Location, location: Location) -> bool:
    if isinstance(file, Path) and isinstance(location, Path):
        return location.exists() and file.samefile(location)
    return str(file) == str(location)


def _added(file: Location, store: Store) -> tuple[int, int]:
    """Evaluations and signatures come first: a score whose training run is there needs no other one."""
    with Store(file) as other:
        for training_run in sorted(other.evaluated() - store.evaluated()):
            evaluation = other.evaluation(training_run)
            if evaluation is not None:
                store.add_evaluation(training_run, evaluation)
        rows, before = other.rows(), store.values()
        both = ((before[row["key"]], (row["samples"], row["error"])) for row in rows if row["key"] in before)
        different = sum(ours != theirs for ours, theirs in both)
        return store.add_rows(rows), different
