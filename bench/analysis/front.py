"""The Pareto front of accuracy against cost: which variants are on it, and which are dominated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.analysis.aggregate import Column
from bench.analysis.contrast import ContrastError, contrast
from bench.analysis.summary import Summary
from bench.stats.inference import LEVEL, Direction, Interval, error_probability, holm, leaves_out_zero, pareto

Standing = Literal["front", "inconclusive", "dominated", "not on the front"]

MOST_TESTED = 50
"""With more variants the pairs are not tested: their number grows with the square, and Holm's correction with it."""


@dataclass(frozen=True)
class Front:
    """The standing of each variant that has the score and all the `costs`.

    front         by the means, no other variant is as good in all and better in one; equals are both on it
    dominated     another variant is more accurate at no greater cost: both confidence intervals exclude the opposite,
                  at the level at which any wrong "dominated" is 5 % likely at most (Holm over all pairs)
    inconclusive  not on the front by the means, and not dominated

    Of more than MOST_TESTED variants no pairs are tested, and the others are `not on the front` by the means.
    """

    score: Column
    costs: tuple[Column, ...]
    standings: Mapping[str, Standing]

    @property
    def tested(self) -> bool:
        """Whether it was tested which variants are dominated."""
        return "not on the front" not in self.standings.values()


def is_cost(summary: Summary, column: Column) -> bool:
    """Whether accuracy can be plotted against it: measured without training, and better lower."""
    return column.kind in ("static", "speed") and column.better == "lower" and bool(summary.measured(column.metric))


LEAST_SPAN = 0.01
"""Exact costs that differ by less than this fraction of the largest are no trade-off."""


def spans(summary: Summary, column: Column) -> bool:
    """Whether a cost differs between variants by more than its noise, or an exact one by more than LEAST_SPAN.

    True where nothing was tested, such as single samples.
    """
    values = [each.value for each in summary.measured(column.metric) if each.value is not None]
    deltas = [delta for (_, metric), delta in summary.deltas.items() if metric == column.metric]
    if column.kind == "speed" and any(delta.interval for delta in deltas):
        return any(delta.verdict in ("better", "worse", "changed") for delta in deltas)
    return len(values) < 2 or max(values) - min(values) >= LEAST_SPAN * max(map(abs, values))


def fronts(summary: Summary) -> list[Front]:
    """The main score against each cost, and against all of them together where there are several.

    A cost that spans nothing (`spans`) ranks nobody, and is left out.
    """
    score = summary.main()
    costs = [column for column in summary.columns if is_cost(summary, column) and spans(summary, column)]
    if score is None or score.better is None:
        return []
    together = [tuple(costs)] if len(costs) > 1 else []
    return [front(summary, score, chosen) for chosen in [*((cost,) for cost in costs), *together]]


def front(summary: Summary, score: Column, costs: Sequence[Column]) -> Front:
    """The standing of each variant by this score and these costs."""
    objectives = (score, *costs)
    points = {v: point for v in summary.results.variants if (point := _point(summary, v, objectives)) is not None}
    first = pareto(points, [_direction(column) for column in objectives])
    if len(points) > MOST_TESTED:
        rest: dict[str, Standing] = dict.fromkeys(points, "not on the front")
        return Front(score, tuple(costs), rest | dict.fromkeys(first, "front"))
    beaten = _beaten(summary, objectives, points) - set(first)
    standings: dict[str, Standing] = {v: "dominated" if v in beaten else "inconclusive" for v in points}
    return Front(score, tuple(costs), standings | dict.fromkeys(first, "front"))


def _direction(column: Column) -> Direction:
    return "higher" if column.better == "higher" else "lower"


def _point(summary: Summary, variant: str, objectives: Sequence[Column]) -> tuple[float, ...] | None:
    aggregates = [summary.aggregates.get((variant, column.metric)) for column in objectives]
    values = [each.value for each in aggregates if each is not None and each.value is not None]
    return tuple(values) if len(values) == len(objectives) else None


def _beaten(summary: Summary, objectives: Sequence[Column], points: Mapping[str, Sequence[float]]) -> set[str]:
    """The variants that another one dominates; of two, only the one with the higher score can dominate."""
    better = [_direction(column) for column in objectives]
    p_values: dict[tuple[str, str], float] = {}
    for winner in points:
        for loser in points:
            both = {winner: points[winner], loser: points[loser]}
            if winner != loser and pareto(both, better) == (winner,):
                p_values[winner, loser] = _p_of_all(summary, objectives, winner, loser)
    possible = len(points) * (len(points) - 1) // 2
    padded = p_values | {("", str(i)): 1.0 for i in range(possible - len(p_values))}
    return {loser for (_, loser), (rejected, _) in holm(padded).items() if rejected}


def _p_of_all(summary: Summary, objectives: Sequence[Column], winner: str, loser: str) -> float:
    """The greatest of the p-values; those of the costs only where the score's is small enough."""
    score, *costs = objectives
    p_value = _p_value(summary, score, winner, loser)
    return p_value if p_value > 1 - LEVEL else max(p_value, *(_p_value(summary, c, winner, loser) for c in costs))


def _p_value(summary: Summary, column: Column, winner: str, loser: str) -> float:
    """The p-value of "the winner's score is better", or of "its cost is not greater"; 1 where unknown."""
    one, other = (summary.aggregates[variant, column.metric] for variant in (winner, loser))
    try:
        difference = contrast([(1.0, one), (-1.0, other)], 0.0, summary.noise)
    except ContrastError:
        return 1.0
    decides: Callable[[Interval], bool] = leaves_out_zero if column.kind == "accuracy" else lambda ends: ends[1] <= 0
    return error_probability(difference.estimate, decides)
