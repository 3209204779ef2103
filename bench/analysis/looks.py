"""Adaptive seeds: the looks at the scores of an ablation, one after the other, from what is stored.

Every variant begins with the seeds of the first look. A comparison that is inconclusive at a look gets the seeds of the
next one, for both of its variants; one that is decided keeps its verdict, its interval and the seeds that it has. So
what is to be measured next is a function of the stored scores and nothing else: a run that was interrupted goes on with
the seeds that it would have had. Comparisons are those of the main score with the baseline, of `answers:`, and of the
claims. Levels are those of `bench.stats.sequential`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from bench.analysis.aggregate import Aggregate, Aggregates, Column, aggregates_of, columns_of, measured_pairs
from bench.analysis.claims import ClaimResult, Place, evaluate
from bench.analysis.contrast import Noise, noise_of
from bench.analysis.deltas import Delta, Rule, differences
from bench.results.results import Results
from bench.spec.claims import Comparison, Ranking
from bench.stats.sequential import Look

K = TypeVar("K")
Pair = tuple[str, str]
Planned = tuple[str, str, str]
"""(metric, variant, other)."""


@dataclass(frozen=True)
class Ending:
    """How a comparison that asks for seeds ended: at which look, and with which verdict, or answer to a claim.

    `variants` are the two whose difference it is, or those of a comparison of the `claim`.
    """

    metric: str
    variants: tuple[str, ...]
    look: Look
    verdict: str
    claim: str = ""

    @property
    def is_open(self) -> bool:
        return self.verdict == "inconclusive"


@dataclass(frozen=True)
class Looks:
    """What the looks so far gave.

    `taken`     how many looks were taken: all scores of their seeds are stored
    `counts`    variant -> the number of seeds that it has, or is to get for the next look
    `table`     (variant, metric) -> the difference from the baseline, as the look that decided it saw it, else the last
                one at which both variants had all seeds
    `planned`   (metric, variant, other) -> the same of the pairs of `answers:` without the baseline
    `claims`    the claims, each comparison as the look that decided it saw it
    `endings`   the comparisons that ask for seeds, as they are now
    `waits`     whether scores of the next look are missing
    """

    sizes: tuple[int, ...]
    taken: int
    counts: Mapping[str, int]
    table: Mapping[Pair, Delta]
    planned: Mapping[Planned, Delta]
    claims: tuple[ClaimResult, ...]
    endings: tuple[Ending, ...]
    waits: bool

    @property
    def rule(self) -> Rule:
        """The levels of a test that is made after the last look so far."""
        return _rule(Look(self.sizes, max(self.taken, 1) - 1))

    def of(self, variant: str) -> list[Ending]:
        """The comparisons of a variant."""
        return [ending for ending in self.endings if variant in ending.variants]


def looks_at(results: Results) -> Looks:
    """`taken_looks` of results with all seeds. Raises ValueError as `aggregates_of` does, and for fixed seeds."""
    return taken_looks(results, tuple(columns_of(results)), aggregates_of(results), {})


def taken_looks(
    results: Results, columns: Sequence[Column], aggregates: Aggregates, graphs: Mapping[str, str]
) -> Looks:
    """The looks at the stored scores. Raises ValueError where the seeds of the ablation are fixed."""
    if not results.looks:
        raise ValueError(f"the seeds of {results.name} are fixed")
    scores = [column for column in columns if column.kind == "accuracy"]
    material = _Material(results, scores, aggregates, graphs)
    state = _State(Look(results.looks, 0), dict.fromkeys(results.variants, results.looks[0]))
    if material.lacks(state):
        return _looks(material, _tested(material, state), taken=0, waits=True)
    while True:
        state = _tested(material, state)
        asking = {variant for ending in _endings(material, state) if ending.is_open for variant in ending.variants}
        asking |= {variant for variant, count in results.raced.items() if count > state.look.size}
        if state.look.is_last or not asking:
            return _looks(material, state, taken=state.look.number + 1)
        further = replace(state, look=replace(state.look, number=state.look.number + 1))
        further = replace(further, counts={**state.counts, **dict.fromkeys(asking, further.look.size)})
        if material.lacks(further):
            return _looks(material, replace(state, counts=further.counts), state.look.number + 1, waits=True)
        state = further


@dataclass(frozen=True)
class _Material:
    """What looks are taken at: all stored scores."""

    results: Results
    scores: Sequence[Column]
    aggregates: Aggregates
    graphs: Mapping[str, str]

    @property
    def main(self) -> str:
        names = [column.metric for column in self.scores]
        return self.results.main if self.results.main in names else names[0] if names else ""

    def lacks(self, state: _State) -> bool:
        """Whether a score of the seeds that variants have at this look is not stored."""
        own = ((state.counts[each.variant], each) for each in self._seeded())
        return any(seed < count for count, each in own for seed in each.missing if seed is not None)

    def _seeded(self) -> Iterator[Aggregate]:
        metrics = {column.metric for column in self.scores}
        return (each for each in self.aggregates.values() if each.metric in metrics)

    def at(self, counts: Mapping[str, int]) -> dict[Pair, Aggregate]:
        """The aggregates with the first seeds of each variant alone."""
        return {pair: first_seeds(each, counts[each.variant]) for pair, each in self.aggregates.items()}


@dataclass(frozen=True)
class _State:
    """What is decided up to a look; `tested_at` says at which look a comparison was tested last.

    Its keys are those of `table` and `planned`, and the places of the claims' comparisons.
    """

    look: Look
    counts: Mapping[str, int]
    table: Mapping[Pair, Delta] = field(default_factory=dict)
    planned: Mapping[Planned, Delta] = field(default_factory=dict)
    claims: tuple[ClaimResult, ...] = ()
    tested_at: Mapping[object, Look] = field(default_factory=dict)

    def tests(self, variants: Iterable[str]) -> bool:
        """Whether all of these variants have the seeds of this look."""
        return all(self.counts[variant] == self.look.size for variant in variants)


def first_seeds(aggregate: Aggregate, count: int) -> Aggregate:
    """The aggregate of seeds below `count` alone; what depends on no seed stays."""
    answered = [(seed, at) for at, seed in enumerate(aggregate.answered) if seed is None or seed < count]
    return replace(
        aggregate,
        samples=tuple(pair for pair in aggregate.samples if pair[0] is None or pair[0] < count),
        answered=tuple(seed for seed, _ in answered),
        errors=tuple(pair for pair in aggregate.errors if pair[0] is None or pair[0] < count),
        missing=tuple(seed for seed in aggregate.missing if seed is None or seed < count),
        details=tuple(aggregate.details[at] for _, at in answered),
    )


def _rule(look: Look, earlier: Sequence[Delta] = ()) -> Rule:
    return Rule(look.nominal, look.one_sided, tuple(delta.verdict for delta in earlier))


def _tested(material: _Material, state: _State) -> _State:
    """The state with the tests of its look made."""
    aggregates = material.at(state.counts)
    noise = noise_of(aggregates.values(), material.results.contributions, material.graphs)
    baseline, variants = material.results.baseline, material.results.variants
    table: dict[Pair, Delta] = {}
    planned: dict[Planned, Delta] = {}
    for column in material.scores:
        with_baseline = {(v, column.metric): (v, baseline) for v in variants if v != baseline}
        others = {(column.metric, *pair): pair for pair in planned_pairs(material.results)}
        table |= _family(column, with_baseline, aggregates, noise, state, state.table)
        planned |= _family(column, others, aggregates, noise, state, state.planned)
    now: dict[object, Look] = dict.fromkeys((*table, *planned), state.look)
    tested = replace(state, table={**state.table, **table}, planned={**state.planned, **planned})
    claims, places = _claims(material, tested, aggregates, noise)
    now |= dict.fromkeys(places, state.look)
    return replace(tested, claims=claims, tested_at={**state.tested_at, **now})


def planned_pairs(results: Results) -> list[Pair]:
    """The pairs of `answers:` that the table does not have."""
    return [pair for pair in results.answers if results.baseline not in pair]


def _family(
    column: Column,
    pairs: Mapping[K, Pair],
    aggregates: Aggregates,
    noise: Noise,
    state: _State,
    earlier: Mapping[K, Delta],
) -> dict[K, Delta]:
    """The differences of the pairs that are open and have the seeds of this look."""
    now = {key: pair for key, pair in pairs.items() if _is_open(earlier.get(key)) and state.tests(pair)}
    settled = [delta for key, delta in earlier.items() if key in pairs and key not in now]
    of_metric = [each for (_, metric), each in aggregates.items() if metric == column.metric]
    both = measured_pairs(aggregates, column.metric, now)
    return differences(column, both, of_metric, noise, _rule(state.look, settled))


def _is_open(delta: Delta | None) -> bool:
    return delta is None or delta.verdict in ("inconclusive", "missing")


def _stated(material: _Material, state: _State) -> dict[Planned, Delta]:
    """The differences of the table and the answers that have an interval."""
    table = {(metric, v, material.results.baseline): delta for (v, metric), delta in state.table.items()}
    return {key: delta for key, delta in (dict(state.planned) | table).items() if delta.interval is not None}


def _claims(
    material: _Material, state: _State, aggregates: Aggregates, noise: Noise
) -> tuple[tuple[ClaimResult, ...], list[Place]]:
    """(the claims, the places of the comparisons that are tested at this look).

    A comparison of scores that is decided, or has no new seeds, stays as it is.
    """
    statements = material.results.claims
    settled = {
        (i, j): each
        for i, claim in enumerate(state.claims)
        for j, each in enumerate(claim.comparisons)
        if (variants := _scored(material, statements[i].comparisons[j]))
        and (each.answer != "inconclusive" or not state.tests(variants))
    }
    claims = evaluate(statements, aggregates, noise, _stated(material, state), state.look.nominal, settled)
    places = [(i, j) for i, claim in enumerate(claims) for j, _ in enumerate(claim.comparisons)]
    return claims, [place for place in places if place not in settled]


def _scored(material: _Material, comparison: Comparison | Ranking) -> tuple[str, ...]:
    """The variants whose scores a comparison is about; none where it is about costs alone."""
    metrics = {column.metric for column in material.scores}
    return tuple(dict.fromkeys(each.variant for each in comparison.references() if each.metric in metrics))


def _endings(material: _Material, state: _State) -> Iterator[Ending]:
    """The comparisons that ask for seeds: of the main score with the baseline and of `answers:`; those of claims.

    The variants of a path are compared with the one before instead: no more seeds on a step whose order is decided.
    Those of a greedy path have the seeds of their races (`bench.analysis.race`), and ask for none.
    """
    main, baseline = material.main, material.results.baseline
    races = material.results.raced
    raced = {one for one, other in material.results.steps if other != baseline} | races.keys()
    for (variant, metric), delta in state.table.items():
        if metric == main and variant not in raced:
            yield Ending(metric, (variant, baseline), state.tested_at[variant, metric], str(delta.verdict))
    for (metric, variant, other), delta in state.planned.items():
        if metric == main and variant not in races:
            yield Ending(metric, (variant, other), state.tested_at[metric, variant, other], str(delta.verdict))
    yield from _endings_of_claims(material, state)


def _endings_of_claims(material: _Material, state: _State) -> Iterator[Ending]:
    """Those of planned contrasts, and of differences of other scores than the main one that a table shows."""
    stated = _stated(material, state)
    for i, claim in enumerate(state.claims):
        for j, each in enumerate(claim.comparisons):
            comparison = claim.statement.comparisons[j]
            variants = _scored(material, comparison)
            if not variants or (each.metric == material.main and not each.planned):
                continue
            delta = None if each.planned else _shown(stated, each.metric, variants)
            verdict = each.answer if delta is None else str(delta.verdict)
            yield Ending(each.metric, variants, state.tested_at[i, j], verdict, claim.statement.says)


def _shown(stated: Mapping[Planned, Delta], metric: str, variants: Sequence[str]) -> Delta | None:
    """The difference of two variants, in either order."""
    one, other = variants
    return stated.get((metric, one, other)) or stated.get((metric, other, one))


def _looks(material: _Material, state: _State, taken: int, waits: bool = False) -> Looks:
    return Looks(
        sizes=state.look.sizes,
        taken=taken,
        counts=state.counts,
        table=state.table,
        planned=state.planned,
        claims=state.claims,
        endings=tuple(_endings(material, state)),
        waits=waits,
    )
