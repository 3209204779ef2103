"""Accuracy against the committed seeds: is what is stored now worse by more than a margin?

Non-inferiority: with `d` the difference now - committed, turned so that more is better,

    same          not inferior: the one-sided 95 % bound of `d` is above -margin
    worse         a regression: all of the interval of `d` is below -margin
    better        a win: all of the interval is above 0
    inconclusive  none of these; the text says how many seeds would decide, where their number matters
    missing       no score now, or none committed
    broken        a seed failed now

A pass is tested for each score by itself, since the gate passes only if all of them do. Regressions and wins are
corrected for their number (Holm 1979), since any of them is reported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bench.analysis.aggregate import Aggregate, Column
from bench.analysis.contrast import Contrast, ContrastError, Noise, contrast, noise_of
from bench.analysis.deltas import margin_of
from bench.analysis.summary import Summary, summarise
from bench.analysis.verdict import Verdict
from bench.gate.expectations import Check
from bench.results.results import Results
from bench.stats.inference import LEVEL, Interval, Student, error_probability, holm, seeds_to_decide

COMMITTED = "committed: "
"""Stands before the names of the committed variants, whose noise is estimated together with that of the others."""
RELATIVE_MARGIN = 0.05
"""Of the committed mean, for a score that is not a fraction of something."""
ONE_SIDED = 2 * LEVEL - 1
"""The level of the two-sided interval whose ends are one-sided bounds at LEVEL."""

Pair = tuple[str, str]
"""(variant, metric)."""


@dataclass(frozen=True)
class Scores:
    """One score now and as committed. `sign` is -1 where lower is better, `margin` in the metric's unit."""

    now: Aggregate
    committed: Aggregate
    contrast: Contrast
    sign: int
    margin: float

    def _p(self, above: float | None = None, below: float | None = None) -> float:
        """The smallest error at which the turned interval is all above, or all below, a number."""

        def decides(ends: Interval) -> bool:
            low, high = ends if self.sign > 0 else (-ends[1], -ends[0])
            return (above is None or low > above) and (below is None or high < below)

        return error_probability(self.contrast.estimate, decides)

    @property
    def p_pass(self) -> float:
        """Of the one-sided test that it is worse by the margin or more."""
        return 0.0 if self.contrast.identical else self._p(above=-self.margin) / 2

    @property
    def p_worse(self) -> float:
        return 1.0 if self.contrast.identical else self._p(below=-self.margin)

    @property
    def p_better(self) -> float:
        return 1.0 if self.contrast.identical else self._p(above=0.0)

    @property
    def seeds_needed(self) -> int | None:
        """Seeds of each side at which the one-sided bound would decide, were difference and spread to stay."""
        estimate = self.contrast.estimate
        if not isinstance(estimate, Student):
            return None
        moved = replace(estimate, value=self.sign * estimate.value + self.margin)
        return seeds_to_decide(moved, self.contrast.seeds, ONE_SIDED)


def accuracy_checks(now: Results, committed: Results, margin: float | None = None) -> list[Check]:
    """A check for each variant and score that either side has or should have. `margin` None: that of the metric."""
    new, old = summarise(now), summarise(committed)
    noise = _noise(new, old)
    columns = {c.metric: c for summary in (old, new) for c in summary.columns if c.kind == "accuracy"}
    pairs = [pair for pair in dict.fromkeys((*new.aggregates, *old.aggregates)) if pair[1] in columns]
    scores: dict[Pair, Scores] = {}
    reasons: dict[Pair, Check] = {}
    for pair in pairs:
        sides = new.aggregates.get(pair), old.aggregates.get(pair)
        try:
            scores[pair] = _scores(*sides, columns[pair[1]], noise, margin)
        except ContrastError as error:
            reasons[pair] = _unjudged(now.name, pair, *sides, str(error))
    verdicts = _verdicts(scores)
    return [reasons.get(pair) or _check(now.name, pair, scores[pair], verdicts[pair]) for pair in pairs]


def _noise(new: Summary, old: Summary) -> Noise:
    """Of both sides together, so that variances borrow strength from all seeds of a metric."""
    renamed = [replace(each, variant=COMMITTED + each.variant) for each in old.aggregates.values()]
    blocks = {(COMMITTED + variant, *rest): each for (variant, *rest), each in old.results.contributions.items()}
    return noise_of([*new.aggregates.values(), *renamed], {**new.results.contributions, **blocks}, {})  # type: ignore[dict-item]


def _scores(
    now: Aggregate | None, committed: Aggregate | None, column: Column, noise: Noise, margin: float | None
) -> Scores:
    if now is None or committed is None:
        raise ContrastError("one side does not have this variant")
    renamed = replace(committed, variant=COMMITTED + committed.variant)
    difference = contrast([(1.0, now), (-1.0, renamed)], 0.0, noise)
    of_metric = margin_of(column, [now, committed]) or RELATIVE_MARGIN * abs(committed.value or 0.0)
    sign = -1 if column.better == "lower" else 1
    return Scores(now, committed, difference, sign, of_metric if margin is None else margin)


def _verdicts(scores: Mapping[Pair, Scores]) -> dict[Pair, Verdict]:
    worse = holm({pair: each.p_worse for pair, each in scores.items()})
    better = holm({pair: each.p_better for pair, each in scores.items()})
    verdicts: dict[Pair, Verdict] = {}
    for pair, each in scores.items():
        passed: Verdict = "same" if each.p_pass <= 1 - LEVEL else "inconclusive"
        verdicts[pair] = "worse" if worse[pair][0] else "better" if better[pair][0] else passed
    return verdicts


def _check(ablation: str, pair: Pair, scores: Scores, verdict: Verdict) -> Check:
    low, high = scores.contrast.estimate.interval(ONE_SIDED)
    difference = scores.contrast.estimate.value
    interval = "" if scores.contrast.identical else f" [{low:+.4g}, {high:+.4g}]"
    needed = scores.seeds_needed if verdict == "inconclusive" else None
    more = f"; {needed} seeds of each side would decide" if needed else ""
    text = f"{_mean(scores.now)}, difference {difference:+.4g}{interval}, margin {scores.margin:.3g}{more}"
    return Check(ablation, *pair, verdict, _mean(scores.committed), text)


def _mean(aggregate: Aggregate) -> str:
    return f"{aggregate.value:.4g} ({aggregate.count} seed{'s' if aggregate.count != 1 else ''})"


def _unjudged(ablation: str, pair: Pair, now: Aggregate | None, committed: Aggregate | None, reason: str) -> Check:
    expected, measured = (
        _mean(each) if each is not None and each.value is not None else None for each in (committed, now)
    )
    failed = now.errors[0][1] if now is not None and now.errors else None
    verdict: Verdict = "broken" if failed else "new" if committed is None else "missing"
    return Check(ablation, *pair, verdict, expected, measured, failed or reason)
