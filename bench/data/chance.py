"""The scores that a network without information about the classes reaches by chance."""

from __future__ import annotations

import math


def chance_interval(clusters: int, chance: float, level: float = 0.95) -> tuple[float, float]:
    """The central interval of the fraction of right ones among `clusters` independent trials of probability `chance`.

    A trial is a cluster of pixels whose answers may depend on each other, such as an object in all its twin images;
    clusters are independent and have about as many pixels each. Of all ways in which the pixels of a cluster can
    depend on each other, "all right or all wrong" has the largest variance, and the interval
    assumes it. With pixels as trials it would be many times too narrow. Either tail outside holds at most
    (1 - level) / 2. Source: quantiles of the binomial distribution. Raises ValueError for no cluster.
    """
    if clusters < 1 or not 0 < chance < 1 or not 0 < level < 1:
        raise ValueError(f"{clusters} clusters at chance {chance} and level {level} make no interval")
    logs = [_log_probability(k, clusters, chance) for k in range(clusters + 1)]
    tail = (1 - level) / 2
    return _quantile(logs, tail) / clusters, 1 - _quantile(logs[::-1], tail) / clusters


def _log_probability(right: int, clusters: int, chance: float) -> float:
    ways = math.lgamma(clusters + 1) - math.lgamma(right + 1) - math.lgamma(clusters - right + 1)
    return ways + right * math.log(chance) + (clusters - right) * math.log1p(-chance)


def _quantile(logs: list[float], tail: float) -> int:
    """The least k such that more than `tail` lies at 0..k."""
    below = 0.0
    for k, log in enumerate(logs):
        below += math.exp(log)
        if below > tail:
            return k
    return len(logs) - 1
