"""Several ablations in one run: plan all, start the executor once, run each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.hardware.cards import cards_here
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
from bench.sweep.placing import Cards, DeviceKind, Training, needed, room_for
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
    parts = [part for each in plans for part in (each.search, each) if part]
    executor = _executor(job, parts)
    failed = False
    try:
        means = _means(job, parts, executor)
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
    """What runs jobs, how many at once, and the time of the monotonic clock to end at.

    `trainings` is how many of the jobs may be training runs, None for no bound; `cards` are those that they are given.
    """

    executor: Executor
    workers: int
    ends: float
    cards: Cards = Cards()  # noqa: RUF009 - a frozen value
    trainings: int | None = None


def _executor(job: Job, plans: Sequence[Plan]) -> Executor:
    """What runs the jobs of these plans. Raises WorkerError."""
    if not job.on:
        return LocalExecutor(job.workers or project().workers or _by_cores(plans), preload(plans))
    if job.keep_weights:
        raise WorkerError("--keep-weights needs the files of the workers on this machine: leave out --on")
    threads = max((work.threads for plan in plans for work in plan.ablation.workloads), default=1)
    return RayExecutor(job.on, job.workers, shipment(plans), preload(plans), threads)


def _means(job: Job, plans: Sequence[Plan], executor: Executor) -> _Means:
    """How many jobs run at once: by cores, by cards, and by the memory that the largest training run needs."""
    ends = time.monotonic() + (job.budget or math.inf)
    if job.on:
        return _Means(executor, executor.workers, ends)  # a cluster gives its cards to jobs by itself
    said = job.workers or project().workers
    if _on_gpu(plans):
        cards = cards_of(plans, executor)
        return _Means(executor, said or workers_for(plans, cards), ends, cards)
    workers = said or workers_for(plans)
    trainings = None if said or workers == 1 else _room(plans, workers, executor, job.verbosity)
    return _Means(executor, workers, ends, trainings=trainings)


def _room(plans: Sequence[Plan], workers: int, executor: Executor, verbosity: int) -> int | None:
    """How many training runs fit into memory at once, where they are fewer than the workers; says so."""
    trainings = _trainings(plans)
    if not trainings:
        return None
    room = room_for(_need(plans, "cpu", executor), min(workers, len(trainings)))
    if room.text and verbosity >= 0:
        names = ", ".join(dict.fromkeys(plan.ablation.name for plan in plans))
        Reporter(names).say(f"{names}: {room.text}")
    return room.at_most


def _trainings(plans: Sequence[Plan]) -> list[Training]:
    """The training runs that are due, each with the size of its batches."""
    runs = {request.training_run: (each, request) for each in plans for request in each.due if request.training_run}
    recipes = [(request, each.ablation.recipe_of(request.variant)) for each, request in runs.values()]
    return [(replace(request, shared={}), recipe.batch) for request, recipe in recipes if recipe.trains]


def _need(plans: Sequence[Plan], kind: DeviceKind, executor: Executor) -> int | str:
    plugins = tuple(dict.fromkeys(plugin for each in plans for plugin in each.ablation.plugins))
    return needed(_trainings(plans), plugins, kind, executor)


def _run_looks(job: Job, each: Plan, means: _Means) -> tuple[Plan, bool]:
    """Run the plan, then what each look at adaptive seeds asks for: (the last plan, whether anything failed)."""
    how = {"rerun": tuple(job.rerun), "force": job.force, "only": tuple(job.only)}
    failed, made = _run_one(job, each, means), {request.key for request in each.due}
    while each.look or each.ablation.greedy:
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
        trainings=means.trainings,
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


def cards_of(plans: Sequence[Plan], executor: Executor) -> Cards:
    """The cards for the training runs of these plans, and what the largest that is due needs.

    The need is unknown where a network cannot be estimated: then each card has one run at a time.
    """
    cards = cards_here()
    need = _need(plans, "cuda", executor) if cards and _trainings(plans) else ""
    return Cards(cards, None if isinstance(need, str) else need)


def workers_for(plans: Sequence[Plan], cards: Cards = Cards()) -> int:  # noqa: B008 - a frozen value
    """What the project says; else as many as the cores serve at the workloads' threads.

    On a GPU as many as the cards and the cores serve at once; one where no card is known.
    """
    if (said := project().workers) is not None:
        return said
    if _on_gpu(plans):
        return cards.workers(_threads(plans)) if cards.cards else 1
    return _by_cores(plans)


def _on_gpu(plans: Sequence[Plan]) -> bool:
    return any(device_kind(work.device) != "cpu" for each in plans for work in each.ablation.workloads)


def _threads(plans: Sequence[Plan]) -> int:
    return max(work.threads for each in plans for work in each.ablation.workloads)


def _by_cores(plans: Sequence[Plan]) -> int:
    return max(1, usable_cores() // _threads(plans))
