"""What the runs say to each claim of the source: reproduced, contradicted or inconclusive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bench.analysis.estimate import EstimateError, Known, estimate
from bench.spec.claims import Comparison, Operator, Statement, Sum
from bench.stats.inference import LEVEL, Interval, error_probability, holm

if TYPE_CHECKING:
    from bench.analysis.summary import Summary

Answer = Literal["reproduced", "contradicted", "inconclusive", "not evaluated"]


@dataclass(frozen=True)
class Step:
    """One comparison, evaluated. `interval` holds `difference` (left - right) at `level`; None for exact numbers.

    `added` are the constants that the claim adds to what was measured, part of `left` and `right`.
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
class Finding:
    """A claim and what the runs say to it; `reason` where they say nothing."""

    statement: Statement
    answer: Answer
    steps: tuple[Step, ...] = ()
    reason: str = ""


Place = tuple[int, int]
"""The number of a claim, and that of the comparison within it."""


def evaluate(statements: Sequence[Statement], summary: Summary) -> tuple[Finding, ...]:
    """What the table says to each claim.

    Exact numbers decide by themselves. Others are decided by the interval of the difference: seeds and
    evaluation units are paired, and both are taken to be drawn at random (`inference.crossed`); speeds by the
    intervals of their medians. All comparisons that are not exact are one family: with 5 % at most, any of the
    answers "reproduced" and "contradicted" is wrong (Holm). A chain is reproduced if all of it is, and
    contradicted if any of it is.
    """
    known, reasons = _all_known(statements, summary)
    noisy = {place: each for place, each in known.items() if not each.exact}
    errors = {
        (i, j): error_probability(each.estimate, _decides(statements[i].comparisons[j]))
        for (i, j), each in noisy.items()
    }
    levels = {place: level for place, (_, level) in holm(errors, LEVEL).items()}
    return tuple(
        Finding(each, "not evaluated", reason=reasons[i])
        if i in reasons
        else _finding(
            each, [_step(c, known[i, j], levels.get((i, j), 0.0), summary) for j, c in enumerate(each.comparisons)]
        )
        for i, each in enumerate(statements)
    )


def _all_known(statements: Sequence[Statement], summary: Summary) -> tuple[dict[Place, Known], dict[int, str]]:
    """The estimates of the comparisons, and why a claim has none."""
    known: dict[Place, Known] = {}
    reasons = {i: each.problem for i, each in enumerate(statements) if each.problem}
    for i, statement in enumerate(statements):
        try:
            known |= {(i, j): _difference(each, summary) for j, each in enumerate(statement.comparisons)}
        except EstimateError as reason:
            reasons[i] = str(reason)
    return known, reasons


def _decides(comparison: Comparison) -> Callable[[Interval], bool]:
    return lambda interval: comparison.answer(interval) is not None


def _difference(comparison: Comparison, summary: Summary) -> Known:
    return _estimate([(1.0, comparison.left), (-1.0, comparison.right)], summary)


def _estimate(sides: Sequence[tuple[float, Sum]], summary: Summary) -> Known:
    terms = []
    for sign, side in sides:
        for weight, reference in side.terms:
            aggregate = summary.aggregates.get((reference.variant, reference.metric))
            if aggregate is None:
                raise EstimateError(f"{reference.metric} of {reference.variant} is not in the table")
            terms.append((sign * weight, aggregate))
    return estimate(terms, sum(sign * side.constant for sign, side in sides), summary.results.units)


def _finding(statement: Statement, steps: Sequence[Step]) -> Finding:
    order: tuple[Answer, ...] = ("contradicted", "inconclusive", "reproduced")
    answers = {step.answer for step in steps}
    return Finding(statement, next(answer for answer in order if answer in answers), tuple(steps))


def _step(comparison: Comparison, known: Known, level: float, summary: Summary) -> Step:
    interval = known.estimate.interval(level)
    answer = comparison.answer(interval)
    left, right = (_estimate([(1.0, side)], summary).estimate.value for side in (comparison.left, comparison.right))
    return Step(
        left=left,
        operator=comparison.operator,
        right=right,
        metric=(comparison.left.terms or comparison.right.terms)[0][1].metric,
        difference=known.estimate.value,
        interval=None if known.exact else interval,
        level=level,
        basis=known.basis,
        answer="inconclusive" if answer is None else "reproduced" if answer else "contradicted",
        added=(_added(comparison.left), _added(comparison.right)),
    )


def _added(side: Sum) -> float:
    """The constant that stands beside something measured; a constant alone is added to nothing."""
    return side.constant if side.terms else 0.0
