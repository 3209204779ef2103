"""Descriptive statistics: pure functions on samples. Nothing is rounded."""

from __future__ import annotations

import bisect
import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean. Raises ValueError on no values."""
    if not values:
        raise ValueError("the mean of no values")
    return math.fsum(values) / len(values)


def deviation(values: Sequence[float]) -> float | None:
    """The sample standard deviation (n - 1 in the denominator), None for fewer than two values."""
    if len(values) < 2:
        return None
    centre = mean(values)
    return math.sqrt(math.fsum((v - centre) ** 2 for v in values) / (len(values) - 1))


def quantile(values: Sequence[float], fraction: float) -> float:
    """Linear interpolation between order statistics (Hyndman & Fan 1996, type 7).

    Raises ValueError on no values, or a `fraction` outside 0 to 1.
    """
    if not values or not 0 <= fraction <= 1:
        raise ValueError(f"the {fraction} quantile of {len(values)} values")
    ordered = sorted(values)
    place = fraction * (len(ordered) - 1)
    below = math.floor(place)
    if place == below:
        return ordered[below]
    return ordered[below] + (place - below) * (ordered[below + 1] - ordered[below])


def median(values: Sequence[float]) -> float:
    """The middle value. Raises ValueError on no values."""
    return quantile(values, 0.5)


@dataclass(frozen=True)
class Difference:
    """The difference of a variant from the baseline: `value` in the metric's unit.

    `spread` is the sample standard deviation of the paired differences over `pairs` seeds; None
    where there are fewer than two, or where nothing is paired. `relative` is value / baseline,
    None where the baseline is 0.
    """

    value: float
    spread: float | None
    pairs: int
    relative: float | None


def difference(value: float, baseline: float) -> Difference:
    """Of two single numbers."""
    delta = value - baseline
    return Difference(delta, None, 1, delta / abs(baseline) if baseline else None)


def paired_difference(values: Mapping[int, float], baseline: Mapping[int, float]) -> Difference | None:
    """The mean of `values[seed] - baseline[seed]` over the seeds that both have; None without any."""
    shared = sorted(values.keys() & baseline.keys())
    if not shared:
        return None
    deltas = [values[seed] - baseline[seed] for seed in shared]
    reference = mean([baseline[seed] for seed in shared])
    relative = mean(deltas) / abs(reference) if reference else None
    return Difference(mean(deltas), deviation(deltas), len(shared), relative)


def median_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Two order statistics that contain the median with at least this confidence, whatever the distribution.

    The values must be independent. None where there are too few: six for 95 %. Source: the sign test, as in
    Conover 1999, Practical Nonparametric Statistics, section 3.2.
    """
    ordered, rank = sorted(values), _rank(len(values), level)
    return (ordered[rank - 1], ordered[len(values) - rank]) if rank else None


def _rank(count: int, level: float) -> int:
    """The rank from below, and from above, of the values that contain the median; 0 where there are too few."""
    return bisect.bisect_right(_tails(count), (1 - level) / 2)


@functools.lru_cache(maxsize=64)
def _tails(count: int) -> tuple[float, ...]:
    """The probabilities that a fair coin shows heads at most 0, 1, ... times in `count` throws, below one half."""
    return tuple(itertools.accumulate(math.comb(count, rank) / 2**count for rank in range((count + 1) // 2)))
