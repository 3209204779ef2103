"""Run a plan: what is missing is measured once and stored at once."""

from __future__ import annotations

import math
import queue
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from bench.hardware.process import is_running, this_process
from bench.results.keys import KINDS, Request
from bench.results.measurement import Measurement
from bench.results.store import Row, Store
from bench.sweep.executors import Executor, Exit, Lane, Progress
from bench.sweep.noop import check_effects
from bench.sweep.plan import Plan
from bench.sweep.settings import BATCH, DEFAULT, Began, Kept, Options
from bench.sweep.worker import Evaluated, MeasureJob, TrainJob, failure

KILLED = "killed by SIGKILL"
"""A kill comes from outside (the kernel short of memory, a person): such a measurement gets one more try."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended: numbers of measurements; `stopped` is `budget` where some were left for lack of time."""

    measured: int
    failed: int
    left: int
    stopped: str = ""


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
        left = len(self.by_key) - len(self.done)
        return Outcome(len(self.done), self.failed, left, "budget" if left else "")

    def _own_requests(self) -> None:
        mine = self._claimed([key for key in self.by_key if key not in self.done])
        if not self.options.replace:
            self._measured_by_others(self.store.measured(mine))
        for kind in KINDS:
            self._phase([c for c in self.plan.due if c.kind == kind and c.key in mine and c.key not in self.done])

    def _claimed(self, keys: Sequence[str]) -> set[str]:
        return self.store.claim(keys, self.owner, is_running) if keys else set()

    def _requests_of_others(self) -> None:
        """Wait for the measurements that another run measures; take them over if it dies."""
        while missing := [k for k in self.by_key if k not in self.done]:
            if not self._time_left():
                return
            if not self.options.replace:
                self._measured_by_others(self.store.measured(missing))
            if self._claimed([k for k in missing if k not in self.done]):
                self._own_requests()
            elif len(self.done) < len(self.by_key):
                time.sleep(0.5)

    def _measured_by_others(self, rows: Mapping[str, Row]) -> None:
        """Measurements that another run has measured since we planned."""
        self.done |= rows.keys()
        self.failed += sum(row.error is not None for row in rows.values())

    def _time_left(self) -> bool:
        return time.monotonic() < self.ends

    def _phase(self, due: Sequence[Request]) -> None:
        pending = deque(self._jobs(due))
        while pending or self.flying:
            while pending and self._room(pending[0]) and self._time_left():
                self._submit(pending.popleft())
            if not self._time_left():
                pending.clear()
            self._receive()
            pending.extendleft(reversed([*self._landed()]))

    def _jobs(self, due: Sequence[Request]) -> Iterator[MeasureJob | TrainJob]:
        """One kind as jobs: one for each training run and each speed measurement, static measurements in batches."""
        light = tuple(replace(request, shared={}) for request in due)
        if light and light[0].kind == "accuracy":
            groups: dict[str, list[Request]] = {}
            for request in light:
                groups.setdefault(request.training_run, []).append(request)
            yield from (self._training_run(tuple(group)) for group in groups.values())
            return
        per_worker = math.ceil(len(light) / self.options.workers)
        size = 1 if light and light[0].kind == "speed" else min(BATCH, max(1, per_worker))
        for start in range(0, len(light), size):
            yield MeasureJob(light[start : start + size], self.plan.ablation.plugins)

    def _training_run(self, group: tuple[Request, ...]) -> TrainJob:
        stored = None if self.options.force else self.store.evaluation(group[0].training_run)
        return TrainJob(group, self.plan.ablation.recipe, self.plan.data, self.plan.ablation.plugins, stored)

    def _lane(self, job: MeasureJob | TrainJob) -> Lane:
        return "exclusive" if job.requests[0].kind == "speed" else "shared"

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
                self.store.add_evaluation(item.training_run, item.evaluation)
                self.evaluated[item.training_run] = item.evaluation
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
            left = tuple(request for request in job.requests if request.key not in self.done)
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
        self._keep([failure(request, error, seconds, job.plugins) for request in guilty])
        if innocent:
            yield self._again(job, innocent, attempt=1)

    def _again(self, job: MeasureJob | TrainJob, requests: tuple[Request, ...], attempt: int) -> MeasureJob | TrainJob:
        if isinstance(job, TrainJob):
            evaluation = job.evaluation or self.evaluated.get(requests[0].training_run)
            return replace(job, requests=requests, evaluation=evaluation, attempt=attempt)
        return replace(job, requests=requests, attempt=attempt)
