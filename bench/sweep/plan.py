"""Plan: every measurement that an ablation asks for, and whether it is kept already."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.registry.catalogue import declarations, live
from bench.results.keys import KINDS, Request, requests
from bench.results.store import Row, Store
from bench.spec.ablation import Ablation
from bench.spec.workload import Workload

ERRORS = ("failed", "oom", "timeout", "died", "diverged")
"""Kinds of errors; `--rerun failed` means all of them."""


@dataclass(frozen=True)
class Planned:
    """A requested measurement and its status: `due`, `cached`, or `failed` (kept as an error, not run again)."""

    request: Request
    status: str
    error: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a run of the ablation would do. `seconds` is a forecast; `unknown` measurements have no precedent."""

    ablation: Ablation
    planned: tuple[Planned, ...]
    data: Path | None
    seconds: float = 0.0
    unknown: int = 0
    note: str = ""

    @property
    def requests(self) -> tuple[Request, ...]:
        return tuple(p.request for p in self.planned)

    @property
    def due(self) -> tuple[Request, ...]:
        return tuple(p.request for p in self.planned if p.status == "due")

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(p.request.key for p in self.planned)

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
    kinds: Sequence[str] = KINDS,
    reading: bool = False,
) -> Plan:
    """Every measurement of the ablation with its status in `store`. Builds no network, imports no torch.

    `rerun` names kinds of errors that are due again; `force` makes everything due; `only` keeps these metrics, `kinds`
    these kinds of metrics. With `reading`, a dataset that is not here counts as what it was when it was last used, or,
    if it never was, as data whose measurements the store cannot have.
    Raises DataNotFound where the data are needed and missing.
    """
    prints, note = ({}, "") if "accuracy" not in kinds else _fingerprint(ablation, store, data, reading)
    chosen = [r for r in requests(ablation, prints, kinds) if not only or r.metric in only]
    rows = store.measured(request.key for request in chosen)
    planned = tuple(_status(request, rows.get(request.key), rerun, force) for request in chosen)
    due = [p.request for p in planned if p.status == "due"]
    seconds, unknown = forecast(due, store)
    return Plan(ablation, planned, data, seconds, unknown, note)


def _fingerprint(ablation: Ablation, store: Store, data: Path | None, reading: bool) -> tuple[dict[str, str], str]:
    """(split -> digest of its data, a remark where the data are not here)."""
    if not ablation.trains:
        return {}, ""
    from bench.data.fingerprint import fingerprint

    work = ablation.workload
    name = dataset_name(work)
    dataset = live(declarations(ablation.plugins).datasets.get(work.dataset), ablation.plugins)
    try:
        prints = {s: fingerprint(dataset, data, s, work.shape, dict(work.dataset_axes)) for s in dataset.splits[:2]}
    except LookupError:
        if not reading:
            raise
        return _remembered(store.fingerprint(name), work.dataset)
    if not reading:
        store.remember_fingerprint(name, fingerprint_text(prints))
    return prints, ""


def dataset_name(work: Workload) -> str:
    """The dataset with its axes and the shape of its images: what a fingerprint is remembered under."""
    return f"{work.dataset}{dict(work.dataset_axes)}{work.shape}"


def fingerprint_text(prints: Mapping[str, str]) -> str:
    """A fingerprint as the store remembers it."""
    return ",".join(f"{split}={digest}" for split, digest in prints.items())


def _remembered(text: str | None, dataset: str) -> tuple[dict[str, str], str]:
    if text is None:
        return {}, f"the dataset {dataset} is not here (see: bench data get {dataset}); its scores can only be read"
    pairs = (pair.split("=") for pair in text.split(","))
    return dict(pairs), f"the dataset {dataset} is not here; read as it was last used"


def _status(request: Request, row: Row | None, rerun: Sequence[str], force: bool) -> Planned:
    if row is None or force:
        return Planned(request, "due")
    if row.error is None:
        return Planned(request, "cached")
    if row.is_damaged:
        return Planned(request, "due", row.error)
    kind = row.error.split(":", 1)[0]
    again = "failed" in rerun or kind in rerun
    return Planned(request, "due" if again else "failed", row.error)


def forecast(due: Sequence[Request], store: Store) -> tuple[float, int]:
    """(seconds on one worker, measurements without precedent), by the medians of earlier ones.

    A training's time is taken to grow with its steps, its batch and its pixels.
    """
    history: dict[tuple[str, str], list[float]] = {}
    for metric, architecture, seconds, parts in store.durations() if due else ():
        history.setdefault((metric, architecture), []).append(seconds / _work(parts))
    seconds, unknown, training_runs = 0.0, 0, set()
    for request in due:
        if request.training_run and request.training_run in training_runs:
            continue
        training_runs.add(request.training_run)
        spent = history.get((request.metric, request.variant.architecture))
        unknown += spent is None
        seconds += statistics.median(spent) * _work(request.parts) if spent else 0.0
    return seconds, unknown


def _work(parts: Mapping[str, Any]) -> float:
    """Pixels that a training sees; 1 for what needs none."""
    recipe = parts.get("recipe")
    return float(recipe["steps"] * recipe["batch"] * math.prod(parts["shape"][1:])) if recipe else 1.0
