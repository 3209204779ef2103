"""The Pareto front of accuracy against cost: which variants are on it, and which are dominated."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bench.analysis.aggregate import Aggregate, Column
from bench.analysis.contrast import ContrastError, contrast, image_blocks
from bench.analysis.deltas import Delta
from bench.analysis.summary import Summary
from bench.stats.descriptive import mean
from bench.stats.inference import (
    LEVEL,
    Direction,
    Interval,
    believed,
    error_probability,
    holm,
    leaves_out_zero,
    pareto,
    widening,
)
from bench.stats.moderation import Spread
from bench.stats.sequential import single

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Random = np.random.Generator

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
    """Whether a cost differs from the baseline's beyond its noise, or an exact one by LEAST_SPAN between variants.

    True where nothing was tested, such as single samples.
    """
    values = [each.value for each in summary.measured(column.metric) if each.value is not None]
    if by_noise(summary, column):
        return any(delta.verdict in ("better", "worse", "changed") for delta in _deltas(summary, column))
    return len(values) < 2 or max(values) - min(values) >= LEAST_SPAN * max(map(abs, values))


def by_noise(summary: Summary, column: Column) -> bool:
    """Whether `spans` goes by verdicts on differences from the baseline, and not by the values alone."""
    return column.kind == "speed" and any(delta.interval for delta in _deltas(summary, column))


def _deltas(summary: Summary, column: Column) -> list[Delta]:
    return [delta for (_, metric), delta in summary.deltas.items() if metric == column.metric]


@functools.lru_cache(maxsize=4)
def fronts(summary: Summary) -> tuple[Front, ...]:
    """The main score against each cost, and against all of them together where there are several.

    A cost that spans nothing (`spans`) ranks nobody, and is left out.
    """
    score = summary.main()
    costs = [column for column in summary.columns if is_cost(summary, column) and spans(summary, column)]
    if score is None or score.better is None:
        return ()
    together = [tuple(costs)] if len(costs) > 1 else []
    return tuple(front(summary, score, chosen) for chosen in [*((cost,) for cost in costs), *together])


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


DRAWS = 1000
"""Draws of all scores and costs: a probability is exact to 1.6 points."""


def chances(summary: Summary, front: Front) -> dict[str, float]:
    """The probability of each variant to be on the front, were seeds, images and timings drawn anew.

    Each score is drawn about its mean with the moderated variance of its seeds; what blocks of images contribute is
    drawn once for all variants, which are judged on the same images. Noisy costs are drawn with the variance of their
    logarithms. Empty where a spread is not known, or more than MOST_TESTED variants are compared.
    """
    import numpy as np

    objectives, random = (front.score, *front.costs), np.random.default_rng(0)
    if len(front.standings) > MOST_TESTED:
        return {}
    drawn = [_drawn(summary, column, [*front.standings], random) for column in objectives]
    if any(each is None for each in drawn):
        return {}
    signs = [1.0 if _direction(column) == "higher" else -1.0 for column in objectives]
    points = np.stack([sign * each for sign, each in zip(signs, drawn, strict=True) if each is not None], axis=-1)
    on_front = np.ones(points.shape[:2], dtype=bool)
    for rival in range(points.shape[1]):
        other = points[:, rival : rival + 1]
        on_front &= ~((other >= points).all(axis=-1) & (other > points).any(axis=-1))
    return dict(zip(front.standings, on_front.mean(axis=0).tolist(), strict=True))


def _drawn(summary: Summary, column: Column, variants: Sequence[str], random: Random) -> Floats | None:
    """(DRAWS, variants): values of a metric, drawn anew; None where a spread is not known."""
    import numpy as np

    aggregates = [summary.aggregates[variant, column.metric] for variant in variants]
    means = np.array([each.value for each in aggregates], dtype=float)
    if all(each.exact and not each.seeded for each in aggregates):
        return np.tile(means, (DRAWS, 1))
    own = [_spread(summary, each) for each in aggregates]
    known = [each for each in own if each is not None]
    if len(known) < len(own):
        return None
    errors = [(each.variance / each.count) ** 0.5 for each in known]
    noise = np.stack([random.standard_t(each.freedom, DRAWS) * e for each, e in zip(known, errors)], axis=1)
    if not aggregates[0].seeded:
        drawn: Floats = means * np.exp(noise)
        return drawn
    scores: Floats = means + noise + _of_images(summary, aggregates, random)
    return scores


def _spread(summary: Summary, aggregate: Aggregate) -> Spread | None:
    """The spread of a score over seeds, or of the logarithm of a cost over processes; None where it is not known."""
    if not aggregate.seeded:
        return summary.noise.of_process(aggregate)
    return summary.noise.of(aggregate.metric, [aggregate]).groups.get(aggregate.variant)


def _of_images(summary: Summary, aggregates: Sequence[Aggregate], random: Random) -> Floats:
    """(DRAWS, variants): what another draw of images adds to the scores, the same images for all; 0 where not known."""
    import numpy as np

    known = [image_blocks([(1.0, each)], summary.noise.contributions) for each in aggregates]
    blocks = [each[0][1].mean(axis=0) for each in known if each is not None]
    if len(blocks) < len(known) or len({len(each) for each in blocks}) != 1:
        return np.zeros((DRAWS, len(aggregates)))
    centred = np.stack([each - each.mean() for each in blocks], axis=1)
    common = summary.noise.correlations.get(aggregates[0].metric, 0.0)
    wider = widening(believed(common), len(centred)) ** 0.5
    added: Floats = random.normal(size=(DRAWS, len(centred))) @ centred * wider / len(centred)
    return added


def _direction(column: Column) -> Direction:
    return "higher" if column.better == "higher" else "lower"


def _point(summary: Summary, variant: str, objectives: Sequence[Column]) -> tuple[float, ...] | None:
    values = [_coordinate(summary, variant, column) for column in objectives]
    known = tuple(value for value in values if value is not None)
    return known if len(known) == len(objectives) else None


def _coordinate(summary: Summary, variant: str, column: Column) -> float | None:
    """The value by a metric; of a speed the mean over the variants with the same graph, which are equally fast."""
    aggregate = summary.aggregates.get((variant, column.metric))
    if aggregate is None or aggregate.value is None or column.kind != "speed":
        return None if aggregate is None else aggregate.value
    twins = [a for a in summary.measured(column.metric) if summary.noise.one_graph((variant, a.variant))]
    return mean([each.value for each in twins or [aggregate] if each.value is not None])


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
    nominal = summary.looks.rule.differs if summary.looks else single
    return {loser for (_, loser), (rejected, _) in holm(padded, LEVEL, nominal).items() if rejected}


def _p_of_all(summary: Summary, objectives: Sequence[Column], winner: str, loser: str) -> float:
    """The greatest of the p-values; those of the costs only where the score's is small enough."""
    score, *costs = objectives
    p_value = _p_value(summary, score, winner, loser)
    return p_value if p_value > 1 - LEVEL else max(p_value, *(_p_value(summary, c, winner, loser) for c in costs))


def _p_value(summary: Summary, column: Column, winner: str, loser: str) -> float:
    """The p-value of "the winner's score is better", or of "its cost is not greater"; 1 where unknown.

    Variants of one graph are equally fast.
    """
    if column.kind == "speed" and summary.noise.one_graph((winner, loser)):
        return 0.0
    one, other = (summary.aggregates[variant, column.metric] for variant in (winner, loser))
    try:
        difference = contrast([(1.0, one), (-1.0, other)], 0.0, summary.noise)
    except ContrastError:
        return 1.0
    decides: Callable[[Interval], bool] = leaves_out_zero if column.kind == "accuracy" else lambda ends: ends[1] <= 0
    return error_probability(difference.estimate, decides)
