"""Differences of a metric from the baseline with intervals and verdicts; the verdicts are corrected together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from bench.analysis.aggregate import Aggregate, Column
from bench.analysis.contrast import Contrast, ContrastError, Noise, contrast
from bench.analysis.verdict import Verdict
from bench.stats.descriptive import Difference, difference, paired_difference
from bench.stats.inference import (
    LEVEL,
    Interval,
    error_probability,
    holm,
    leaves_out_zero,
    seeds_to_decide,
    tost,
)
from bench.stats.sequential import Nominal, single

K = TypeVar("K", bound=Hashable)

NOT_SHOWN: Mapping[str, Verdict] = {"speed": "within noise"}
"""What an open difference is called, by the kind of metric."""

MARGIN = 0.01
"""Scores that are fractions are equivalent within one point: a paper's table would call them the same."""


@dataclass(frozen=True)
class Rule:
    """The levels of a family of verdicts: those of a single test, or of one of several looks at growing data.

    `differs` and `alike` turn a probability of error into the level of a test at this look, of a difference and of
    equivalence. `earlier` are verdicts of earlier looks on other comparisons of the family: those that are not tested
    now count in it, until they are rejected.
    """

    differs: Nominal = single
    alike: Nominal = single
    earlier: Sequence[Verdict | None] = field(default=())

    @property
    def not_different(self) -> int:
        """Comparisons of earlier looks of which no difference was shown."""
        return sum(verdict in ("same", "equivalent", "inconclusive") for verdict in self.earlier)

    @property
    def not_alike(self) -> int:
        """Comparisons of earlier looks of which no equivalence was shown."""
        return sum(verdict in (*DIFFERENT, "inconclusive") for verdict in self.earlier)


DIFFERENT: tuple[Verdict, ...] = ("better", "worse", "changed")
ONCE = Rule()


@dataclass(frozen=True)
class Delta:
    """The difference of two variants by one metric: of one from the baseline, or of two that an answer compares.

    `interval` is the confidence interval at `level`, chosen so that all verdicts of the family together (those of a
    metric in the table, or those of all answers) are wrong with 5 % at most (Holm 1979); None where there is no noise
    to infer from, or where `contrast` is None. `verdict`:

        same                     equal numbers, of every seed where there are seeds
        better, worse, changed   of exact numbers; of seeds where the interval excludes 0
        equivalent               within `margin_of` by two one-sided tests, which are corrected on their own
        inconclusive             none of these
        within noise             the same of speed and memory: no difference that the noise of timing does not explain
        broken                   a seed of one of the two failed
        missing                  the metric's grid is incomplete, so nothing is inferred
    """

    difference: Difference
    verdict: Verdict | None
    interval: Interval | None = None
    level: float = 0.0
    contrast: Contrast | None = None

    @property
    def shown_margin(self) -> float | None:
        """The smallest margin within which the two would be equivalent; None without an interval."""
        if self.contrast is None or self.interval is None:
            return None
        return max(map(abs, self.contrast.estimate.interval(2 * self.level - 1)))

    @property
    def seeds_needed(self) -> int | None:
        """So many seeds of each variant would decide, if difference and spread stay as they are.

        None where it is decided, and where no number of seeds would do, since the noise of evaluation stays.
        """
        if self.verdict != "inconclusive" or self.contrast is None or self.interval is None:
            return None
        return seeds_to_decide(self.contrast.estimate, self.contrast.seeds, self.level)


def margin_of(column: Column, aggregates: Sequence[Aggregate]) -> float | None:
    """The largest difference of two equivalent scores; None for a metric that is not a fraction of something.

    A fraction is better higher, has no unit and only values from 0 to 1. A distance between distributions has no unit
    either, and no agreed margin.
    """
    plain = column.kind == "accuracy" and column.better == "higher" and column.unit in ("", "1")
    values = (value for aggregate in aggregates for _, value in aggregate.samples)
    return MARGIN if plain and all(0 <= value <= 1 for value in values) else None


def gaps(aggregates: Sequence[Aggregate]) -> int:
    """How many requested results of a metric are missing: with any, nothing is inferred."""
    return sum(len(aggregate.missing) for aggregate in aggregates)


def gaps_text(count: int) -> str:
    """`4 results are missing`."""
    return "1 result is missing" if count == 1 else f"{count} results are missing"


def deltas(column: Column, baseline: Aggregate, others: Sequence[Aggregate], noise: Noise) -> dict[str, Delta]:
    """The differences of a metric from the baseline, by variant; variants without a number are left out."""
    pairs = {each.variant: (each, baseline) for each in others}
    return differences(column, pairs, [baseline, *others], noise)


def differences(
    column: Column,
    pairs: Mapping[K, tuple[Aggregate, Aggregate]],
    aggregates: Sequence[Aggregate],
    noise: Noise,
    rule: Rule = ONCE,
) -> dict[K, Delta]:
    """The difference, first less second, of each pair: one family, whose verdicts are corrected together.

    `aggregates` are all of the metric in the table. Pairs without a number are left out.
    """
    plain = {key: change for key, pair in pairs.items() if (change := plain_difference(*pair)) is not None}
    if column.kind != "speed" and gaps(aggregates):
        return {key: Delta(change, "missing") for key, change in plain.items()}
    contrasts = {key: one for key, pair in pairs.items() if (one := _contrast(*pair, noise))}
    twins = {key for key in contrasts if column.kind == "speed" and noise.one_graph(e.variant for e in pairs[key])}
    tested = {key: one for key, one in contrasts.items() if key not in twins}
    verdicts = judged(column, tested, margin_of(column, aggregates), rule)
    verdicts |= {key: of_twins(contrasts[key]) for key in twins}
    return {key: _delta(change, contrasts.get(key), verdicts.get(key)) for key, change in plain.items()}


def turned(delta: Delta, one: Aggregate, other: Aggregate, noise: Noise) -> Delta:
    """A difference with the two variants in the other order, `one` less `other`; same interval, same decision."""
    change = plain_difference(one, other) or delta.difference
    against = _contrast(one, other, noise)
    opposite: dict[Verdict | None, Verdict] = {"better": "worse", "worse": "better"}
    verdict = opposite.get(delta.verdict, delta.verdict)
    if against is None or delta.interval is None:
        return Delta(change, verdict, contrast=against)
    low, high = delta.interval
    return Delta(change, verdict, (-high, -low), delta.level, against)


def plain_difference(aggregate: Aggregate, baseline: Aggregate) -> Difference | None:
    """Without an interval: of the means; where seeds failed, of the seeds that both have.

    None where a number is missing, or where the two are of other clocks.
    """
    if aggregate.clock != baseline.clock or aggregate.value is None or baseline.value is None:
        return None
    failed = bool(aggregate.errors or baseline.errors)
    if aggregate.seeded and (failed or aggregate.seeded.keys() == baseline.seeded.keys()):
        return paired_difference(aggregate.seeded, baseline.seeded)
    return difference(aggregate.value, baseline.value)


def _contrast(aggregate: Aggregate, baseline: Aggregate, noise: Noise) -> Contrast | None:
    try:
        return contrast([(1.0, aggregate), (-1.0, baseline)], 0.0, noise)
    except ContrastError:
        return None


def _delta(change: Difference, against: Contrast | None, judged: tuple[Verdict, float] | None) -> Delta:
    if against is None or judged is None:
        return Delta(change, "broken")
    verdict, level = judged
    interval = against.interval(level)
    if interval is None:
        return Delta(change, None if verdict == "within noise" else verdict, contrast=against)
    return Delta(change, verdict, interval, level, against)


def of_twins(contrast: Contrast) -> tuple[Verdict, float]:
    """Of two variants with one graph, which differ by noise alone: nothing is tested."""
    return "same" if contrast.exact or contrast.identical else "within noise", LEVEL


def judged(
    column: Column, contrasts: Mapping[K, Contrast], margin: float | None, rule: Rule = ONCE
) -> dict[K, tuple[Verdict, float]]:
    """Verdict and level of each contrast of one family; exact numbers need no correction."""
    exact = {key: (_direction(column, each.estimate.value), 0.0) for key, each in contrasts.items() if each.exact}
    noisy = {key: each.estimate for key, each in contrasts.items() if not each.exact}
    p_values = {key: error_probability(each, leaves_out_zero) for key, each in noisy.items()}
    differs = holm(p_values, LEVEL, rule.differs, rule.not_different)
    within = {key: tost(each, margin) for key, each in noisy.items()} if margin else {}
    alike = holm(within, LEVEL, rule.alike, rule.not_alike)
    verdicts = dict(exact)
    for key, (rejected, level) in differs.items():
        close: Verdict = "equivalent" if key in alike and alike[key][0] else NOT_SHOWN.get(column.kind, "inconclusive")
        open_verdict: Verdict = "same" if contrasts[key].identical else close
        verdicts[key] = (_direction(column, noisy[key].value) if rejected else open_verdict, level)
    return verdicts


def _direction(column: Column, value: float) -> Verdict:
    if value == 0:
        return "same"
    if column.better is None:
        return "changed"
    return "better" if (value > 0) == (column.better == "higher") else "worse"
