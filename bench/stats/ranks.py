"""Agreement of an order with another one, where the numbers that are ordered have noise."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from bench.stats.inference import Estimate, Interval, error_probability, holm, leaves_out_zero


@dataclass(frozen=True)
class RankCorrelation:
    """Kendall's tau-b of noisy numbers with fixed ones, less `threshold`.

    `pairs` are the differences of each two numbers, turned so that a positive one agrees with the fixed order, without
    those whose fixed numbers are equal. `scale` is what tau divides their balance by.

    The interval assumes nothing of the pairs but their own: those that are significantly ordered (all together, Holm
    1979) have their sign, and each of the others can have either. So it has the correlation of the true numbers in it
    at least as often as its level says.
    """

    value: float
    pairs: tuple[Estimate, ...]
    scale: float
    threshold: float = 0.0

    @cached_property
    def p_values(self) -> Mapping[int, float]:
        """Of each pair: that its two numbers are equal."""
        return {number: error_probability(pair, leaves_out_zero) for number, pair in enumerate(self.pairs)}

    def ordered(self, level: float) -> int:
        """How many pairs are significantly ordered."""
        return sum(rejected for rejected, _ in holm(self.p_values, level).values())

    def interval(self, level: float) -> Interval:
        rejected = {number: each for number, (each, _) in holm(self.p_values, level).items()}
        signs = [(1 if pair.value > 0 else -1) for number, pair in enumerate(self.pairs) if rejected[number]]
        balance, either = sum(signs), len(self.pairs) - len(signs)
        return (balance - either) / self.scale - self.threshold, (balance + either) / self.scale - self.threshold


def kendall(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Kendall's tau-b of two lists of numbers, and the p-value of one that is as large: of a random order, one-sided.

    The p-value is exact without ties, else by the normal approximation (Kendall 1970, Rank Correlation Methods). nan
    where one of the lists has a single value.
    """
    from scipy.stats import kendalltau

    ties = len(set(one)) < len(one) or len(set(other)) < len(other)
    result = kendalltau(one, other, method="asymptotic" if ties else "exact", alternative="greater")
    return float(result.statistic), float(result.pvalue)


def tau_scale(fixed: Sequence[float]) -> float:
    """What tau-b divides by, where the other numbers have no ties: the geometric mean of all pairs and the untied."""
    pairs = [one != other for one, other in itertools.combinations(fixed, 2)]
    return float((len(pairs) * sum(pairs)) ** 0.5)
