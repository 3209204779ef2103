"""Which variants are on the Pareto front of accuracy against cost, and which are surely not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.analysis.estimate import EstimateError, estimate
from bench.analysis.summary import Column, Summary
from bench.stats.inference import LEVEL, Direction, Interval, error_probability, holm, leaves_out_zero, pareto

Standing = Literal["front", "inconclusive", "dominated"]


@dataclass(frozen=True)
class Front:
    """Where each variant stands that has the score and all the `costs`.

    front       by the means, no other variant is as good in all and better in one; equals are both on it
    dominated   another is surely more accurate at surely no greater cost: both intervals say so, at the level
                that makes any wrong "dominated" in the front 5 % likely at most (Holm over all pairs)
    inconclusive   behind the front by the means, but not surely
    """

    score: Column
    costs: tuple[Column, ...]
    standings: Mapping[str, Standing]


def is_cost(summary: Summary, column: Column) -> bool:
    """Whether accuracy can be set against it: measured without training, and better lower."""
    return column.kind in ("static", "speed") and column.better == "lower" and bool(summary.measured(column.metric))


def fronts(summary: Summary) -> list[Front]:
    """The main score against each cost, and against all of them together where there are several."""
    score, costs = summary.main(), [column for column in summary.columns if is_cost(summary, column)]
    if score is None or score.better is None:
        return []
    together = [tuple(costs)] if len(costs) > 1 else []
    return [front(summary, score, chosen) for chosen in [*((cost,) for cost in costs), *together]]


def front(summary: Summary, score: Column, costs: Sequence[Column]) -> Front:
    """Where the variants stand by this score and these costs."""
    objectives = (score, *costs)
    points = {v: point for v in summary.results.variants if (point := _point(summary, v, objectives)) is not None}
    first = pareto(points, [_direction(column) for column in objectives])
    beaten = _beaten(summary, objectives, points) - set(first)
    places: dict[str, Standing] = {v: "dominated" if v in beaten else "inconclusive" for v in points}
    return Front(score, tuple(costs), places | dict.fromkeys(first, "front"))


def _direction(column: Column) -> Direction:
    return "higher" if column.better == "higher" else "lower"


def _point(summary: Summary, variant: str, objectives: Sequence[Column]) -> tuple[float, ...] | None:
    aggregates = [summary.aggregates.get((variant, column.metric)) for column in objectives]
    values = [aggregate.value for aggregate in aggregates if aggregate is not None and aggregate.value is not None]
    return tuple(values) if len(values) == len(objectives) else None


def _beaten(summary: Summary, objectives: Sequence[Column], points: Mapping[str, Sequence[float]]) -> set[str]:
    """The variants that some other surely dominates; of two, only the one whose score is greater can."""
    better = [_direction(column) for column in objectives]
    errors: dict[tuple[str, str], float] = {}
    for winner in points:
        for loser in points:
            both = {winner: points[winner], loser: points[loser]}
            if winner != loser and pareto(both, better) == (winner,):
                errors[winner, loser] = _error_of_all(summary, objectives, winner, loser)
    possible = len(points) * (len(points) - 1) // 2
    padded = errors | {("", str(i)): 1.0 for i in range(possible - len(errors))}
    return {loser for (_, loser), (sure, _) in holm(padded).items() if sure}


def _error_of_all(summary: Summary, objectives: Sequence[Column], winner: str, loser: str) -> float:
    """The greatest of the error probabilities; those of the costs only where the score's is small enough."""
    score, *costs = objectives
    error = _error(summary, score, winner, loser)
    return error if error > 1 - LEVEL else max(error, *(_error(summary, cost, winner, loser) for cost in costs))


def _error(summary: Summary, column: Column, winner: str, loser: str) -> float:
    """The error probability of "the winner's score is better", or of "its cost is not greater"; 1 where unknown."""
    aggregates = [summary.aggregates[variant, column.metric] for variant in (winner, loser)]
    try:
        known = estimate([(1.0, aggregates[0]), (-1.0, aggregates[1])], 0.0, summary.results.units)
    except EstimateError:
        return 1.0
    decides: Callable[[Interval], bool] = leaves_out_zero if column.kind == "accuracy" else lambda found: found[1] <= 0
    return error_probability(known.estimate, decides)
