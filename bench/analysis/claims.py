"""What the measurements say about each claim of the source: reproduced, contradicted or inconclusive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.analysis.aggregate import Aggregates
from bench.analysis.contrast import Contrast, ContrastError, Contributions, contrast
from bench.spec.claims import Comparison, Operator, Statement, Sum
from bench.stats.inference import LEVEL, Interval, error_probability, holm

Answer = Literal["reproduced", "contradicted", "inconclusive", "not evaluated"]


@dataclass(frozen=True)
class ComparisonResult:
    """One comparison of a claim, evaluated; `difference` is left - right.

    `interval` is its confidence interval at `level`; None for exact numbers. `added` are the constants that the claim
    adds to what was measured, part of `left` and `right`.
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


@dataclass(frozen=True)
class ClaimResult:
    """A claim and its answer; `reason` where it could not be evaluated."""

    statement: Statement
    answer: Answer
    comparisons: tuple[ComparisonResult, ...] = ()
    reason: str = ""


Place = tuple[int, int]
"""The number of a claim, and that of the comparison within it."""


@dataclass(frozen=True)
class _Data:
    aggregates: Aggregates
    contributions: Contributions

    def contrast(self, sides: Sequence[tuple[float, Sum]]) -> Contrast:
        """The signed sum of the sides. Raises ContrastError where a number is missing."""
        terms = []
        for sign, side in sides:
            for weight, reference in side.terms:
                aggregate = self.aggregates.get((reference.variant, reference.metric))
                if aggregate is None:
                    raise ContrastError(f"{reference.metric} of {reference.variant} is not in the table")
                terms.append((sign * weight, aggregate))
        return contrast(terms, sum(sign * side.constant for sign, side in sides), self.contributions)


def evaluate(
    statements: Sequence[Statement], aggregates: Aggregates, contributions: Contributions
) -> tuple[ClaimResult, ...]:
    """The answer to each claim.

    Exact numbers decide by themselves. Others are decided by the interval of the difference: seeds and blocks of images
    are paired, and both are random samples (`stats.inference.crossed`); speeds by the intervals of their medians. All
    comparisons that are not exact are corrected together: any of the answers "reproduced" and "contradicted" is wrong
    with 5 % at most (Holm 1979). A chain is reproduced if all of it is, and contradicted if any of it is.
    """
    data = _Data(aggregates, contributions)
    contrasts, reasons = _contrasts(statements, data)
    levels = _levels(statements, contrasts)
    results = []
    for i, statement in enumerate(statements):
        if i in reasons:
            results.append(ClaimResult(statement, "not evaluated", reason=reasons[i]))
            continue
        places = [(i, j) for j in range(len(statement.comparisons))]
        decided = zip(statement.comparisons, places, strict=True)
        results.append(_result(statement, [_compared(c, contrasts[p], levels.get(p, 0.0), data) for c, p in decided]))
    return tuple(results)


def _contrasts(statements: Sequence[Statement], data: _Data) -> tuple[dict[Place, Contrast], dict[int, str]]:
    """The contrast of every comparison, and why a claim has none."""
    contrasts: dict[Place, Contrast] = {}
    reasons = {i: each.problem for i, each in enumerate(statements) if each.problem}
    for i, statement in enumerate(statements):
        try:
            pairs = [[(1.0, each.left), (-1.0, each.right)] for each in statement.comparisons]
            contrasts |= {(i, j): data.contrast(sides) for j, sides in enumerate(pairs)}
        except ContrastError as reason:
            reasons[i] = str(reason)
    return contrasts, reasons


def _levels(statements: Sequence[Statement], contrasts: Mapping[Place, Contrast]) -> dict[Place, float]:
    """The level at which each comparison with noise is decided."""
    p_values = {
        (i, j): error_probability(each.estimate, _decides(statements[i].comparisons[j]))
        for (i, j), each in contrasts.items()
        if not each.exact
    }
    return {place: level for place, (_, level) in holm(p_values, LEVEL).items()}


def _decides(comparison: Comparison) -> Callable[[Interval], bool]:
    return lambda interval: comparison.answer(interval) is not None


def _result(statement: Statement, comparisons: Sequence[ComparisonResult]) -> ClaimResult:
    order: tuple[Answer, ...] = ("contradicted", "inconclusive", "reproduced")
    answers = {comparison.answer for comparison in comparisons}
    return ClaimResult(statement, next(answer for answer in order if answer in answers), tuple(comparisons))


def _compared(comparison: Comparison, difference: Contrast, level: float, data: _Data) -> ComparisonResult:
    interval = difference.estimate.interval(level)
    answer = comparison.answer(interval)
    left, right = (data.contrast([(1.0, side)]).estimate.value for side in (comparison.left, comparison.right))
    return ComparisonResult(
        left=left,
        operator=comparison.operator,
        right=right,
        metric=(comparison.left.terms or comparison.right.terms)[0][1].metric,
        difference=difference.estimate.value,
        interval=None if difference.exact else interval,
        level=level,
        basis=difference.basis,
        answer="inconclusive" if answer is None else "reproduced" if answer else "contradicted",
        added=(_added(comparison.left), _added(comparison.right)),
    )


def _added(side: Sum) -> float:
    """The constant that is added to something measured; a constant on its own is added to nothing."""
    return side.constant if side.terms else 0.0
