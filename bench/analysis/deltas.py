"""What a metric's differences from the baseline allow to be said: a family of intervals and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench.analysis.estimate import EstimateError, Known, estimate
from bench.stats.descriptive import Difference, difference, paired_difference
from bench.stats.inference import Interval, error_probability, holm, leaves_out_zero, tost

if TYPE_CHECKING:
    from bench.analysis.estimate import Units
    from bench.analysis.summary import Aggregate, Column

Verdict = Literal["same", "better", "worse", "changed", "equivalent", "inconclusive", "broken", "missing"]

MARGIN = 0.01
"""Scores that are shares are equivalent within one point: what a paper's table would call the same."""


@dataclass(frozen=True)
class Delta:
    """A variant's difference from the baseline by one metric.

    `interval` holds the difference at `level`, so high that the verdicts of the metric's whole family are wrong
    with 5 % at most (Holm); None where there is no noise to infer from, or where `known` is None. `verdict`:

        same, better, worse, changed   of exact numbers; of seeds where the interval leaves out 0
        equivalent                     within `margin` by two one-sided tests, which have a family of their own
        inconclusive                      neither
        broken                         a seed of it, or of the baseline, failed
        missing                        the metric's grid is incomplete, so nothing is inferred
    """

    difference: Difference
    verdict: Verdict | None
    interval: Interval | None = None
    level: float = 0.0
    known: Known | None = None


def margin_of(column: Column, aggregates: Sequence[Aggregate]) -> float | None:
    """How far a score may be off and still count as equivalent; None for what is no fraction of something.

    A share is better higher, has no unit and only values from 0 to 1: a distance between distributions has no unit
    either, and what is the same there, nobody has said.
    """
    plain = column.kind == "accuracy" and column.better == "higher" and column.unit in ("", "1")
    return (
        MARGIN if plain and all(0 <= value <= 1 for aggregate in aggregates for _, value in aggregate.samples) else None
    )


def gaps(aggregates: Sequence[Aggregate]) -> int:
    """How many results of a metric were asked for and are not there: with any, nothing is inferred."""
    return sum(len(aggregate.missing) for aggregate in aggregates)


def deltas(column: Column, baseline: Aggregate, others: Sequence[Aggregate], units: Units) -> dict[str, Delta]:
    """The differences of a metric, by variant; those without any number are left out."""
    plain = {
        aggregate.variant: found for aggregate in others if (found := plain_difference(aggregate, baseline)) is not None
    }
    if column.kind == "speed":
        return {variant: Delta(found, None) for variant, found in plain.items()}
    if gaps([baseline, *others]):
        return {variant: Delta(found, "missing") for variant, found in plain.items()}
    known = {
        aggregate.variant: each for aggregate in others if (each := _known(aggregate, baseline, units)) is not None
    }
    judged = _judged(column, known, margin_of(column, [baseline, *others]))
    return {variant: _delta(found, known.get(variant), judged.get(variant)) for variant, found in plain.items()}


def plain_difference(aggregate: Aggregate, baseline: Aggregate) -> Difference | None:
    """Paired by seed where there are seeds; None where a number is missing."""
    if aggregate.seeded or baseline.seeded:
        return paired_difference(aggregate.seeded, baseline.seeded)
    if aggregate.value is None or baseline.value is None:
        return None
    return difference(aggregate.value, baseline.value)


def _known(aggregate: Aggregate, baseline: Aggregate, units: Units) -> Known | None:
    try:
        return estimate([(1.0, aggregate), (-1.0, baseline)], 0.0, units)
    except EstimateError:
        return None


def _delta(found: Difference, known: Known | None, judged: tuple[Verdict, float] | None) -> Delta:
    if known is None or judged is None:
        return Delta(found, "broken")
    verdict, level = judged
    if known.exact or found.pairs < 2:
        return Delta(found, verdict, known=known)
    return Delta(found, verdict, known.estimate.interval(level), level, known)


def _judged(column: Column, known: Mapping[str, Known], margin: float | None) -> dict[str, tuple[Verdict, float]]:
    """Verdict and level of each; exact numbers need no family."""
    exact = {name: (_direction(column, each.estimate.value), 0.0) for name, each in known.items() if each.exact}
    noisy = {name: each.estimate for name, each in known.items() if not each.exact}
    differs = holm({name: error_probability(each, leaves_out_zero) for name, each in noisy.items()})
    alike = holm({name: tost(each, margin) for name, each in noisy.items()}) if margin else {}
    told = dict(exact)
    for name, (rejected, level) in differs.items():
        close: Verdict = "equivalent" if name in alike and alike[name][0] else "inconclusive"
        told[name] = (_direction(column, noisy[name].value) if rejected else close, level)
    return told


def _direction(column: Column, value: float) -> Verdict:
    if value == 0:
        return "same"
    if column.better is None:
        return "changed"
    return "better" if (value > 0) == (column.better == "higher") else "worse"
