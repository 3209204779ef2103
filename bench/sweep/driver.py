"""Run a plan: what is missing is measured once and stored at once."""

from __future__ import annotations

import json
import math
import queue
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

from bench.hardware.process import is_running, this_process
from bench.results.freshness import checker, places
from bench.results.keyed import keyed
from bench.results.keys import KINDS, Request
from bench.results.measurement import Measurement
from bench.results.store import Row, Store
from bench.sweep.executors import Executor, Exit, Lane, Progress
from bench.sweep.noop import check_effects
from bench.sweep.plan import Plan, data_stamp
from bench.sweep.settings import BATCH, DEFAULT, Began, Kept, Options
from bench.sweep.watched import Stale, Unfinished, watched
from bench.sweep.worker import Evaluated, MeasureJob, TrainJob, failure

KILLED = "killed by SIGKILL"
"""A kill comes from outside (the kernel short of memory, a person): such a measurement gets one more try."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: numbers of measurements; `stopped` is `budget` where some were left for lack of time.

    `stale` says for each file that changed meanwhile how many measurements were not kept.
    """

    measured: int
    failed: int
    left: int
    stopped: str = ""
    stale: Mapping[str, int] = field(default_factory=dict)


def run(plan: Plan, store: Store, executor: Executor, options: Options = DEFAULT) -> Outcome:
    """Measure what is due. Every result is stored at once; a death costs its own measurement only."""
    return _Run(plan, store, executor, options).run()


class _Run:
    """The state of one run: what is pending, in flight, and stored."""

    def __init__(self, plan: Plan, store: Store, executor: Executor, options: Options) -> None:
        self.plan, self.store, self.executor, self.options = plan, store, executor, options
        self.owner = this_process()
        self.received: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.flying: dict[Future[Exit], tuple[MeasureJob | TrainJob, float]] = {}
        self.done: set[str] = set()
        self.evaluated: dict[str, Any] = {}
        self.failed = 0
        self.ends = time.monotonic() + options.budget
        self.by_key = {request.key: request for request in plan.due}
        self.outdated = {planned.request.key for planned in plan.planned if planned.outdated}
        self.where = places(plan.ablation.plugins, [request.variant.architecture for request in plan.due], plan.data)
        self.changed = checker(self.where)
        self.keyed = keyed(plan.due, plan.ablation.plugins)
        self.stale: dict[str, str] = {}
        self.files: dict[str, Mapping[str, str]] = {}

    def run(self) -> Outcome:
        if self.options.check_noop and self.plan.due and len(self.plan.ablation.variants) > 1:
            check_effects(self.plan, self.store, self.executor, self.options)
        self.options.notify(Began(len(self.plan.due)))
        try:
            self._own_requests()
            self._requests_of_others()
        finally:
            if self.by_key:
                self.store.release(self.owner)
        left = len(self.by_key) - len(self._settled())
        stale = {name: [*self.stale.values()].count(name) for name in dict.fromkeys(self.stale.values())}
        return Outcome(len(self.done), self.failed, left, "budget" if left else "", stale)

    def _settled(self) -> set[str]:
        """What this run has nothing more to do about: measured, or made of files that changed meanwhile."""
        return self.done | self.stale.keys()

    def _own_requests(self) -> None:
        mine = self._claimed([key for key in self.by_key if key not in self._settled()])
        if not self.options.replace:
            self._measured_by_others(self.store.measured(mine))
        for kind in KINDS:
            self._phase([c for c in self.plan.due if c.kind == kind and c.key in mine and c.key not in self._settled()])

    def _claimed(self, keys: Sequence[str]) -> set[str]:
        return self.store.claim(keys, self.owner, is_running) if keys else set()

    def _requests_of_others(self) -> None:
        """Wait for the measurements that another run measures; take them over if it dies."""
        while missing := [k for k in self.by_key if k not in self._settled()]:
            if not self._time_left():
                return
            if not self.options.replace:
                self._measured_by_others(self.store.measured(missing))
            if self._claimed([k for k in missing if k not in self._settled()]):
                self._own_requests()
            elif len(self._settled()) < len(self.by_key):
                time.sleep(0.5)

    def _measured_by_others(self, rows: Mapping[str, Row]) -> None:
        """Measurements that another run has measured since we planned."""
        rows = {key: row for key, row in rows.items() if not self.changed(row.files)}
        self.done |= rows.keys()
        self.failed += sum(row.error is not None for row in rows.values())

    def _time_left(self) -> bool:
        return time.monotonic() < self.ends

    def _phase(self, due: Sequence[Request]) -> None:
        pending = list(self._jobs(due))
        while pending or self.flying:
            while pending and self._room(pending[0]) and self._time_left():
                self._submit(pending.pop(0))
            if not self._time_left():
                pending.clear()
            self._receive()
            pending[:0] = self._landed()

    def _jobs(self, due: Sequence[Request]) -> Iterator[MeasureJob | TrainJob]:
        """One kind as jobs: one for each training run and each speed measurement, static measurements in batches."""
        light = tuple(replace(request, parts={}) for request in due)
        if light and light[0].kind == "accuracy":
            for training_run in dict.fromkeys(request.training_run for request in light):
                yield self._training_run(tuple(c for c in light if c.training_run == training_run))
            return
        per_worker = math.ceil(len(light) / self.options.workers)
        size = 1 if light and light[0].kind == "speed" else min(BATCH, max(1, per_worker))
        for start in range(0, len(light), size):
            yield MeasureJob(light[start : start + size], self.plan.ablation.plugins)

    def _training_run(self, group: tuple[Request, ...]) -> TrainJob:
        stored = None if self.options.force else self.store.evaluation(group[0].training_run)
        if stored is not None and self.changed(json.dumps(stored.facts.get("files", {}))):
            stored = None
        return TrainJob(group, self.plan.ablation.recipe, self.plan.data, self.plan.ablation.plugins, stored)

    def _lane(self, job: MeasureJob | TrainJob) -> Lane:
        return "exclusive" if job.requests[0].kind == "speed" else "shared"

    def _room(self, job: MeasureJob | TrainJob) -> bool:
        return len(self.flying) < (1 if self._lane(job) == "exclusive" else self.options.workers)

    def _submit(self, job: MeasureJob | TrainJob) -> None:
        ablation = self.plan.ablation
        future = self.executor.submit(
            watched(job, self.keyed, self.where),
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
                self._evaluated(item)
            elif isinstance(item, Stale):
                self.stale[item.key] = item.changed
            elif isinstance(item, Unfinished):
                self.files |= item.files
            elif isinstance(item, Progress):
                self.options.notify(item)
        self._keep([item for item in news if isinstance(item, Measurement) and item.key not in self.stale])

    def _evaluated(self, item: Evaluated) -> None:
        """Keep the evaluation of a training run, unless the data that it was trained on changed meanwhile."""
        if self.plan.data_stamp and data_stamp(self.plan.ablation, self.plan.data) != self.plan.data_stamp:
            changed = f"dataset {self.plan.ablation.workload.dataset}"
            self.stale |= {r.key: changed for r in self.by_key.values() if r.training_run == item.training_run}
            return
        self.store.add_evaluation(item.training_run, item.evaluation)
        self.evaluated[item.training_run] = item.evaluation

    def _keep(self, measurements: Sequence[Measurement]) -> None:
        if not measurements:
            return
        for again in (False, True):
            chosen = [m for m in measurements if (m.key in self.outdated or self.options.replace) == again]
            rows = [(m, self.by_key[m.key].kind, self.by_key[m.key].parts) for m in chosen]
            if rows:
                self.store.add(rows, replace=again)
        self.done |= {m.key for m in measurements}
        self.failed += sum(m.error is not None for m in measurements)
        self.options.notify(Kept(tuple(measurements)))

    def _landed(self) -> Iterator[MeasureJob | TrainJob]:
        """Account for the jobs that ended; what a dead one left undone comes back as a job."""
        for future in [f for f in self.flying if f.done()]:
            job, started = self.flying.pop(future)
            self._take(list(self._waiting()))
            left = tuple(request for request in job.requests if request.key not in self._settled())
            if left:
                yield from self._after_death(job, left, future.result(), time.monotonic() - started)

    def _after_death(
        self, job: MeasureJob | TrainJob, left: tuple[Request, ...], end: Exit, seconds: float
    ) -> Iterator[MeasureJob | TrainJob]:
        error = end.error or "died: the job ended without a result for this measurement"
        if KILLED in error and job.attempt == 1:
            yield self._again(job, left, attempt=2)
            return
        untrained = isinstance(job, TrainJob) and job.evaluation is None and left[0].training_run not in self.evaluated
        guilty, innocent = (left, ()) if untrained else (left[:1], left[1:])
        failures = [failure(request, error, seconds, job.plugins) for request in guilty]
        self._keep([replace(each, files=self.files.get(each.key, {})) for each in failures])
        if innocent:
            yield self._again(job, innocent, attempt=1)

    def _again(self, job: MeasureJob | TrainJob, requests: tuple[Request, ...], attempt: int) -> MeasureJob | TrainJob:
        if isinstance(job, TrainJob):
            evaluation = job.evaluation or self.evaluated.get(requests[0].training_run)
            return replace(job, requests=requests, evaluation=evaluation, attempt=attempt)
        return replace(job, requests=requests, attempt=attempt)
