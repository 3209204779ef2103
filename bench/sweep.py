"""Plan and run: what is missing is measured, once, and kept as soon as it is known."""

from __future__ import annotations

import math
import queue
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.ablation import Ablation
from bench.catalogue import declarations, live
from bench.cells import Cell, cells, networks
from bench.effect import NoEffect, Signature, alike, told
from bench.executors import Executor, Exit, Lane, Progress
from bench.measurement import Measurement, Variant
from bench.store import Row, Store, running, this_run
from bench.worker import Evaluated, MeasureJob, SignatureJob, TrainJob, failure

BATCH = 256
"""Static cells in one process at most: enough to make its start negligible."""

KILLED = "killed by SIGKILL"
"""A kill comes from outside (the kernel short of memory, a person): such a cell gets one more try."""

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


@dataclass(frozen=True)
class Summary:
    """How a run ended."""

    measured: int
    failed: int
    left: int
    stopped: str = ""


@dataclass(frozen=True)
class Options:
    """How a run is carried out; nothing here can change a value."""

    workers: int = 1
    budget: float = math.inf
    force: bool = False
    replace: bool = False
    allow_noop: str = ""
    notify: Callable[[Any], None] = field(default=lambda event: None)


@dataclass(frozen=True)
class Began:
    """Event: so many cells are to be measured."""

    cells: int


@dataclass(frozen=True)
class Kept:
    """Event: these measurements are in the store."""

    measurements: tuple[Measurement, ...]


def run(plan: Plan, store: Store, executor: Executor, options: Options = Options()) -> Summary:
    """Measure what is due. Whatever is known is in the store at once; a death costs its own cell only."""
    return _Run(plan, store, executor, options).run()


def check_effects(plan: Plan, store: Store, executor: Executor, options: Options) -> None:
    """Refuse an ablation with two variants that differ in name only. Raises NoEffect."""
    ablation = plan.ablation
    cells = {cell.key: cell for cell in networks(ablation)}
    known = {key: Signature(**facts) for key, facts in store.signatures(cells).items()}
    missing = [replace(cell, parts={}) for key, cell in cells.items() if key not in known]
    known |= _signatures(missing, (), plan, store, executor, options)
    by_variant = {cell.variant: known[key] for key, cell in cells.items()}
    unread = [s for group in alike(by_variant) for s in map(by_variant.__getitem__, group) if not s.values]
    if unread:
        asked = [replace(cells[s.key], parts={}) for s in unread]
        known |= _signatures(asked, tuple(unread), plan, store, executor, options)
    twins = alike({cell.variant: known[key] for key, cell in cells.items()})
    if twins and not options.allow_noop:
        raise NoEffect(told(twins, ablation.path))
    if twins:
        store.add_note(ablation.name, f"variants that are the same network were allowed: {options.allow_noop}")


def kept_signatures(ablation: Ablation, store: Store) -> dict[Variant, Signature]:
    """What earlier runs found the ablation's networks to be; a variant that none looked at is left out."""
    cells = networks(ablation)
    kept = store.signatures(cell.key for cell in cells)
    return {cell.variant: Signature(**kept[cell.key]) for cell in cells if cell.key in kept}


def known_twins(plan: Plan, store: Store) -> str:
    """What `run` would refuse, as far as earlier runs looked at these networks; empty where nothing is known."""
    known = kept_signatures(plan.ablation, store)
    twins = alike({variant: found for variant, found in known.items() if found.values})
    return told(twins, plan.ablation.path) if twins else ""


def _signatures(
    cells: Sequence[Cell],
    known: tuple[Signature, ...],
    plan: Plan,
    store: Store,
    executor: Executor,
    options: Options,
) -> dict[str, Signature]:
    """Look at networks in processes of their own; one that dies there is left unchecked, and the rest are not."""
    found: dict[str, Signature] = {}
    died: dict[str, Signature] = {}

    def take(item: Signature | Progress) -> None:
        if isinstance(item, Progress):
            options.notify(item)
        else:
            found[item.key] = item

    ablation, size = plan.ablation, max(1, min(BATCH, math.ceil(len(cells) / options.workers)))
    jobs = [cells[start : start + size] for start in range(0, len(cells), size)]
    while jobs:
        futures = [
            executor.submit(SignatureJob(tuple(job), ablation.plugins, known), take, timeout=ablation.timeout)
            for job in jobs
        ]
        ends = [future.result() for future in futures]
        left = [[cell for cell in job if cell.key not in found] for job in jobs]
        for end, job in zip(ends, left, strict=True):
            died |= {cell.key: Signature(cell.key, error=end.error or "no answer") for cell in job[:1]}
        jobs = [job[1:] for job in left if job[1:]]
    if found:
        store.add_signatures({key: signature.facts() for key, signature in found.items()})
    return found | died


class _Run:
    """The state of one run: what is pending, in flight, and kept."""

    def __init__(self, plan: Plan, store: Store, executor: Executor, options: Options) -> None:
        self.plan, self.store, self.executor, self.options = plan, store, executor, options
        self.owner = this_run()
        self.received: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.flying: dict[Future[Exit], tuple[MeasureJob | TrainJob, float]] = {}
        self.done: set[str] = set()
        self.evaluated: dict[str, Any] = {}
        self.failed = 0
        self.ends = time.monotonic() + options.budget
        self.by_key = {cell.key: cell for cell in plan.due}

    def run(self) -> Summary:
        if self.plan.due and len(self.plan.ablation.variants) > 1:
            check_effects(self.plan, self.store, self.executor, self.options)
        self.options.notify(Began(len(self.plan.due)))
        try:
            self._own_cells()
            self._cells_of_others()
        finally:
            if self.by_key:
                self.store.release(self.owner)
        left = len(self.by_key) - len(self.done)
        return Summary(len(self.done), self.failed, left, "budget" if left else "")

    def _own_cells(self) -> None:
        mine = self._claimed([key for key in self.by_key if key not in self.done])
        if not self.options.replace:
            self._found(self.store.measured(mine))
        for kind in ("static", "speed", "accuracy"):
            self._phase([c for c in self.plan.due if c.kind == kind and c.key in mine and c.key not in self.done])

    def _claimed(self, keys: Sequence[str]) -> set[str]:
        return self.store.claim(keys, self.owner, running) if keys else set()

    def _cells_of_others(self) -> None:
        """Wait for the cells that another run measures; take them over if it dies."""
        while missing := [k for k in self.by_key if k not in self.done]:
            if not self._time_left():
                return
            if not self.options.replace:
                self._found(self.store.measured(missing))
            if self._claimed([k for k in missing if k not in self.done]):
                self._own_cells()
            elif len(self.done) < len(self.by_key):
                time.sleep(0.5)

    def _found(self, rows: Mapping[str, Row]) -> None:
        """Cells that another run has measured since we planned."""
        self.done |= rows.keys()
        self.failed += sum(row.error is not None for row in rows.values())

    def _time_left(self) -> bool:
        return time.monotonic() < self.ends

    def _phase(self, due: Sequence[Cell]) -> None:
        pending = list(self._jobs(due))
        while pending or self.flying:
            while pending and self._room(pending[0]) and self._time_left():
                self._submit(pending.pop(0))
            if not self._time_left():
                pending.clear()
            self._receive()
            pending[:0] = self._landed()

    def _jobs(self, due: Sequence[Cell]) -> Iterator[MeasureJob | TrainJob]:
        """The cells of one kind as jobs: a trial each, a speed cell each, static cells in batches."""
        light = tuple(replace(cell, parts={}) for cell in due)
        if light and light[0].kind == "accuracy":
            for trial in dict.fromkeys(cell.trial for cell in light):
                yield self._trial(tuple(c for c in light if c.trial == trial))
            return
        share = math.ceil(len(light) / self.options.workers)
        size = 1 if light and light[0].kind == "speed" else min(BATCH, max(1, share))
        for start in range(0, len(light), size):
            yield MeasureJob(light[start : start + size], self.plan.ablation.plugins)

    def _trial(self, group: tuple[Cell, ...]) -> TrainJob:
        kept = None if self.options.force else self.store.evaluation(group[0].trial)
        return TrainJob(group, self.plan.ablation.recipe, self.plan.data, self.plan.ablation.plugins, kept)

    def _lane(self, job: MeasureJob | TrainJob) -> Lane:
        return "exclusive" if job.cells[0].kind == "speed" else "shared"

    def _room(self, job: MeasureJob | TrainJob) -> bool:
        return len(self.flying) < (1 if self._lane(job) == "exclusive" else self.options.workers)

    def _submit(self, job: MeasureJob | TrainJob) -> None:
        ablation = self.plan.ablation
        future = self.executor.submit(
            job,
            self.received.put,
            timeout=ablation.timeout,
            device=ablation.workload.device,
            lane=self._lane(job),
        )
        future.add_done_callback(lambda _: self.received.put(None))
        self.flying[future] = (job, time.monotonic())

    def _receive(self) -> None:
        """Wait for news, then keep all that has come in one transaction."""
        if self.flying:
            self._take([self.received.get(), *self._waiting()])

    def _waiting(self) -> Iterator[Any]:
        while not self.received.empty():
            yield self.received.get()

    def _take(self, news: Sequence[Any]) -> None:
        for item in news:
            if isinstance(item, Evaluated):
                self.store.add_evaluation(item.trial, item.evaluation)
                self.evaluated[item.trial] = item.evaluation
            elif isinstance(item, Progress):
                self.options.notify(item)
        self._keep([item for item in news if isinstance(item, Measurement)])

    def _keep(self, measurements: Sequence[Measurement]) -> None:
        if not measurements:
            return
        rows = [(m, self.by_key[m.key].kind, self.by_key[m.key].parts) for m in measurements]
        self.store.add(rows, replace=self.options.replace)
        self.done |= {m.key for m in measurements}
        self.failed += sum(m.error is not None for m in measurements)
        self.options.notify(Kept(tuple(measurements)))

    def _landed(self) -> Iterator[MeasureJob | TrainJob]:
        """Account for the jobs that ended; what a dead one left undone comes back as a job."""
        for future in [f for f in self.flying if f.done()]:
            job, started = self.flying.pop(future)
            self._take(list(self._waiting()))
            left = tuple(cell for cell in job.cells if cell.key not in self.done)
            if left:
                yield from self._after_death(job, left, future.result(), time.monotonic() - started)

    def _after_death(
        self, job: MeasureJob | TrainJob, left: tuple[Cell, ...], end: Exit, seconds: float
    ) -> Iterator[MeasureJob | TrainJob]:
        error = end.error or "died: the job ended without a result for this cell"
        if KILLED in error and job.attempt == 1:
            yield self._again(job, left, attempt=2)
            return
        untrained = isinstance(job, TrainJob) and job.evaluation is None and left[0].trial not in self.evaluated
        guilty, innocent = (left, ()) if untrained else (left[:1], left[1:])
        self._keep([failure(cell, error, seconds, job.plugins) for cell in guilty])
        if innocent:
            yield self._again(job, innocent, attempt=1)

    def _again(self, job: MeasureJob | TrainJob, cells: tuple[Cell, ...], attempt: int) -> MeasureJob | TrainJob:
        if isinstance(job, TrainJob):
            known = job.evaluation or self.evaluated.get(cells[0].trial)
            return replace(job, cells=cells, evaluation=known, attempt=attempt)
        return replace(job, cells=cells, attempt=attempt)
