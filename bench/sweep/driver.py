"""Run a plan: what is missing is measured once and stored at once."""

from __future__ import annotations

import json
import math
import queue
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from bench.hardware.process import is_running, this_process
from bench.registry.catalogue import CatalogueError
from bench.results.freshness import checker
from bench.results.keyed import keyed
from bench.results.keys import KINDS, Request
from bench.results.loading import stored_signatures
from bench.results.measurement import Measurement
from bench.results.store import Row, Store
from bench.results.storefile import StoreError
from bench.results.weights import NEW, keep, weights_folder
from bench.sweep.executors import Executor, Exit, Lane, Progress
from bench.sweep.faults import Faults
from bench.sweep.forecast import forecast_of
from bench.sweep.grouping import deciding_first, timings, training_runs
from bench.sweep.keeping import MeasuredRow, patiently, spill
from bench.sweep.noop import check_effects
from bench.sweep.placing import OnCard
from bench.sweep.plan import Plan, data_stamp, places_of
from bench.sweep.settings import BATCH, DEFAULT, Began, Kept, Options
from bench.sweep.together import leaves_nothing, series, taken
from bench.sweep.watched import Stale, Unfinished, watched
from bench.sweep.worker import Evaluated, MeasureJob, SharedJob, TrainJob, failure

Work = MeasureJob | SharedJob | TrainJob

T = TypeVar("T")


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

    @property
    def stale_lines(self) -> list[str]:
        """A line for each file that changed meanwhile."""
        endings = {name: f"{n} measurement{' is' if n == 1 else 's are'}" for name, n in self.stale.items()}
        again = "run the same command again"
        return [f"{name} changed while the run was going: {text} not kept; {again}" for name, text in endings.items()]


def refuse_stale(outcome: Outcome) -> None:
    """Raises CatalogueError where a file changed during the run, for callers that need every measurement."""
    for line in outcome.stale_lines:
        raise CatalogueError(line)


def run(plan: Plan, store: Store, executor: Executor, options: Options = DEFAULT) -> Outcome:
    """Measure what is due. Every result is stored at once; a death costs its own measurement only."""
    return _Run(plan, store, executor, options).run()


@dataclass(frozen=True)
class _Flight:
    """Jobs that run in a process, one after the other, on a device.

    `started` is the time of the monotonic clock when they were submitted.
    """

    jobs: tuple[Work, ...]
    device: str
    started: float


class _Run:
    """The state of one run: what is pending, in flight, and stored."""

    def __init__(self, plan: Plan, store: Store, executor: Executor, options: Options) -> None:
        self.plan, self.store, self.executor, self.options = plan, store, executor, options
        self.owner = this_process()
        self.received: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.flying: dict[Future[Exit], _Flight] = {}
        self.done: set[str] = set()
        self.evaluated: dict[str, Any] = {}
        self.failed = 0
        self.durations: list[float] = []
        self.faults = Faults()
        self.ends = time.monotonic() + options.budget
        self.by_key = {request.key: request for request in plan.due}
        outdated = [planned.request for planned in plan.planned if planned.outdated]
        self.outdated = {key for request in outdated for key in (request.key, request.training_run)}
        self.where = places_of(plan.ablation, plan.data)
        self.changed = checker(self.where)
        self.keyed = keyed(plan.due, plan.ablation.plugins)
        self.stale: dict[str, str] = {}
        self.files: dict[str, Mapping[str, str]] = {}
        self.weights = weights_folder(store.path)
        self.new_weights = self.weights / f"{NEW}{self.owner}"

    def run(self) -> Outcome:
        if self.options.check_noop and self.plan.due and len(self.plan.ablation.variants) > 1:
            check_effects(self.plan, self.store, self.executor, self.options)
        forecast = forecast_of(self.plan, self.store, self.options.force)
        self.options.notify(Began(len(self.plan.due), forecast.work(self.options.workers)))
        try:
            self._own_requests()
            self._requests_of_others()
        finally:
            self._release()
            shutil.rmtree(self.new_weights, ignore_errors=True)
        left = len(self._unsettled())
        stale = {name: [*self.stale.values()].count(name) for name in dict.fromkeys(self.stale.values())}
        return Outcome(len(self.done), self.failed, left, "budget" if left else "", stale)

    def _is_settled(self, key: str) -> bool:
        """Whether this run has nothing more to do about it: measured, or made of files that changed meanwhile."""
        return key in self.done or key in self.stale

    def _unsettled(self) -> list[str]:
        return [key for key in self.by_key if not self._is_settled(key)]

    def _release(self) -> None:
        """Give back the claims. Where the store cannot be written they end with this process, and nothing is lost."""
        if not self.by_key:
            return
        try:
            self.store.release(self.owner)
        except StoreError as error:
            self._say(f"{error}; what this run had claimed is free when its process has ended")

    def _say(self, text: str) -> None:
        self.options.notify(Progress(text, 0, 0))

    def _patiently(self, attempt: Callable[[], T]) -> T:
        return patiently(attempt, self._say, self.options.pause)

    def _own_requests(self) -> None:
        mine = self._claimed(self._unsettled())
        if not self.options.replace:
            self._measured_by_others(self.store.measured(mine))
        for kind in KINDS:
            due = [each for each in self.by_key.values() if each.kind == kind and each.key in mine]
            self._phase([each for each in due if not self._is_settled(each.key)])

    def _claimed(self, keys: Sequence[str]) -> set[str]:
        return self._patiently(lambda: self.store.claim(keys, self.owner, is_running)) if keys else set()

    def _requests_of_others(self) -> None:
        """Wait for the measurements that another run measures; take them over if it dies."""
        while missing := self._unsettled():
            if not self._time_left():
                return
            if not self.options.replace:
                self._measured_by_others(self.store.measured(missing))
            if self._claimed(self._unsettled()):
                self._own_requests()
            elif self._unsettled():
                time.sleep(0.5)

    def _measured_by_others(self, rows: Mapping[str, Row]) -> None:
        """Measurements that another run has measured since we planned, of files as they are; none that is damaged."""
        rows = {key: row for key, row in rows.items() if not row.is_damaged and not self.changed(row.files)}
        self.done |= rows.keys()
        self.failed += sum(row.error is not None for row in rows.values())

    def _time_left(self) -> bool:
        return time.monotonic() < self.ends

    def _phase(self, due: Sequence[Request]) -> None:
        pending = deque(self._jobs(due))
        while pending or self.flying:
            while pending and self._room(pending[0]) and self._time_left():
                self._submit(taken(pending, self.options.workers, self.durations, _may_share))
            if not self._time_left():
                pending.clear()
            self._receive()
            pending += self._landed()

    def _jobs(self, due: Sequence[Request]) -> Iterator[Work]:
        """One kind as jobs: one for each training run and each speed measurement, static measurements in batches."""
        light = tuple(replace(request, shared={}) for request in due)
        if light and light[0].kind == "accuracy":
            runs = deciding_first(training_runs(light), self.plan.ablation.answers)
            yield from (self._training_run(tuple(group)) for group in runs)
            return
        if light and light[0].kind == "speed":
            yield from self._timings(light)
            return
        yield from self._batches(light)

    def _batches(self, due: Sequence[Request]) -> Iterator[MeasureJob]:
        """Static measurements, those of one device in jobs of their own."""
        size = min(BATCH, max(1, math.ceil(len(due) / self.options.workers)))
        for device in dict.fromkeys(request.workload.device for request in due):
            chosen = tuple(request for request in due if request.workload.device == device)
            for start in range(0, len(chosen), size):
                yield MeasureJob(chosen[start : start + size], self.plan.ablation.plugins)

    def _timings(self, due: Sequence[Request]) -> Iterator[MeasureJob | SharedJob]:
        """One job for each timing; variants with equal graphs and workloads share one, of metrics of the graph."""
        plugins, signatures = self.plan.ablation.plugins, stored_signatures(self.plan.ablation, self.store)
        for group in timings(due, plugins, signatures):
            yield (SharedJob if len(group) > 1 else MeasureJob)(tuple(group), plugins)

    def _training_run(self, group: tuple[Request, ...]) -> TrainJob:
        stored = None if self.options.force else self.store.evaluation(group[0].training_run)
        ablation = self.plan.ablation
        if stored is not None and self.changed(json.dumps(stored.facts.get("files", {}))):
            stored = None
        runs = len(ablation.seeds)
        recipe = ablation.recipe_of(group[0].variant)
        keep = self.new_weights if self.options.keep_weights and recipe.trains else None
        data, plugins, held_back = self.plan.data, ablation.plugins, ablation.held_back
        return TrainJob(group, recipe, data, plugins, stored, runs=runs, held_back=held_back, keep=keep)

    def _lane(self, job: Work) -> Lane:
        """Alone is what depends on time: a timing, or a training with a budget of time."""
        timed = job.recipe.seconds if isinstance(job, TrainJob) else job.requests[0].kind == "speed"
        return "exclusive" if timed else "shared"

    def _room(self, job: Work) -> bool:
        """Whether the job may start now. One whose process was ended from outside runs alone, to have all memory."""
        others = [flight.jobs[0] for flight in self.flying.values()]
        if any(other.attempt > 1 or self._lane(other) == "exclusive" for other in others):
            return False
        alone = self._lane(job) == "exclusive" or job.attempt > 1
        trains = isinstance(job, TrainJob) and job.evaluation is None
        at_most = self.options.trainings if trains and self.options.trainings else self.options.workers
        return len(self.flying) < (1 if alone else at_most)

    def _submit(self, jobs: tuple[Work, ...]) -> None:
        job = jobs[0]
        trainings = [each for each in jobs if isinstance(each, TrainJob)]
        performed = watched(series(trainings) if len(jobs) > 1 else job, self.keyed, self.where)
        said = job.requests[0].workload.device
        card = self.options.cards.place(said, [each.device for each in self.flying.values()], isinstance(job, TrainJob))
        device = card.device if card else said
        future = self.executor.submit(
            OnCard(performed, card.uuid) if card else performed,
            self.received.put,
            timeout=self.plan.ablation.timeout,
            device=device,
            lane=self._lane(job),
        )
        future.add_done_callback(lambda _: self.received.put(None))
        self.flying[future] = _Flight(jobs, device, time.monotonic())

    def _receive(self) -> None:
        """Wait for news, then keep all that has come in one transaction."""
        if self.flying:
            self._take([self.received.get(), *self._waiting()])

    def _waiting(self) -> Iterator[Any]:
        while not self.received.empty():
            yield self.received.get()

    def _take(self, news: Sequence[Any]) -> None:
        try:
            self._store(news)
        except (StoreError, KeyboardInterrupt) as error:  # also Ctrl-C while the store is awaited
            self._spill([*news, *self._waiting()], error)
            raise

    def _store(self, news: Sequence[Any]) -> None:
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
        self.durations.append(float(item.evaluation.facts["job_seconds"]))
        if self.plan.data_stamp and data_stamp(self.plan.ablation, self.plan.data) != self.plan.data_stamp:
            names = dict.fromkeys(work.dataset for work in self.plan.ablation.workloads)
            changed = f"dataset {' or '.join(names)}"
            self.stale |= {r.key: changed for r in self.by_key.values() if r.training_run == item.training_run}
            return
        self._keep_weights(item.training_run)
        self._patiently(partial(self.store.add_evaluation, item.training_run, item.evaluation))
        self.evaluated[item.training_run] = item.evaluation

    def _keep_weights(self, training_run: str) -> None:
        """Take what a worker wrote of a training run among the kept weights, if it wrote anything."""
        file = self.new_weights / f"{training_run}.safetensors"
        if not file.is_file():
            return
        request = next(r for r in self.by_key.values() if r.training_run == training_run)
        name, variant, seed = self.plan.ablation.name, request.variant.name, request.seed or 0
        of: dict[str, str | int] = {"ablation": name, "variant": variant, "seed": seed, "training_run": training_run}
        kept = keep(self.weights, file, of)
        self._say(f"weights of {variant} seed {seed}: {kept.path}")

    def _spill(self, news: Sequence[Any], error: BaseException) -> None:
        """Write what is not stored yet to a file. Raises NotStored, which says where, in place of a StoreError."""
        rows = self._rows([item for item in news if isinstance(item, Measurement) and item.key not in self.done])
        runs = [item for item in news if isinstance(item, Evaluated) and item.training_run not in self.evaluated]
        if not rows and not runs:
            return
        outcome = spill(self.store, rows, runs, self._replaces, error or "interrupted")
        if isinstance(error, StoreError):
            raise outcome from error
        self._say(str(outcome))

    def _replaces(self, key: str) -> bool:
        """Whether a result, of a measurement or a training run, takes the place of the stored one."""
        return self.options.replace or key in self.outdated

    def _rows(self, measurements: Sequence[Measurement]) -> list[MeasuredRow]:
        return [(m, self.by_key[m.key].kind, self.by_key[m.key].parts) for m in measurements]

    def _keep(self, measurements: Sequence[Measurement]) -> None:
        if not measurements:
            return
        for again in (False, True):
            chosen = [m for m in measurements if self._replaces(m.key) == again]
            if chosen:
                self._patiently(partial(self.store.add, self._rows(chosen), replace=again))
        self.done |= {m.key for m in measurements}
        self.failed += sum(m.error is not None for m in measurements)
        self.faults.result()
        self.options.notify(Kept(tuple(measurements)))

    def _landed(self) -> Iterator[Work]:
        """Account for the jobs that ended; what a dead one left undone comes back as a job."""
        for future in [f for f in self.flying if f.done()]:
            flight = self.flying.pop(future)
            self._take(list(self._waiting()))
            undone = [job for job in flight.jobs if self._left(job)]
            if undone:
                yield from self._unfinished(flight, undone[0], future.result())
                yield from undone[1:]  # they had not begun

    def _left(self, job: Work) -> tuple[Request, ...]:
        return tuple(request for request in job.requests if not self._is_settled(request.key))

    def _unfinished(self, flight: _Flight, job: Work, end: Exit) -> Iterator[Work]:
        """What is to be done of a job that ended without all of its results."""
        if isinstance(job, SharedJob) and not end.error:
            yield from (MeasureJob((request,), job.plugins) for request in self._left(job))
        else:
            yield from self._after_death(flight, job, end)

    def _after_death(self, flight: _Flight, job: Work, end: Exit) -> Iterator[Work]:
        left = self._left(job)
        seconds = time.monotonic() - flight.started - self._earlier(flight, job)
        error = end.error or "died: the job ended without a result for this measurement"
        name = f"{left[0].variant.name} {left[0].metric}"
        if end.fault and self.faults.again(left[0].key, name, end, flight.started):
            self.options.notify(Progress(f"{name}: {error}; it is measured again", 0, 0))
            yield self._again(job, left, attempt=job.attempt + 1)
            return
        untrained = isinstance(job, TrainJob) and job.evaluation is None and left[0].training_run not in self.evaluated
        guilty, innocent = (left, ()) if untrained else (left[:1], left[1:])
        failures = [failure(request, error, seconds, job.plugins) for request in guilty]
        self._take([replace(each, files=self.files.get(each.key, {})) for each in failures])
        if innocent:
            yield self._again(job, innocent, attempt=1)

    def _earlier(self, flight: _Flight, job: Work) -> float:
        """The seconds of the training runs that were before this one in its process."""
        before = (each.requests[0].training_run for each in flight.jobs[: flight.jobs.index(job)])
        return sum(float(self.evaluated[run].facts["job_seconds"]) for run in before if run in self.evaluated)

    def _again(self, job: Work, requests: tuple[Request, ...], attempt: int) -> Work:
        if isinstance(job, TrainJob):
            evaluation = job.evaluation or self.evaluated.get(requests[0].training_run)
            return replace(job, requests=requests, evaluation=evaluation, attempt=attempt)
        return replace(job, requests=requests, attempt=attempt)


def _may_share(job: Work) -> bool:
    return isinstance(job, TrainJob) and leaves_nothing(job)
