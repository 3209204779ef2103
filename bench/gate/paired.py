"""The paired comparison: groups of turns are taken until the interval of the ratio decides, or the time is up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from bench.registry import Better, Metric
from bench.results.turns import TIMED, Group, SideError, Turn
from bench.stats.descriptive import median, quantile
from bench.stats.paired import (
    Decision,
    Rule,
    alike,
    beyond,
    calibrated,
    contrasts,
    decide,
    groups_needed,
    interval,
    null_spread,
)

if TYPE_CHECKING:
    from bench.stats.paired import Floats

Clock = Literal["elapsed", "cpu"]

LOW = 0.1
"""The quantile over turns that is tried besides the median: memory layouts that happen to be good."""

COMPUTES = 0.95
"""CPU time stands for a call where it is at least this fraction of the elapsed time, and no more than all of it."""

LEAST_DISTURBED = 0.95
"""The quantile of CPU time by elapsed time that stands for a call which no other process disturbed."""

EXIT: Mapping[str, int] = {"pass": 0, "regression": 1, "inconclusive": 3, "broken": 4, "win": 5}


@dataclass(frozen=True)
class Estimator:
    """How a process's turns become one time: a clock, and the quantile over its turns."""

    clock: Clock
    quantile: float

    def __str__(self) -> str:
        return f"{'CPU' if self.clock == 'cpu' else 'elapsed'} time, {self._place} over memory layouts"

    @property
    def _place(self) -> str:
        return "median" if self.quantile == 0.5 else f"{self.quantile:.0%} quantile"


@dataclass(frozen=True)
class Comparison:
    """How B compares with A. `ratio` is B's time (or value) over A's, `interval` that which decided.

    A metric of which more is better has the inverse ratio, so that more than 1 is worse throughout. `rounds` are groups
    of four processes; `rounds_needed` how many would decide, None where the ratio lies at the tolerance. `left_out` of
    the rounds do not count, since a process was unlike its twin (`bench.stats.paired.alike`).
    `false_alarm_rate` is the fraction of A/A runs, drawn from the noise of this run, that would have been called a
    regression or a win; `smallest_detectable` the slowdown (0.04 is 4 %) that 95 % of
    such runs would have called a regression. `probability_worse` and `probability_better` are those of a ratio beyond
    the tolerance (`bench.stats.paired.beyond`). All are None before the first look.
    """

    name: str
    metric: str
    verdict: Decision | Literal["broken"]
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    rounds: int = 0
    rounds_needed: int | None = None
    left_out: int = 0
    false_alarm_rate: float | None = None
    smallest_detectable: float | None = None
    probability_worse: float | None = None
    probability_better: float | None = None
    spread: float | None = None
    a: float | None = None
    b: float | None = None
    tolerance: float = 0.0
    seconds: float = 0.0
    estimator: str = ""
    disturbed: float = 0.0
    trouble: tuple[str, ...] = ()
    error: str = ""

    @property
    def exit_code(self) -> int:
        return EXIT[self.verdict]

    def as_row(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass
class _Running:
    """A comparison that is under way."""

    name: str
    metric: str
    source: Iterator[Group]
    better: Better
    groups: list[Group] = field(default_factory=list)
    error: str = ""

    def state(self, rule: Rule) -> Comparison:
        if self.error:
            return Comparison(self.name, self.metric, "broken", rounds=len(self.groups), error=self.error)
        return judged(self.name, self.metric, self.groups, rule, self.better)

    def step(self) -> None:
        try:
            self.groups.append(next(self.source))
        except SideError as error:
            self.error = str(error)


@dataclass(frozen=True)
class Task:
    """A comparison to make: its name, its metric with the direction that is better, and where its groups come from."""

    name: str
    metric: str
    groups: Iterator[Group]
    better: Better = "lower"


def task_of(name: str, metric: Metric, groups: Iterator[Group]) -> Task:
    """A comparison by a metric; of one that is timed call by call, less is better."""
    return Task(name, metric.name, groups, "lower" if metric.name in TIMED else metric.better)


def compared(
    tasks: Sequence[Task],
    rule: Rule,
    budget: float,
    notify: Callable[[Comparison], None] = lambda _: None,
    now: Callable[[], float] = time.monotonic,
) -> list[Comparison]:
    """Decide every comparison, or as many as `budget` seconds in all allow.

    Each has the first groups in turn. The time that is left goes to that inconclusive comparison which needs the fewest
    further groups. `notify` is called after each group.
    """
    running = [_Running(task.name, task.metric, task.groups, task.better) for task in tasks]
    states = {place: each.state(rule) for place, each in enumerate(running)}
    ends = now() + budget
    while now() < ends and (place := _next(states, rule)) is not None:
        running[place].step()
        states[place] = running[place].state(rule)
        notify(states[place])
    return [states[place] for place in range(len(running))]


def _next(states: Mapping[int, Comparison], rule: Rule) -> int | None:
    open_ones = {place: s for place, s in states.items() if s.verdict == "inconclusive" and s.rounds < rule.most}
    first = {place: s.rounds for place, s in open_ones.items() if s.rounds < rule.least}
    if first:
        return min(first, key=lambda place: (first[place], place))
    left = {place: (s.rounds_needed or math.inf) - s.rounds for place, s in open_ones.items()}
    return min(left, key=lambda place: (left[place], states[place].rounds)) if left else None


def judged(name: str, metric: str, groups: Sequence[Group], rule: Rule, better: Better = "lower") -> Comparison:
    """What these groups say."""
    spent = sum(group.seconds for group in groups)
    if len(groups) < rule.least:
        return Comparison(name, metric, "inconclusive", rounds=len(groups), tolerance=rule.tolerance, seconds=spent)
    estimator, logs = best(groups, rule)
    logs = -logs if better == "higher" else logs
    left_out = len(groups) - len(logs)
    ends = interval(logs, rule, left_out)
    verdict, known, (worse, better_by) = decide(ends, rule), calibrated(logs, rule), beyond(logs, rule)
    a, b = (math.exp(float(side.mean())) for side in (logs[:, 0], logs[:, 1]))
    turns = [turn for group in groups for side in group.turns for twin in side for turn in twin]
    return Comparison(
        name=name,
        metric=metric,
        verdict=verdict,
        ratio=math.exp(float(contrasts(logs).mean())),
        interval=(math.exp(ends[0]), math.exp(ends[1])),
        rounds=len(groups),
        rounds_needed=_needed(logs, rule, left_out) if verdict == "inconclusive" else None,
        left_out=left_out,
        false_alarm_rate=known.false_alarms,
        smallest_detectable=known.smallest,
        probability_worse=worse,
        probability_better=better_by,
        spread=null_spread(logs),
        a=1 / a if better == "higher" else a,
        b=1 / b if better == "higher" else b,
        tolerance=rule.tolerance,
        seconds=spent,
        estimator=str(estimator),
        disturbed=sum(turn.disturbed for turn in turns) / len(turns),
        trouble=tuple(sorted({turn.trouble for turn in turns if turn.trouble})),
    )


def _needed(logs: Floats, rule: Rule, left_out: int) -> int | None:
    needed = groups_needed(logs, rule)
    return None if needed is None else needed + left_out


def best(groups: Sequence[Group], rule: Rule) -> tuple[Estimator, Floats]:
    """The estimator whose twins differ least in these groups, and the log times that it gives: (groups, side, twin).

    Groups with a process that is unlike its twin are left out. Twins are of one side, so that neither choice sees the
    difference of the sides.
    """
    clocks: tuple[Clock, ...] = ("elapsed", "cpu") if _computes(groups) else ("elapsed",)
    estimators = [Estimator(clock, place) for clock, place in product(clocks, (0.5, LOW))]
    logs = {estimator: _alike(log_times(groups, estimator), rule) for estimator in estimators}
    chosen = min(estimators, key=lambda estimator: null_spread(logs[estimator]))
    return chosen, logs[chosen]


def _alike(logs: Floats, rule: Rule) -> Floats:
    return logs[alike(logs, rule)]


def log_times(groups: Sequence[Group], estimator: Estimator) -> Floats:
    """The log of each process's time, of shape (groups, side, twin)."""
    import numpy as np

    return np.array([[[_log(turns, estimator) for turns in twins] for twins in group.turns] for group in groups])


def _log(turns: Sequence[Turn], estimator: Estimator) -> float:
    calm = [turn for turn in turns if not turn.disturbed and not turn.trouble]
    used = calm if 2 * len(calm) >= len(turns) else turns
    return math.log(max(quantile([median(getattr(turn, estimator.clock)) for turn in used], estimator.quantile), 1e-12))


def _computes(groups: Sequence[Group]) -> bool:
    """Whether calls do nothing but compute on one core: CPU time is then the elapsed time without other processes.

    It is read off the least disturbed calls of each side.
    """
    sides = [[turn for group in groups for twin in group.turns[side] for turn in twin] for side in (0, 1)]
    fractions = [[c / e for turn in turns for c, e in zip(turn.cpu, turn.elapsed, strict=True)] for turns in sides]
    return all(COMPUTES <= quantile(each, LEAST_DISTURBED) <= 2 - COMPUTES for each in fractions)
