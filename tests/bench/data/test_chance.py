from __future__ import annotations

import pytest
from scipy.stats import binom

from bench.data.chance import chance_interval


@pytest.mark.parametrize("clusters", [1, 7, 40, 256, 5000])
@pytest.mark.parametrize("chance", [0.5, 1 / 3, 0.9])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_ends_are_the_quantiles_of_the_binomial_distribution(clusters, chance, level):
    low, high = chance_interval(clusters, chance, level)
    tail = (1 - level) / 2
    counts = binom(clusters, chance)
    k, m = round(low * clusters), round(high * clusters)
    assert counts.cdf(k - 1) <= tail < counts.cdf(k)
    assert counts.sf(m) <= tail < counts.sf(m - 1)
    assert 0 <= low < chance < high <= 1 or clusters == 1


@pytest.mark.parametrize("wrong", [(0, 0.5, 0.95), (5, 1.0, 0.95), (5, 0.5, 0.0)])
def test_what_makes_no_interval_is_refused(wrong):
    with pytest.raises(ValueError, match="make no interval"):
        chance_interval(*wrong)
