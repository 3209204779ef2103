"""What the measurements say about each claim of the source: reproduced, contradicted or inconclusive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from bench.analysis.aggregate import Aggregates
from bench.analysis.contrast import Contrast, ContrastError, Noise, contrast
from bench.analysis.deltas import Delta
from bench.analysis.ranking import STATISTIC, ranked
from bench.spec.claims import Comparison, Operator, Ranking, Statement, Sum
from bench.stats.inference import LEVEL, Interval, error_probability, has_width, holm
from bench.stats.sequential import Nominal, single

Answer = Literal["reproduced", "contradicted", "inconclusive", "not evaluated"]


@dataclass(frozen=True)
class ComparisonResult:
    """One comparison of a claim, evaluated; `difference` is left - right.

    `interval` is its confidence interval at `level`; None for exact numbers, and where nothing can be inferred. `added`
    are the constants that the claim adds to what was measured, part of `left` and `right`. `planned`: a contrast that
    the table and the answers do not have, decided with the claims' own probability of error. `statistic` is the name of
    what `left` and `right` are where they are not in the metric's unit; empty where they are.
    """

    left: float
    operator: Operator
    right: float
    metric: str
    difference: float
    interval: Interval | None
    level: float
    basis: str
    answer: Answer
    added: tuple[float, float]
    planned: bool = False
    statistic: str = ""


@dataclass(frozen=True)
class ClaimResult:
    """A claim and its answer; `reason` where it could not be evaluated."""

    statement: Statement
    answer: Answer
    comparisons: tuple[ComparisonResult, ...] = ()
    reason: str = ""


Place = tuple[int, int]
"""The number of a claim, and that of the comparison within it."""


Stated = Mapping[tuple[str, str, str], Delta]
"""(metric, variant, other) -> their difference in the table or among the answers, where it has an interval."""


@dataclass(frozen=True)
class _Data:
    aggregates: Aggregates
    noise: Noise
    stated: Stated

    def of(self, comparison: Comparison | Ranking) -> Contrast:
        """Left less right. Raises ContrastError where a number is missing."""
        if isinstance(comparison, Ranking):
            return ranked(comparison, self.aggregates, self.noise)
        return self.contrast([(1.0, comparison.left), (-1.0, comparison.right)])

    def contrast(self, sides: Sequence[tuple[float, Sum]]) -> Contrast:
        """The signed sum of the sides. Raises ContrastError where a number is missing."""
        terms = []
        for sign, side in sides:
            for weight, reference in side.terms:
                aggregate = self.aggregates.get((reference.variant, reference.metric))
                if aggregate is None:
                    raise ContrastError(f"{reference.metric} of {reference.variant} is not in the table")
                terms.append((sign * weight, aggregate))
        return contrast(terms, sum(sign * side.constant for sign, side in sides), self.noise)


def evaluate(
    statements: Sequence[Statement],
    aggregates: Aggregates,
    noise: Noise,
    stated: Stated,
    nominal: Nominal = single,
    earlier: Mapping[Place, ComparisonResult] = MappingProxyType({}),
) -> tuple[ClaimResult, ...]:
    """The answer to each claim.

    Exact numbers decide by themselves. A difference of two variants that the table or an answer states has its interval
    there, and no other (`stated`). What remains are planned contrasts, which are corrected together: any of their
    answers "reproduced" and "contradicted" is wrong with 5 % at most (Holm 1979). A chain is reproduced if all of it
    is, and contradicted if any of it is. At one of several looks, `nominal` gives the level of a test, and `earlier`
    are the comparisons that are not tested now, as an earlier look left them.
    """
    data = _Data(aggregates, noise, stated)
    contrasts, reasons = _contrasts(statements, data)
    shown = _all_shown(statements, contrasts, data)
    own = {place: each for place, each in contrasts.items() if place not in shown and place not in earlier}
    planned = _planned_levels(statements, own, nominal, _others(earlier.values()))
    results = []
    for i, statement in enumerate(statements):
        if i in reasons:
            results.append(ClaimResult(statement, "not evaluated", reason=reasons[i]))
            continue
        places = [(i, j) for j in range(len(statement.comparisons))]
        steps = zip(statement.comparisons, places, strict=True)
        compared = [
            earlier[p]
            if p in earlier
            else replace(
                _compared(c, contrasts[p], shown.get(p) or _at(contrasts[p], planned.get(p, 0.0)), data),
                planned=p in planned,
            )
            for c, p in steps
        ]
        results.append(_result(statement, compared))
    return tuple(results)


@dataclass(frozen=True)
class _Others:
    """The planned contrasts that are not tested now: how many they are, and how many of them are not decided."""

    total: int
    inconclusive: int


def _others(earlier: Iterable[ComparisonResult]) -> _Others:
    answers = [each.answer for each in earlier if each.planned]
    return _Others(len(answers), answers.count("inconclusive"))


@dataclass(frozen=True)
class _Shown:
    """The interval of a comparison, at its level; `noise`: the two have the same graph, so that nothing is decided."""

    interval: Interval
    level: float
    noise: bool = False


def _at(contrast: Contrast, level: float) -> _Shown:
    return _Shown(contrast.estimate.interval(level), level)


def _all_shown(
    statements: Sequence[Statement], contrasts: Mapping[Place, Contrast], data: _Data
) -> dict[Place, _Shown]:
    """What the table or an answer shows of the comparisons that only say which of two variants has more."""
    shown = {place: _shown(statements[place[0]].comparisons[place[1]], data.stated) for place in contrasts}
    return {place: each for place, each in shown.items() if each is not None}


def _shown(comparison: Comparison | Ranking, stated: Stated) -> _Shown | None:
    if isinstance(comparison, Ranking):
        return None
    weights = comparison.weights()
    if comparison.operator == "==" or comparison.left.constant != comparison.right.constant or len(weights) != 2:
        return None
    if sorted(weights.values()) != [-1.0, 1.0]:
        return None
    other, one = sorted(weights, key=lambda reference: weights[reference])
    delta, forward = stated.get((one.metric, one.variant, other.variant)), True
    if delta is None:
        delta, forward = stated.get((one.metric, other.variant, one.variant)), False
    if delta is None or delta.interval is None:
        return None
    low, high = delta.interval
    return _Shown((low, high) if forward else (-high, -low), delta.level, delta.verdict == "within noise")


def _contrasts(statements: Sequence[Statement], data: _Data) -> tuple[dict[Place, Contrast], dict[int, str]]:
    """The contrast of every comparison, and why a claim has none."""
    contrasts: dict[Place, Contrast] = {}
    reasons = {i: each.problem for i, each in enumerate(statements) if each.problem}
    for i, statement in enumerate(statements):
        try:
            contrasts |= {(i, j): data.of(comparison) for j, comparison in enumerate(statement.comparisons)}
        except ContrastError as reason:
            reasons[i] = str(reason)
    return contrasts, reasons


def _planned_levels(
    statements: Sequence[Statement], contrasts: Mapping[Place, Contrast], nominal: Nominal, others: _Others
) -> dict[Place, float]:
    """The level at which each comparison with noise is decided.

    Where scores are looked at several times, what is measured once has a part of the 5 % of its own, by its number.
    """
    p_values = {
        (i, j): error_probability(each.estimate, _decides(statements[i].comparisons[j]))
        for (i, j), each in contrasts.items()
        if not each.exact
    }
    if nominal is single:
        return {place: level for place, (_, level) in holm(p_values, LEVEL).items()}
    total = len(p_values) + others.total
    levels: dict[Place, float] = {}
    scores = {place: p for place, p in p_values.items() if contrasts[place].seeds}
    once = {place: p for place, p in p_values.items() if place not in scores}
    for some, rule, rest, open_rest in ((scores, nominal, others.total, others.inconclusive), (once, single, 0, 0)):
        level = 1 - (1 - LEVEL) * (len(some) + rest) / total if total else LEVEL
        levels |= {place: own for place, (_, own) in holm(some, level, rule, open_rest).items()}
    return levels


def _decides(comparison: Comparison | Ranking) -> Callable[[Interval], bool]:
    return lambda interval: comparison.answer(interval) is not None


def _result(statement: Statement, comparisons: Sequence[ComparisonResult]) -> ClaimResult:
    order: tuple[Answer, ...] = ("contradicted", "inconclusive", "reproduced")
    answers = {comparison.answer for comparison in comparisons}
    return ClaimResult(statement, next(answer for answer in order if answer in answers), tuple(comparisons))


def _compared(comparison: Comparison | Ranking, difference: Contrast, shown: _Shown, data: _Data) -> ComparisonResult:
    answer = None if shown.noise else comparison.answer(shown.interval)
    discrete = isinstance(comparison, Ranking)  # few values are possible, and one of them may be all that is left
    left, right, added = _sides(comparison, difference, data)
    return ComparisonResult(
        left=left,
        operator=comparison.operator,
        right=right,
        metric=comparison.references()[0].metric,
        difference=difference.estimate.value,
        interval=shown.interval if not difference.exact and (discrete or has_width(shown.interval)) else None,
        level=shown.level,
        basis=difference.basis,
        answer="inconclusive" if answer is None else "reproduced" if answer else "contradicted",
        added=added,
        statistic=STATISTIC if discrete else "",
    )


def _sides(
    comparison: Comparison | Ranking, difference: Contrast, data: _Data
) -> tuple[float, float, tuple[float, float]]:
    """The value of each side, and the constants that the claim adds to them."""
    if isinstance(comparison, Ranking):
        return difference.estimate.value + comparison.threshold, comparison.threshold, (0.0, 0.0)
    left, right = (data.contrast([(1.0, side)]).estimate.value for side in (comparison.left, comparison.right))
    return left, right, (_added(comparison.left), _added(comparison.right))


def _added(side: Sum) -> float:
    """The constant that is added to something measured; a constant on its own is added to nothing."""
    return side.constant if side.terms else 0.0
