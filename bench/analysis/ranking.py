"""The agreement of a metric's order with that of published numbers, as a contrast that a claim decides."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from bench.analysis.aggregate import Aggregate, Aggregates
from bench.analysis.contrast import Contrast, ContrastError, Noise, contrast
from bench.spec.claims import Ranking
from bench.stats.inference import LEVEL, Exact
from bench.stats.ranks import RankCorrelation, kendall, tau_scale

STATISTIC = "Kendall's \N{GREEK SMALL LETTER TAU}"


def ranked(ranking: Ranking, aggregates: Aggregates, noise: Noise) -> Contrast:
    """The rank correlation less its threshold. Raises ContrastError where a number is missing, or all are equal."""
    ours = [_aggregate(aggregates, reference.variant, ranking.metric) for reference in ranking.references()]
    published = [number for _, number in ranking.published]
    pairs = [
        contrast([(sign, ours[i]), (-sign, ours[j])], 0.0, noise)
        for i, j in itertools.combinations(range(len(ours)), 2)
        if (sign := float((published[i] > published[j]) - (published[i] < published[j])))
    ]
    tau, p_value = kendall([each.value or 0.0 for each in ours], published)
    if math.isnan(tau):
        raise ContrastError(f"{ranking.metric} is the same for all of the ranked variants, so that they have no order")
    noisy = next((pair for pair in pairs if not pair.exact), None)
    if noisy is None:
        return Contrast(Exact(tau - ranking.threshold), f"exact; {_chance(p_value, ours)}")
    estimate = RankCorrelation(
        tau - ranking.threshold, tuple(pair.estimate for pair in pairs), tau_scale(published), ranking.threshold
    )
    ordered = f"{estimate.ordered(LEVEL)} of {len(pairs)} pairs significantly ordered (Holm)"
    return Contrast(estimate, f"{noisy.basis}; {ordered}; {_chance(p_value, ours)}", noisy.seeds)


def _aggregate(aggregates: Aggregates, variant: str, metric: str) -> Aggregate:
    aggregate = aggregates.get((variant, metric))
    if aggregate is None:
        raise ContrastError(f"{metric} of {variant} is not in the table")
    return aggregate


def _chance(p_value: float, ours: Sequence[Aggregate]) -> str:
    return f"a random order of {len(ours)} variants agrees as well with probability {p_value:.2g}"
