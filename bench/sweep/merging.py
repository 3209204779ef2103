"""Several stores in one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.results.checking import check
from bench.results.spill import read, take_in
from bench.results.store import Store
from bench.results.storefile import StoreError


def merge(files: Sequence[Path], path: Path) -> Iterator[tuple[Path, int]]:
    """Add stores and files of results that could not be stored to the store at `path`: (file, results added).

    Raises StoreError where a file is damaged or is the store itself, before anything is added.
    """
    for file in files:
        _check(file, path)
    with Store(path) as store:
        for file in files:
            yield file, take_in(store, [file]) if _is_spill(file) else _added(file, store)


def _is_spill(file: Path) -> bool:
    return file.suffix == ".jsonl"


def _check(file: Path, path: Path) -> None:
    if path.exists() and file.samefile(path):
        raise StoreError(f"{file}: this is the store itself")
    faults = [] if _is_spill(file) else [finding for finding in check(file) if finding.level == "fault"]
    if _is_spill(file):
        read(file)
    if faults:
        raise StoreError(f"{file}: damaged ({faults[0].text}); see: bench store check {file}")


def _added(file: Path, store: Store) -> int:
    """Evaluations and signatures come first: a score whose training run is there needs no other one."""
    with Store(file) as other:
        for training_run in sorted(other.evaluated() - store.evaluated()):
            evaluation = other.evaluation(training_run)
            if evaluation is not None:
                store.add_evaluation(training_run, evaluation)
        return store.add_rows(other.rows())
