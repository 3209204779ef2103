"""Differences of a metric from the baseline with intervals and verdicts; the verdicts are corrected together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.aggregate import Aggregate, Column
from bench.analysis.contrast import Contrast, ContrastError, Contributions, contrast
from bench.analysis.verdict import Verdict
from bench.stats.descriptive import Difference, difference, paired_difference
from bench.stats.inference import Interval, error_probability, holm, leaves_out_zero, tost

MARGIN = 0.01
"""Scores that are fractions are equivalent within one point: a paper's table would call them the same."""


@dataclass(frozen=True)
class Delta:
    """A variant's difference from the baseline by one metric.

    `interval` is the confidence interval at `level`, chosen so that all verdicts of the metric together are wrong with
    5 % at most (Holm 1979); None where there is no noise to infer from, or where `contrast` is None. `verdict`:

        same, better, worse, changed   of exact numbers; of seeds where the interval excludes 0
        equivalent                     within `margin_of` by two one-sided tests, which are corrected on their own
        inconclusive                   neither
        broken                         a seed of it, or of the baseline, failed
        missing                        the metric's grid is incomplete, so nothing is inferred
    """

    difference: Difference
    verdict: Verdict | None
    interval: Interval | None = None
    level: float = 0.0
    contrast: Contrast | None = None


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


def deltas(
    column: Column, baseline: Aggregate, others: Sequence[Aggregate], contributions: Contributions
) -> dict[str, Delta]:
    """The differences of a metric, by variant; variants without a number are left out."""
    plain = {each.variant: change for each in others if (change := plain_difference(each, baseline)) is not None}
    if column.kind == "speed":
        return {variant: Delta(change, None) for variant, change in plain.items()}
    if gaps([baseline, *others]):
        return {variant: Delta(change, "missing") for variant, change in plain.items()}
    contrasts = {each.variant: one for each in others if (one := _contrast(each, baseline, contributions))}
    judged = _judged(column, contrasts, margin_of(column, [baseline, *others]))
    return {variant: _delta(change, contrasts.get(variant), judged.get(variant)) for variant, change in plain.items()}


def plain_difference(aggregate: Aggregate, baseline: Aggregate) -> Difference | None:
    """Paired by seed where there are seeds; None where a number is missing, or where the two are of other clocks."""
    if aggregate.clock != baseline.clock:
        return None
    if aggregate.seeded or baseline.seeded:
        return paired_difference(aggregate.seeded, baseline.seeded)
    if aggregate.value is None or baseline.value is None:
        return None
    return difference(aggregate.value, baseline.value)


def _contrast(aggregate: Aggregate, baseline: Aggregate, contributions: Contributions) -> Contrast | None:
    try:
        return contrast([(1.0, aggregate), (-1.0, baseline)], 0.0, contributions)
    except ContrastError:
        return None


def _delta(change: Difference, against: Contrast | None, judged: tuple[Verdict, float] | None) -> Delta:
    if against is None or judged is None:
        return Delta(change, "broken")
    verdict, level = judged
    if against.exact or change.pairs < 2:
        return Delta(change, verdict, contrast=against)
    return Delta(change, verdict, against.estimate.interval(level), level, against)


def _judged(
    column: Column, contrasts: Mapping[str, Contrast], margin: float | None
) -> dict[str, tuple[Verdict, float]]:
    """Verdict and level of each; exact numbers need no correction."""
    exact = {name: (_direction(column, each.estimate.value), 0.0) for name, each in contrasts.items() if each.exact}
    noisy = {name: each.estimate for name, each in contrasts.items() if not each.exact}
    differs = holm({name: error_probability(each, leaves_out_zero) for name, each in noisy.items()})
    alike = holm({name: tost(each, margin) for name, each in noisy.items()}) if margin else {}
    verdicts = dict(exact)
    for name, (rejected, level) in differs.items():
        close: Verdict = "equivalent" if name in alike and alike[name][0] else "inconclusive"
        verdicts[name] = (_direction(column, noisy[name].value) if rejected else close, level)
    return verdicts


def _direction(column: Column, value: float) -> Verdict:
    if value == 0:
        return "same"
    if column.better is None:
        return "changed"
    return "better" if (value > 0) == (column.better == "higher") else "worse"
