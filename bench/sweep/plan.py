"""Plan: every measurement that an ablation asks for, and whether it is kept already."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.registry.catalogue import declarations, live
from bench.results.keys import Cell, cells
from bench.results.store import Row, Store
from bench.spec.ablation import Ablation

SORTS = ("failed", "oom", "timeout", "died", "diverged")
"""Sorts of errors; `--rerun failed` means all of them."""


@dataclass(frozen=True)
class Planned:
    """A cell and what is known of it: `due`, `cached`, or `failed` (kept as an error, not run again)."""

    cell: Cell
    status: str
    error: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a run of the ablation would do. `seconds` is an estimate; `unknown` cells have no precedent."""

    ablation: Ablation
    planned: tuple[Planned, ...]
    data: Path | None
    seconds: float = 0.0
    unknown: int = 0
    note: str = ""

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(p.cell for p in self.planned)

    @property
    def due(self) -> tuple[Cell, ...]:
        return tuple(p.cell for p in self.planned if p.status == "due")

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(p.cell.key for p in self.planned)

    def count(self, status: str) -> int:
        return sum(p.status == status for p in self.planned)


def plan(
    ablation: Ablation,
    store: Store,
    data: Path | None = None,
    *,
    rerun: Sequence[str] = (),
    force: bool = False,
    only: Sequence[str] = (),
    reading: bool = False,
) -> Plan:
    """Every cell of the ablation with its status in `store`. Builds no network, imports no torch.

    `rerun` names sorts of errors that are due again; `force` makes everything due; `only` keeps these
    metrics. With `reading` a data set that is not here counts as what it was when last seen.
    Raises DataNotFound where the data are needed and missing.
    """
    told, note = _fingerprint(ablation, store, data, reading)
    wanted = [c for c in cells(ablation, told) if not only or c.metric in only]
    known = store.measured(c.key for c in wanted)
    planned = tuple(_status(cell, known.get(cell.key), rerun, force) for cell in wanted)
    due = [p.cell for p in planned if p.status == "due"]
    seconds, unknown = estimate(due, store)
    return Plan(ablation, planned, data, seconds, unknown, note)


def _fingerprint(ablation: Ablation, store: Store, data: Path | None, reading: bool) -> tuple[dict[str, str], str]:
    if not ablation.trains:
        return {}, ""
    from bench.data.fingerprint import fingerprint

    work = ablation.workload
    name = f"{work.dataset}{dict(work.dataset_axes)}{work.shape}"
    dataset = live(declarations(ablation.plugins).datasets.get(work.dataset), ablation.plugins)
    try:
        told = {s: fingerprint(dataset, data, s, work.shape, dict(work.dataset_axes)) for s in dataset.splits[:2]}
    except LookupError:
        held = store.fingerprint(name) if reading else None
        if held is None:
            raise
        return dict(pair.split("=") for pair in held.split(",")), f"{work.dataset} is not here; read as last measured"
    if not reading:
        store.remember_fingerprint(name, ",".join(f"{k}={v}" for k, v in told.items()))
    return told, ""


def _status(cell: Cell, row: Row | None, rerun: Sequence[str], force: bool) -> Planned:
    if row is None or force:
        return Planned(cell, "due")
    if row.error is None:
        return Planned(cell, "cached")
    sort = row.error.split(":", 1)[0]
    again = "failed" in rerun or sort in rerun
    return Planned(cell, "due" if again else "failed", row.error)


def estimate(due: Sequence[Cell], store: Store) -> tuple[float, int]:
    """(seconds on one worker, cells without precedent), by the medians of earlier cells of the same sort.

    A training's time is taken to grow with its steps, its batch and its pixels.
    """
    history: dict[tuple[str, str], list[float]] = {}
    for metric, architecture, seconds, parts in store.durations() if due else ():
        history.setdefault((metric, architecture), []).append(seconds / _work(parts))
    seconds, unknown, trials = 0.0, 0, set()
    for cell in due:
        if cell.trial and cell.trial in trials:
            continue
        trials.add(cell.trial)
        spent = history.get((cell.metric, cell.variant.architecture))
        unknown += spent is None
        seconds += statistics.median(spent) * _work(cell.parts) if spent else 0.0
    return seconds, unknown


def _work(parts: Mapping[str, Any]) -> float:
    """Pixels that a training sees; 1 for what needs none."""
    recipe = parts.get("recipe")
    return float(recipe["steps"] * recipe["batch"] * math.prod(parts["shape"][1:])) if recipe else 1.0
