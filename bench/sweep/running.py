"""Several ablations in one run: plan all, start the executor once, run each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.hardware.environment import device_kind, usable_cores
from bench.registry.project import project
from bench.results.bundle import folder_of, is_bundle, read
from bench.results.keys import Request
from bench.results.loading import named_by
from bench.results.spill import files_of, take_in
from bench.results.store import Store
from bench.results.tuned import chosen_of, tuned_of
from bench.results.weights import all_kept, weights_folder
from bench.spec.ablation import Ablation
from bench.sweep.driver import refuse_stale, run
from bench.sweep.executors import Executor, WorkerError
from bench.sweep.executors.cluster import RayExecutor
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.executors.shipping import shipment
from bench.sweep.noop import check_effects
from bench.sweep.placing import Cards, cards_for
from bench.sweep.plan import Plan, Planned, plan, plan_on, plan_with
from bench.sweep.preloading import preload
from bench.sweep.progress import Reporter
from bench.sweep.settings import Options


@dataclass(frozen=True)
class Job:
    """What to run, on what, and how. `verbosity`: see `bench.sweep.progress.Reporter`.

    `on` is empty for this machine, `ray` for a Ray cluster that is started for the run, or HOST:PORT of a running one.
    `processes`: how many processes measure each speed and size of memory, one after the other.
    """

    ablations: Sequence[Ablation]
    store: Store
    data: Path | None
    only: Sequence[str] = ()
    rerun: Sequence[str] = ()
    force: bool = False
    workers: int | None = None
    budget: float | None = None
    allow_noop: str = ""
    verbosity: int = 0
    keep_weights: bool = False
    on: str = ""
    processes: int = 1

    def plans(self, reading: bool = False) -> list[Plan]:
        """Every ablation planned; whatever is wrong with one shows before any is run."""
        how = {"rerun": self.rerun, "force": self.force, "only": self.only, "reading": reading}
        return [plan(ablation, self.store, self.data, **how) for ablation in self.ablations]  # type: ignore[arg-type]


def run_all(job: Job, announce: Callable[[Plan], None], finished: Callable[[Plan], None]) -> bool:
    """Run every ablation, calling `announce` before and `finished` after each.

    Whether any measurement failed, or was not kept since its code or files changed meanwhile. Results that an earlier
    run could not store are stored first.
    """
    for file in files_of(job.store.path):
        added = take_in(job.store, [file])
        Reporter(file.name).say(f"{added} results that an earlier run could not store are stored now")
    plans = job.plans()
    cards = Cards() if job.on else cards_of(plans)  # a cluster gives its cards to jobs by itself
    executor, workers = _executor(job, [part for each in plans for part in (each.search, each) if part], cards)
    means = _Means(executor, workers, cards, time.monotonic() + (job.budget or math.inf))
    failed = False
    try:
        for each in plans:
            announce(each)
            whole, some_failed = _run_looks(job, _searched(job, each, means), means)
            failed |= some_failed | _run_again(job, whole, means)
            finished(whole)
    finally:
        executor.stop()
    return failed


@dataclass(frozen=True)
class _Means:
    """What runs jobs, how many at once, the cards for trainings, and the time of the monotonic clock to end at."""

    executor: Executor
    workers: int
    cards: Cards
    ends: float


def _executor(job: Job, plans: Sequence[Plan], cards: Cards) -> tuple[Executor, int]:
    """What runs the jobs of these plans, and how many at once. Raises WorkerError."""
    if not job.on:
        workers = job.workers or workers_for(plans, cards)
        return LocalExecutor(workers, preload(plans)), workers
    if job.keep_weights:
        raise WorkerError("--keep-weights needs the files of the workers on this machine: leave out --on")
    threads = max((work.threads for plan in plans for work in plan.ablation.workloads), default=1)
    executor = RayExecutor(job.on, job.workers, shipment(plans), preload(plans), threads)
    return executor, executor.workers


def _run_looks(job: Job, each: Plan, means: _Means) -> tuple[Plan, bool]:
    """Run the plan, then what each look at adaptive seeds asks for: (the last plan, whether anything failed)."""
    how = {"rerun": tuple(job.rerun), "force": job.force, "only": tuple(job.only)}
    failed, made = _run_one(job, each, means), {request.key for request in each.due}
    while each.look:
        each = plan_on(each, job.store, made, **how)
        due = {request.key for request in each.due}
        if not due or due & made or time.monotonic() >= means.ends:
            break
        failed |= _run_one(job, each, means)
        made |= due
    return each, failed


def _run_again(job: Job, each: Plan, means: _Means) -> bool:
    """Measure speeds in further processes until each has as many as the job asks for; whether anything failed."""
    failed = False
    speeds = [request for request in each.requests if request.kind == "speed"]
    for _ in range(job.processes - 1):
        due = _too_few(job, speeds)
        if not due or failed or time.monotonic() >= means.ends:
            break
        again = replace(each, planned=tuple(Planned(request, "due") for request in due), later=(), look=0)
        failed |= _run_one(replace(job, force=True, keep_weights=False), again, means)
    return failed


def _too_few(job: Job, speeds: Sequence[Request]) -> list[Request]:
    """The speeds that are measured, by fewer processes than the job asks for."""
    keys = [request.key for request in speeds]
    measured = {key for key, row in job.store.measured(keys).items() if row.error is None}
    earlier = job.store.earlier_samples(measured)
    return [r for r in speeds if r.key in measured and len(earlier.get(r.key, ())) + 1 < job.processes]


def _searched(job: Job, each: Plan, means: _Means) -> Plan:
    """The plan once its search runs are made. One that failed loses; it is no failure of the run."""
    if each.search is None:
        return each
    if each.search.due and len(each.ablation.variants) > 1:
        check_effects(each, job.store, means.executor, Options(workers=means.workers, allow_noop=job.allow_noop))
    _run_one(job, each.search, means)
    stored = named_by(each.search.requests, job.store.records(each.search.keys))
    chosen = chosen_of(tuned_of(each.ablation, stored))
    return plan_with(each, chosen, job.store, rerun=tuple(job.rerun), force=job.force, only=tuple(job.only))


def _run_one(job: Job, each: Plan, means: _Means) -> bool:
    name = f"{each.ablation.name}, search" if each.ablation.held_back else each.ablation.name
    name = f"{name}, look {each.look}" if each.look > 1 else name
    reporter, keep_weights = Reporter(name, job.verbosity), job.keep_weights and not each.ablation.held_back
    options = Options(
        workers=means.workers,
        budget=means.ends - time.monotonic(),
        force=job.force,
        replace=job.force or bool(job.rerun),
        allow_noop=job.allow_noop,
        keep_weights=keep_weights,
        cards=means.cards,
        notify=reporter,
    )
    if keep_weights and (line := _without_weights(each, job)):
        reporter.say(line)
    try:
        outcome = run(each, job.store, means.executor, options)
    finally:
        reporter.close()
    failed, waiting = outcome.failed + each.count("failed"), each.count("waits")
    if outcome.left:
        reporter.say(f"{name}: {outcome.left} measurements left when the time was up; run again to go on")
    if failed:
        lost = " and lost" if each.ablation.held_back else ""
        reporter.say(f"{name}: {failed} measurements failed{lost}; --rerun failed measures them again")
    if waiting:
        reporter.say(f"{name}: {waiting} measurements wait for a recipe, which the search has not chosen")
    for line in outcome.stale_lines:
        reporter.say(line)
    return failed + waiting > 0 or bool(outcome.stale)


def _without_weights(each: Plan, job: Job) -> str:
    """That training runs of the plan are not trained again and have no kept weights; empty where there are none."""
    trains = {r.training_run for r in each.requests if r.training_run and each.ablation.recipe_of(r.variant).trains}
    due = {p.request.training_run for p in each.planned if p.status == "due" and p.request.training_run}
    again = trains if job.force else due - job.store.evaluated()
    missing = trains - again - {one.training_run for one in all_kept(weights_folder(job.store.path))}
    if not missing:
        return ""
    command = f"bench run {each.ablation.target} --keep-weights --force --only METRIC"
    runs = f"{len(missing)} training run{' is' if len(missing) == 1 else 's are'}"
    return f"{each.ablation.name}: {runs} measured already, without their weights; to train again: {command}"


def measure_static(
    ablations: Sequence[Ablation],
    store: Store,
    workers: int | None = None,
    notify: Callable[[Any], None] = lambda event: None,
) -> list[Plan]:
    """Measure what is missing of the static metrics; the plan of each ablation as it was before.

    What a plan has `due` was measured since, unless it could not be. Needs no data and trains nothing.
    Measurements of committed bundles whose key is unchanged (code, axes and library versions) count as stored.
    All ablations are measured together, since starting a process costs more than most of their measurements. `notify`
    is called with every event of the run.
    """
    plans = [_completed(plan(ablation, store, kinds=("static",)), store) for ablation in ablations]
    due = {planned.request.key: planned for each in plans for planned in each.planned if planned.status == "due"}
    if not due:
        return plans
    plugins = tuple(dict.fromkeys(plugin for each in ablations for plugin in each.plugins))
    together = Plan(replace(ablations[0], plugins=plugins), tuple(due.values()), None)
    count = workers or workers_for(plans)
    executor = LocalExecutor(count, preload([together]))
    try:
        refuse_stale(run(together, store, executor, Options(workers=count, check_noop=False, notify=notify)))
    finally:
        executor.stop()
    return plans


def _completed(planned: Plan, store: Store) -> Plan:
    """The plan, once the due measurements that the ablation's committed bundle has under their keys are stored."""
    due = {request.key for request in planned.due}
    folder = folder_of(planned.ablation.name, planned.ablation.builtin)
    if not due or not is_bundle(folder):
        return planned
    store.add_records([record for record in read(folder).records if record.measurement.key in due])
    return plan(planned.ablation, store, kinds=("static",))


def cards_of(plans: Sequence[Plan]) -> Cards:
    """The cards for the training runs of these plans, and what the largest that is due needs; none without a GPU."""
    every = [part for each in plans for part in (each.search, each) if part is not None]
    if not any(device_kind(work.device) == "cuda" for each in every for work in each.ablation.workloads):
        return Cards()
    trainings = [(r, each.ablation.recipe_of(r.variant).batch) for each in every for r in each.due if r.training_run]
    return cards_for(trainings, tuple(dict.fromkeys(p for each in every for p in each.ablation.plugins)))


def workers_for(plans: Sequence[Plan], cards: Cards = Cards()) -> int:  # noqa: B008 - a frozen value
    """What the project says; else as many as the cores serve at the workloads' threads.

    On a GPU as many as the cards and the cores serve at once; one where no card is known.
    """
    if (said := project().workers) is not None:
        return said
    work = [workload for each in plans for workload in each.ablation.workloads]
    if any(device_kind(w.device) != "cpu" for w in work):
        return cards.workers(max(w.threads for w in work)) if cards.cards else 1
    return max(1, usable_cores() // max(w.threads for w in work))
