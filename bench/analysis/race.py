"""The steps of a greedy path: which component each one takes, by what is stored and nothing else.

A step is a race between its candidates. With fixed seeds all have all of them, and the best mean of the main metric is
taken; of equal ones the first in the file. With adaptive seeds all begin with those of the first look. A candidate that
is worse than the best one so far, or equivalent to it, leaves the race and gets no more seeds; the others get those of
the next look, until one is left, or all seeds are there. The comparisons of a step are a family of their own, tested
at the levels of `bench.stats.sequential`, so that no later step changes an earlier choice. A candidate that failed is
never taken.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.analysis.aggregate import Aggregate, Column, aggregates_of, columns_of
from bench.analysis.contrast import noise_of
from bench.analysis.deltas import Delta, Rule, differences
from bench.analysis.looks import first_seeds
from bench.results.results import Results
from bench.spec.ablation import Ablation
from bench.spec.greedy import Greedy
from bench.spec.variant import Variant
from bench.stats.sequential import Look

Pair = tuple[str, str]


@dataclass(frozen=True)
class Race:
    """`counts`: variant -> the seeds that it has, or is to get next. `winner` is empty while scores are missing, and
    where no candidate has a number."""

    counts: Mapping[str, int]
    winner: str = ""


def race(results: Results, sizes: Sequence[int]) -> Race:
    """The race between the variants of `results` by its main metric, at looks of so many seeds."""
    column = next(each for each in columns_of(results) if each.metric == results.main)
    aggregates = {v: each for (v, metric), each in aggregates_of(results).items() if metric == column.metric}
    counts, racing = dict.fromkeys(aggregates, sizes[0]), list(aggregates)
    earlier: dict[Pair, Delta] = {}
    for number in range(len(sizes)):
        now = {name: first_seeds(each, counts[name]) for name, each in aggregates.items()}
        if any(each.missing for each in now.values()):
            return Race(counts)
        racing = _ranked(column, [now[name] for name in racing])
        last = number + 1 == len(sizes)
        if racing and not last:
            look = Look(tuple(sizes), number)
            racing, earlier = _survivors(column, [now[name] for name in racing], look, earlier)
        if len(racing) < 2 or last:
            return Race(counts, racing[0] if racing else "")
        counts |= dict.fromkeys(racing, sizes[number + 1])
    raise AssertionError("the last look ends a race")


def _ranked(column: Column, aggregates: Sequence[Aggregate]) -> list[str]:
    """The names of those that have a number and no failure, the best first."""
    sign = -1 if column.better == "higher" else 1
    values = {each.variant: each.value for each in aggregates if not each.errors}
    return sorted((v for v, value in values.items() if value is not None), key=lambda v: sign * (values[v] or 0.0))


def _survivors(
    column: Column, ranked: Sequence[Aggregate], look: Look, earlier: Mapping[Pair, Delta]
) -> tuple[list[str], dict[Pair, Delta]]:
    """(the best and those that may be as good, the comparisons so far), `ranked` the best first."""
    best = ranked[0].variant
    pairs = {(a.variant, b.variant): (a, b) for a, b in itertools.combinations(ranked, 2)}
    settled = [delta.verdict for pair, delta in earlier.items() if pair not in pairs and pair[::-1] not in pairs]
    noise = noise_of(ranked, {}, {})
    tested = differences(column, pairs, ranked, noise, Rule(look.nominal, look.one_sided, tuple(settled)))
    left = [each.variant for each in ranked[1:] if tested[best, each.variant].verdict not in ("better", "equivalent")]
    return [best, *left], {**earlier, **tested}


def walked(ablation: Ablation, results: Callable[[Ablation], Results]) -> Ablation:
    """The ablation with the variants that its greedy path reaches by these results; without such a path, as it is.

    `results` reads the results of the candidates of one step.
    """
    if ablation.greedy is None:
        return ablation
    path, counts = replace(ablation.greedy, taken=()), dict[str, int]()
    first: Mapping[str, int] = {}
    sizes = ablation.adaptive.sizes if ablation.adaptive else (len(ablation.seeds),)
    while candidates := path.candidates:
        step = race(results(_step(ablation, list(candidates.values()))), sizes)
        first = first or step.counts
        counts |= step.counts
        if not step.winner:
            break
        taken = next(name for name, variant in candidates.items() if variant.name == step.winner)
        path = replace(path, taken=(*path.taken, taken))
    baseline = {ablation.baseline.name: max(first.values())} if first else {}
    return along(ablation, path, {**counts, **baseline})


def _step(ablation: Ablation, candidates: Sequence[Variant]) -> Ablation:
    """The candidates of a step as an ablation of their own, with the main metric alone."""
    main = tuple(metric for metric in ablation.metrics if metric.name == ablation.main)
    return replace(
        ablation, variants=tuple(candidates), metrics=main, greedy=None, claims=(), answers=(), steps=(), excluded=()
    )


def along(ablation: Ablation, path: Greedy, counts: Mapping[str, int]) -> Ablation:
    """The ablation with every variant that was tried on the path; its steps are the answers where none are stated."""
    start = ablation.greedy.tried if ablation.greedy else ()
    others = [variant for variant in ablation.variants if variant not in start]
    names = [variant.name for variant in (ablation.baseline, *path.chosen)]
    steps = tuple((name, before) for before, name in itertools.pairwise(names))
    return replace(
        ablation,
        greedy=path,
        raced=counts if ablation.adaptive else {},
        variants=tuple(dict.fromkeys((ablation.baseline, *path.tried, *others))),
        answers=ablation.answers if ablation.answers != ablation.steps else steps,
        steps=steps if ablation.answers == ablation.steps else (),
        remarks=(*ablation.remarks, _remark(ablation, path)),
    )


def _remark(ablation: Ablation, path: Greedy) -> str:
    """The order so far, and what is open."""
    order = " > ".join(path.taken) or "no step is decided yet"
    number, most = len(path.taken), len(path.components)
    rest = f"; step {number + 1} of {most} is open" if number < most and path.candidates else ""
    end = "; no combination is left for the next step" if number < most and not path.candidates else ""
    return f"greedy path by {ablation.main}: {order}{rest}{end}"
