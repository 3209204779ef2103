"""How long a run will take: by the work of each job, from what earlier jobs took for theirs.

A training run costs steps, each of a batch of images through a network of so many MACs. A metric of an evaluation that
is kept costs what it costs itself. Static metrics of one network share its recording, timings of equal graphs are one
timing. Static measurements and training runs may run side by side, timings run alone.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.hardware.environment import device_kind
from bench.results.keys import KINDS, UNKNOWN, Request, networks
from bench.results.loading import stored_signatures
from bench.results.store import Precedent, Store, network_text
from bench.spec.budget import seconds_of
from bench.sweep.grouping import timings, training_runs
from bench.sweep.plan import Plan
from bench.sweep.progress import rough_text
from bench.sweep.settings import Work

SAME, ALIKE, OTHER = 1.25, 2.0, 3.0
"""By how much a forecast may be wrong in either direction at least: from the same network at the same settings, from
other networks of the family, from other families."""


@dataclass(frozen=True)
class Cost:
    """Seconds: the likely ones, and between which two they may well be."""

    low: float = 0.0
    seconds: float = 0.0
    high: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.low + other.low, self.seconds + other.seconds, self.high + other.high)

    def times(self, factor: float) -> Cost:
        return Cost(self.low * factor, self.seconds * factor, self.high * factor)


NOTHING = Cost()


@dataclass(frozen=True)
class Job:
    """Measurements that are made together, what they cost, and how many of them have no precedent."""

    kind: str
    keys: tuple[str, ...]
    cost: Cost
    unknown: int = 0
    label: str = ""


@dataclass(frozen=True)
class Level:
    """A place where precedents of the same kind are, the work of one of them, and how far it may be off."""

    place: Hashable
    work: float
    factor: float


@dataclass
class Rates:
    """Seconds for a unit of work, by place."""

    by_place: dict[Hashable, list[float]] = field(default_factory=dict)

    def add(self, levels: Iterable[Level], seconds: float) -> None:
        for level in levels:
            self.by_place.setdefault(level.place, []).append(seconds / level.work)

    def cost(self, levels: Iterable[Level]) -> Cost | None:
        """By the first level that has precedents; None where none has."""
        for level in levels:
            if rates := sorted(self.by_place.get(level.place, ())):
                return _cost(rates, level)
        return None


def _cost(rates: Sequence[float], level: Level) -> Cost:
    """The median; from the lowest to the highest tenth of the rates, or the factor where they are closer."""
    middle, tenth = statistics.median(rates), len(rates) // 10
    low, high = min(rates[tenth], middle / level.factor), max(rates[-1 - tenth], middle * level.factor)
    return Cost(low * level.work, middle * level.work, high * level.work)


@dataclass(frozen=True)
class Forecast:
    """What the jobs of a plan will take."""

    jobs: tuple[Job, ...] = ()

    @property
    def unknown(self) -> int:
        """Measurements without precedent."""
        return sum(job.unknown for job in self.jobs)

    @property
    def requests(self) -> int:
        return sum(len(job.keys) for job in self.jobs)

    def total(self, workers: int = 1) -> Cost:
        """Of all jobs on so many workers: the kinds one after the other, timings alone."""
        return Cost(*(sum(self._elapsed(kind, part, workers) for kind in KINDS) for part in ("low", "seconds", "high")))

    def _elapsed(self, kind: str, part: str, workers: int) -> float:
        """Of one kind: the work over the workers, and no less than the longest job."""
        costs: list[float] = [getattr(job.cost, part) for job in self.jobs if job.kind == kind]
        return max(sum(costs) / _at_once(kind, workers), max(costs, default=0.0))

    def text(self, workers: int = 1) -> str:
        """`about 2 m to 5 m on 2 workers`; `at least 2 m on 2 workers, no precedent for 2 of 5` (these not counted)."""
        if not any(job.cost.seconds for job in self.jobs):
            return "time unknown"
        gaps = f", no precedent for {self.unknown} of {self.requests}" if self.unknown else ""
        total = self.total(workers)
        low, high = rough_text(total.low), rough_text(total.high)
        at_once = "one worker" if workers == 1 else f"{workers} workers"
        about = f"about {low}" if low == high else f"about {low} to {high}"
        about = f"at least {low}" if gaps else about
        return f"{about} on {at_once}{gaps}"

    def work(self, workers: int = 1) -> Work:
        """The seconds of each measurement while the jobs beside it run; what has no precedent costs as the others."""
        costs = [job.cost.seconds for job in self.jobs if job.cost.seconds]
        typical = statistics.fmean(costs) if costs else 1.0
        keys: dict[str, float] = {}
        labels: dict[str, float] = {}
        for job in self.jobs:
            seconds = (job.cost.seconds or typical) / _at_once(job.kind, workers)
            keys |= dict.fromkeys(job.keys, seconds / len(job.keys)) if job.keys else {}
            labels |= {job.label: seconds} if job.label else {}
        return Work(keys, labels, bool(costs))


UNITS = ((7200.0, 3600.0, "hours"), (120.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))
"""From so many seconds on, a cost is said in units of so many."""


def cost_text(plan: Plan, forecast: Forecast) -> str:
    """What the due measurements occupy, on however many workers: `4 to 12 core-minutes`; empty where that is unknown.

    A job on a CPU occupies as many cores as it has threads, one on a GPU that GPU; static measurements need none.
    """
    workloads = {request.key: request.workload for request in plan.due}
    costs: dict[str, Cost] = {}
    for job in forecast.jobs:
        work = workloads[job.keys[0]] if job.keys else plan.ablation.workload
        on_gpu = job.kind != "static" and device_kind(work.device) != "cpu"
        unit = "GPU" if on_gpu else "core"
        costs[unit] = costs.get(unit, NOTHING) + job.cost.times(1 if on_gpu else work.threads)
    text = " and ".join(_amount(cost, unit) for unit, cost in costs.items() if cost.high)
    return f"at least {text}" if text and forecast.unknown else text


def _amount(cost: Cost, name: str) -> str:
    _, seconds, unit = next(each for each in UNITS if cost.high >= each[0])
    low, high = (max(1, round(value / seconds)) for value in (cost.low, cost.high))
    return f"{low:,} to {high:,} {name}-{unit}" if low < high else f"{high:,} {name}-{unit if high > 1 else unit[:-1]}"


def _at_once(kind: str, workers: int) -> int:
    return 1 if kind == "speed" else max(1, workers)


def forecast_of(plan: Plan, store: Store, force: bool = False) -> Forecast:
    """What is due of a plan, by what the store has of earlier runs. With `force`, nothing that is kept counts."""
    due = plan.due
    if not due:
        return Forecast()
    history = _History(store.precedents(), store.macs())
    return Forecast(
        (*_static(plan, store, history), *_speed(plan, store, history), *_accuracy(plan, store, history, force))
    )


def _of_kind(plan: Plan, kind: str) -> list[Request]:
    return [request for request in plan.due if request.kind == kind]


def _static(plan: Plan, store: Store, history: _History) -> Iterator[Job]:
    """A job for each network: its recording once, then its metrics; and the check whether its axes do anything."""
    by_variant: dict[Any, list[Request]] = {}
    for request in _of_kind(plan, "static"):
        by_variant.setdefault(request.variant, []).append(request)
    for variant, requests in by_variant.items():
        costs = [history.own("static", request) for request in requests]
        cost = sum((each for each in costs if each), history.recording(variant.architecture))
        yield Job("static", tuple(r.key for r in requests), cost if any(costs) else NOTHING, costs.count(None))
    yield from _checks(plan, store, history)


def _checks(plan: Plan, store: Store, history: _History) -> Iterator[Job]:
    """The no-op check of networks whose signature is not stored: it records them once more."""
    if len(plan.ablation.variants) < 2:
        return
    recorded = stored_signatures(plan.ablation, store)
    for request in networks(plan.ablation):
        if request.variant not in recorded:
            yield Job("static", (), history.recording(request.variant.architecture))


def _speed(plan: Plan, store: Store, history: _History) -> Iterator[Job]:
    due = _of_kind(plan, "speed")
    signatures = stored_signatures(plan.ablation, store) if due else {}
    for group in timings(due, plan.ablation.plugins, signatures):
        cost = history.timing(group[0])
        yield Job("speed", tuple(r.key for r in group), cost or NOTHING, 0 if cost else len(group))


def _accuracy(plan: Plan, store: Store, history: _History, force: bool) -> Iterator[Job]:
    due = _of_kind(plan, "accuracy")
    stored = store.evaluated() if due and not force else set()
    for group in training_runs(due):
        costs = [history.own("accuracy", request) for request in group]
        known = sum((each for each in costs if each), NOTHING)
        label = f"{group[0].variant.name} seed {group[0].seed or 0}"
        keys = tuple(request.key for request in group)
        if group[0].training_run in stored:
            yield Job("accuracy", keys, known, costs.count(None), label)
            continue
        training = history.training(group[0])
        yield Job("accuracy", keys, training + known if training else NOTHING, 0 if training else len(keys), label)


class _History:
    """What earlier measurements took, by what they were measured on."""

    def __init__(self, precedents: Sequence[Precedent], macs: Mapping[tuple[str, str], float]) -> None:
        self.macs = macs
        self.trainings, self.timings, self.metrics = Rates(), Rates(), Rates()
        networks: dict[Hashable, list[tuple[str, float]]] = {}
        for each in precedents:
            if "recipe" in each.parts:
                spent = each.seconds if each.trained is None else each.trained
                fitted = spent if each.fitted is None else min(spent, each.fitted)
                self.trainings.add(self._training_levels(each.architecture, each.parts), fitted)
                self.trainings.add(_fixed_levels(each.architecture, each.parts), spent - fitted)
                own = max(0.0, each.seconds - spent)
                self.metrics.add(_own_levels("accuracy", each.metric, each.architecture), own)
            elif "machine" in each.parts:
                self.timings.add(_timing_levels(each.metric, each.architecture, each.parts), each.seconds)
            else:
                networks.setdefault((each.architecture, network_text(each.parts)), []).append(
                    (each.metric, each.seconds)
                )
        self.recordings = self._recordings(networks)

    def _recordings(self, networks: Mapping[Any, Sequence[tuple[str, float]]]) -> dict[str, Cost]:
        """Family -> what recording one of its networks takes: what the first metric took beyond its own time.

        A metric's own time is the least that it ever took in the family.
        """
        least: dict[tuple[str, str], float] = {}
        for (family, _), spent in networks.items():
            for metric, seconds in spent:
                least[metric, family] = min(seconds, least.get((metric, family), math.inf))
        for (metric, family), seconds in least.items():
            self.metrics.add(_own_levels("static", metric, family), seconds)
        beyond = Rates()
        for (family, _), spent in networks.items():
            beyond.add([Level(family, 1.0, ALIKE)], max(seconds - least[metric, family] for metric, seconds in spent))
        return {
            str(family): _cost(sorted(rates), Level(family, 1.0, ALIKE)) for family, rates in beyond.by_place.items()
        }

    def recording(self, family: str) -> Cost:
        return self.recordings.get(family, NOTHING)

    def own(self, kind: str, request: Request) -> Cost | None:
        """What a metric takes itself, without the recording or the training that others share."""
        return self.metrics.cost(_own_levels(kind, request.metric, request.variant.architecture))

    def timing(self, request: Request) -> Cost | None:
        return self.timings.cost(_timing_levels(request.metric, request.variant.architecture, request.shared))

    def training(self, request: Request) -> Cost | None:
        """Its steps, and its loading and evaluation, which do not grow with them."""
        family, parts = request.variant.architecture, _without_unknown(request.shared)
        steps = self._timed(parts) or self.trainings.cost(self._training_levels(family, parts))
        return steps + (self.trainings.cost(_fixed_levels(family, parts)) or NOTHING) if steps else None

    def _timed(self, parts: Mapping[str, Any]) -> Cost | None:
        """What a budget of time says; None without one."""
        budget = (parts.get("recipe") or {}).get("budget")
        seconds = seconds_of(budget) if budget else None
        return None if seconds is None else Cost(seconds, seconds, seconds)

    def _training_levels(self, family: str, parts: Mapping[str, Any]) -> Iterator[Level]:
        """The same network and batch by steps; networks of the family by MACs or pixels; other families by MACs."""
        recipe, device = parts.get("recipe") or {}, parts.get("device")
        steps, batch = recipe.get("steps"), recipe.get("batch")
        if not steps or not batch:
            return
        images, network = float(steps * batch), network_text(parts)
        yield Level(("network", family, network, batch, device, _text(parts.get("dataset"))), float(steps), SAME)
        macs = self.macs.get((family, network))
        if macs:
            yield Level(("macs", family, device), images * macs, ALIKE)
        yield Level(("pixels", family, device), images * math.prod(parts["shape"][1:]), ALIKE)
        if macs:
            yield Level(("macs", device), images * macs, OTHER)


def _without_unknown(parts: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parts of a key without the fields of the recipe that a search has not chosen yet."""
    recipe = {name: value for name, value in (parts.get("recipe") or {}).items() if value != UNKNOWN}
    return {**parts, "recipe": recipe}


def _fixed_levels(family: str, parts: Mapping[str, Any]) -> tuple[Level, ...]:
    return (Level(("fixed", family, _text(parts.get("dataset"))), 1.0, ALIKE),)


def _own_levels(kind: str, metric: str, family: str) -> tuple[Level, ...]:
    return Level((kind, metric, family), 1.0, ALIKE), Level((kind, metric), 1.0, OTHER)


def _timing_levels(metric: str, family: str, parts: Mapping[str, Any]) -> tuple[Level, ...]:
    machine = _text(parts.get("machine"))
    same = (metric, family, network_text(parts), parts.get("batch"), machine)
    return Level(same, 1.0, SAME), Level((metric, family, machine), 1.0, ALIKE), Level((metric, machine), 1.0, OTHER)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=list)
