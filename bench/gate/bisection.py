"""`bench bisect`: the commit that changed a metric, by the decision rule of `bench gate --against`.

Every commit that is looked at is compared with GOOD. A deterministic metric is compared by value. For a metric of speed
a paired run gives the probability that the commit is changed: that its ratio is beyond the tolerance on the side on
which BAD is. These make a probability of each commit to be the first that is changed (`bench.stats.bisection`).
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Protocol

from bench.gate.against import Described
from bench.gate.expectations import compared as compared_exactly
from bench.gate.expectations import parts
from bench.gate.paired import Comparison, Task, compared, task_of
from bench.gate.paired_text import interval
from bench.gate.summary import change_text
from bench.registry import Metric, RegistryError
from bench.results.turns import Group
from bench.stats.bisection import Posterior
from bench.stats.paired import Rule

SURE = 0.95
"""The search ends at this probability."""

DOUBT = 0.01
"""The least probability that the judgement of one paired run is wrong: what its own noise does not show."""

AFTERWARDS = 2
"""Paired runs that are made after those of the search: one again, and that of the commit by itself."""

Verdict = Literal["found", "several", "no change", "inconclusive", "broken"]
EXIT: Mapping[Verdict, int] = {"found": 0, "no change": 1, "several": 3, "inconclusive": 3, "broken": 4}


class Probe(Protocol):
    """What is asked of commits."""

    def networks(self, commit: str) -> Mapping[str, Any]:
        """Name of a variant -> network. Raises RegistryError with why the commit has none."""

    def groups(self, before: tuple[str, Any], after: tuple[str, Any]) -> Iterator[Group]:
        """Groups of turns of (commit, network) against another. Raises SideError."""


@dataclass(frozen=True)
class Change:
    """How a metric of a commit differs from that of another one.

    `verdict`: that of a paired comparison, and `changed` of a value that is no better or worse. `worse` and `better`
    are the probabilities of a change beyond the tolerance. `text` has the change with its interval, or the error.
    """

    verdict: str
    text: str
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    worse: float = 0.0
    better: float = 0.0
    rounds: int = 0


@dataclass(frozen=True)
class Step:
    """What became of one commit. `left` are the commits that may still be the first changed one, at 1 % or more."""

    commit: str
    verdict: Literal["changed", "unchanged", "inconclusive", "skipped"]
    probability: float | None
    text: str
    left: int


@dataclass(frozen=True)
class Bisection:
    """The outcome. `candidates` are the likeliest commits that nothing tells apart, the oldest first: one where it was
    found. `sure` is the probability that it is one of them; `others` are further commits with theirs. `whole` is the
    change from GOOD to BAD, `own` that from the last commit before the candidates which runs, `before`, to the last
    candidate.
    """

    verdict: Verdict
    good: str
    bad: str
    metric: str
    variant: str = ""
    whole: Change | None = None
    steps: tuple[Step, ...] = ()
    candidates: tuple[str, ...] = ()
    sure: float = 0.0
    others: tuple[tuple[str, float], ...] = ()
    before: str = ""
    own: Change | None = None

    @property
    def exit_code(self) -> int:
        return EXIT[self.verdict]

    def as_row(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "exit_code": self.exit_code}


@dataclass(frozen=True)
class How:
    """The decision rule, the seconds for the whole search, and the clock."""

    metric: Metric
    rule: Rule
    budget: float
    now: Callable[[], float] = time.monotonic


@dataclass
class Seen:
    """What a search has seen: the networks of commits by their places (-1 is GOOD), and what that makes of each commit.

    Commits in `skipped` do not run; another look at those in `useless` would decide nothing.
    """

    states: dict[int, Described]
    posterior: Posterior
    skipped: set[int] = field(default_factory=set)
    useless: set[int] = field(default_factory=set)


@dataclass
class Search:
    """A search that is under way. `commits` are those after GOOD up to BAD, the oldest first."""

    good: str
    commits: Sequence[str]
    probe: Probe
    how: How
    notify: Callable[[Change | Step], None] = lambda _: None
    steps: list[Step] = field(default_factory=list)
    ends: float = 0.0
    runs: int = AFTERWARDS

    def run(self) -> Bisection:
        """Find the commit. Raises RegistryError where GOOD or BAD cannot be read."""
        self.ends = self.how.now() + self.how.budget
        outcome = Bisection("broken", self.good, self.commits[-1], self.how.metric.name)
        last = self.probe.networks(outcome.bad)
        try:
            first = self.probe.networks(outcome.good)
        except RegistryError as error:
            return replace(outcome, whole=Change("broken", f"{self.good[:10]}: {error}"))
        pairs = _pairs(first, last)
        self.runs += sum(old.code != new.code for old, new in pairs.values())
        changes = {name: self._whole(*pair) for name, pair in pairs.items()}
        name = max(changes, key=lambda each: _size(changes[each]))
        self.notify(changes[name])
        outcome = replace(outcome, verdict=_verdict(changes[name]), variant=name, whole=changes[name])
        return outcome if outcome.verdict != "found" else self._found(outcome, *pairs[name])

    def _whole(self, first: Described, last: Described) -> Change:
        if first.code == last.code:
            return Change("pass", "the code is the same")
        return self._change((self.good, first), (self.commits[-1], last))

    def _change(self, before: tuple[str, Described], after: tuple[str, Described]) -> Change:
        broken = next((f"{commit[:10]}: {each.broken}" for commit, each in (before, after) if each.broken), "")
        if broken:
            return Change("broken", broken)
        if self.how.metric.kind == "static":
            return exact_change(before[1], after[1])
        return self._timed(before, after)

    def _timed(self, before: tuple[str, Described], after: tuple[str, Described]) -> Change:
        """Of a paired run; one that is inconclusive gets its time once more."""
        made: list[Group] = []
        with contextlib.closing(self.probe.groups(before, after)) as source:  # type: ignore[type-var]
            fresh = _noted(source, made)
            for _ in range(2):
                task = self._task(itertools.chain(tuple(made), fresh))
                (comparison,) = compared([task], self.how.rule, self._seconds(), now=self.how.now)
                if comparison.verdict != "inconclusive" or self.how.now() >= self.ends:
                    break
        return timed_change(comparison)

    def _task(self, groups: Iterator[Group]) -> Task:
        return task_of(self.how.metric.name, self.how.metric, groups)

    def _seconds(self) -> float:
        """For one paired run: the budget by the number of runs, and no longer than what is left."""
        runs = math.ceil(math.log2(len(self.commits))) + self.runs
        return min(self.how.budget / runs, self.ends - self.how.now())

    def _found(self, outcome: Bisection, first: Described, last: Described) -> Bisection:
        """The search itself, once it is known that BAD is changed."""
        worse = outcome.whole is not None and outcome.whole.worse >= outcome.whole.better
        seen = Seen({-1: first, len(self.commits) - 1: last}, Posterior.uniform(len(self.commits)))
        while (place := self._next(seen)) is not None:
            step = self._step(place, seen, outcome.variant, worse)
            if step.verdict == "inconclusive":
                seen.useless.add(place)  # it had its time twice: it lies at the tolerance, or is too noisy
            self.steps.append(step)
            self.notify(step)
        return self._outcome(outcome, seen)

    def _next(self, seen: Seen) -> int | None:
        """The commit to look at; None where it is sure, the time is up, or none is left."""
        if seen.posterior.likeliest(seen.skipped).probability >= SURE or self.how.now() >= self.ends:
            return None
        return seen.posterior.middle(seen.skipped | seen.useless)

    def _step(self, place: int, seen: Seen, variant: str, worse: bool) -> Step:
        """Look at a commit, and judge it where no commit with the same code was judged."""
        network = seen.states.get(place) or self._network(place, variant)
        if isinstance(network, str):
            return self._skipped(place, seen, network)
        twin = next((at for at, each in seen.states.items() if at != place and each.code == network.code), None)
        if place not in seen.states and twin is not None:
            return self._alike(place, seen, network, twin)
        change = self._change((self.good, seen.states[-1]), (self.commits[place], network))
        if change.verdict == "broken":
            return self._skipped(place, seen, change.text)
        seen.states[place] = network
        probability = change.worse if worse else change.better
        seen.posterior = seen.posterior.judged(place, probability)
        return _step(self.commits[place], probability, change.text, _left(seen.posterior))

    def _skipped(self, place: int, seen: Seen, why: str) -> Step:
        """Of a commit that does not run."""
        seen.skipped.add(place)
        return Step(self.commits[place], "skipped", None, why, _left(seen.posterior))

    def _alike(self, place: int, seen: Seen, network: Described, twin: int) -> Step:
        """Of a commit with the same code as one that was judged: it costs nothing."""
        seen.states[place] = network
        seen.posterior = seen.posterior.alike(min(place, twin), max(place, twin))
        text = f"the same code as {self._name(twin)[:10]}"
        return _step(self.commits[place], seen.posterior.up_to(place), text, _left(seen.posterior))

    def _network(self, place: int, variant: str) -> Any:
        """The network of a commit, or why it has none."""
        try:
            networks = self.probe.networks(self.commits[place])
        except RegistryError as error:
            return str(error)
        network = _named(networks, variant)
        return f"it has no {variant}" if network is None else network.broken or network

    def _outcome(self, outcome: Bisection, seen: Seen) -> Bisection:
        block = seen.posterior.likeliest(seen.skipped)
        candidates = tuple(self.commits[block.first : block.last + 1])
        verdict: Verdict = "inconclusive" if block.probability < SURE else "several" if len(candidates) > 1 else "found"
        before = max((at for at in seen.states if at < block.first), default=-1)
        weights = enumerate(seen.posterior.weights)
        others = [(at, weight) for at, weight in weights if weight >= DOUBT and not block.first <= at <= block.last]
        return replace(
            outcome,
            verdict=verdict,
            steps=tuple(self.steps),
            candidates=candidates,
            sure=block.probability,
            others=tuple((self.commits[at], weight) for at, weight in others),
            before=self._name(before),
            own=self._own(before, block.last, seen.states),
        )

    def _own(self, before: int, last: int, states: Mapping[int, Described]) -> Change | None:
        """The change between two commits; None where the last does not run, or no time is left to time it."""
        if last not in states or (self.how.metric.kind != "static" and self.how.now() >= self.ends):
            return None
        return self._change((self._name(before), states[before]), (self._name(last), states[last]))

    def _name(self, place: int) -> str:
        return self.good if place < 0 else self.commits[place]


def _pairs(first: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Name -> (network in GOOD, network in BAD) of what both have. Raises RegistryError where that is none."""
    both = {name: (network, last[name]) for name, network in first.items() if name in last}
    pairs = both or {name: (_named(first, name), _named(last, name)) for name in [*last][:1]}
    if not all(network for pair in pairs.values() for network in pair):
        raise RegistryError(f"no variant is in both commits; GOOD has {_listed(first)}, BAD has {_listed(last)}")
    return pairs


def _named(networks: Mapping[str, Any], name: str) -> Any:
    """The network of a name, or the only one, whose axes may have had other names; None where there is none."""
    return networks.get(name) or (next(iter(networks.values())) if len(networks) == 1 else None)


def exact_change(before: Described, after: Described) -> Change:
    """Of a deterministic metric, with zero tolerance. A number that is not on both sides is a change."""
    name = next((m.variant.name for m in after.static), "")
    expected = {(name, part): value for m in before.static for (_, part), value in parts(m)}
    rows = compared_exactly("", expected, after.static)
    changed = [row for row in rows if row.verdict != "same"]
    own = [row for row in rows if "/" not in row.metric]
    if not changed or (own and own[0].verdict == "same"):
        return Change("pass", "the value is the same", ratio=1.0)
    first = (own or changed)[0]
    old, new = (_number(text) for text in (first.expected, first.measured))
    less = old is not None and new is not None and new < old
    verdict = {"worse": "regression", "better": "win"}.get(first.verdict, "changed")
    ratio = new / old if old and new is not None else None
    return Change(verdict, change_text(first), ratio, None, float(not less), float(less))


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def timed_change(comparison: Comparison) -> Change:
    """Of a paired run; its probabilities leave room for what its noise does not show."""
    if comparison.error:
        return Change("broken", comparison.error)
    worse, better = (
        0.5 if each is None else min(max(each, DOUBT), 1 - DOUBT)
        for each in (comparison.probability_worse, comparison.probability_better)
    )
    text = interval(comparison)
    return Change(
        comparison.verdict, text, comparison.ratio, comparison.interval, worse, better, rounds=comparison.rounds
    )


def _noted(source: Iterator[Group], made: list[Group]) -> Iterator[Group]:
    for group in source:
        made.append(group)
        yield group


def _verdict(whole: Change) -> Verdict:
    verdicts: dict[str, Verdict] = {"pass": "no change", "inconclusive": "inconclusive", "broken": "broken"}
    return verdicts.get(whole.verdict, "found")


def _size(change: Change) -> tuple[bool, float]:
    """Sorts what is decided before what is not, and a large change before a small one."""
    ratio = change.ratio or math.inf
    return change.verdict in ("regression", "win", "changed"), abs(math.log(ratio)) if ratio > 0 else math.inf


def _step(commit: str, probability: float, text: str, left: int) -> Step:
    if 1 - SURE < probability < SURE:
        return Step(commit, "inconclusive", probability, text, left)
    return Step(commit, "changed" if probability > 0.5 else "unchanged", probability, text, left)


def _left(posterior: Posterior) -> int:
    return sum(weight >= DOUBT for weight in posterior.weights)


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(list(names)[:3]) or "none"
