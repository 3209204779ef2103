from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats.descriptive import deviation, difference, mean, median, median_interval, paired_difference, quantile


def test_mean_and_deviation_by_hand():
    # mean (1 + 2 + 6) / 3 = 3; squared distances 4 + 1 + 9 = 14; 14 / (3 - 1) = 7
    assert mean([1, 2, 6]) == 3
    assert deviation([1, 2, 6]) == pytest.approx(7**0.5, rel=1e-15)


def test_one_value_has_no_deviation():
    assert deviation([4.0]) is None
    assert deviation([]) is None


@pytest.mark.parametrize("share", [0, 0.1, 0.25, 0.5, 0.75, 0.999, 1])
@pytest.mark.parametrize("count", [1, 2, 3, 10, 101])
def test_quantile_agrees_with_numpy(share: float, count: int):
    values = np.random.default_rng(count).normal(size=count).tolist()
    assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)), rel=1e-12, abs=1e-15)


def test_no_values_have_no_mean_and_no_median():
    for function in (mean, median):
        with pytest.raises(ValueError, match=r"no values|0 values"):
            function([])
    with pytest.raises(ValueError, match=r"1\.5 quantile"):
        quantile([1.0], 1.5)


def test_difference_is_paired_by_seed():
    # seed 3 has no partner: deltas are 0.2 - 0.1 and 0.6 - 0.3, baseline mean (0.1 + 0.3) / 2
    found = paired_difference({0: 0.2, 1: 0.6, 3: 9.0}, {0: 0.1, 1: 0.3, 2: 5.0})
    assert found is not None
    assert found.value == pytest.approx(0.2)
    assert found.spread == pytest.approx(deviation([0.1, 0.3]))
    assert found.pairs == 2
    assert found.relative == pytest.approx(1.0)


def test_pairing_removes_what_seeds_share():
    shift = {seed: 10.0 * seed for seed in range(5)}
    found = paired_difference({s: v + 1 for s, v in shift.items()}, shift)
    assert found is not None
    assert (found.value, found.spread) == (1.0, 0.0)


def test_nothing_to_pair():
    assert paired_difference({0: 1.0}, {1: 1.0}) is None


def test_single_numbers():
    assert difference(3.0, 2.0).relative == 0.5
    assert difference(-1.0, -2.0).relative == 0.5
    assert difference(3.0, 0.0).relative is None


def test_an_interval_of_the_median_has_the_sign_test_s_ranks():
    assert median_interval(range(5)) is None  # 2 / 2^5 = 0.0625: even all five hold it with 93.75 % only
    assert median_interval(range(6)) == (0, 5)  # 2 / 2^6 = 0.03
    assert median_interval(range(12)) == (2, 9)  # 2 (1 + 12 + 66) / 2^12 = 0.0386; with 220 more it were 0.146
    assert median_interval([3.0, 1.0, 2.0, 6.0, 5.0, 4.0]) == (1.0, 6.0)
    assert median_interval([]) is None


def test_an_interval_of_the_median_holds_it_as_often_as_it_says():
    random = np.random.default_rng(0)
    draws = random.exponential(size=(2000, 25))
    held = [low <= math.log(2) <= high for low, high in (median_interval(draw.tolist()) for draw in draws)]
    # ranks 8 and 18 of 25 hold the median with 95.7 %; four standard deviations of 2000 training runs are 1.8 %
    assert abs(np.mean(held) - 0.957) < 0.018


VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)
FRACTION = st.floats(0, 1)


@given(VALUES, FRACTION, FRACTION)
def test_a_quantile_is_numpy_s_lies_within_the_values_and_rises_with_its_fraction(values, one, other):
    low, high = (quantile(values, fraction) for fraction in sorted((one, other)))
    slack = 1e-9 * max(map(abs, values))
    assert min(values) - slack <= low <= high + slack
    assert high <= max(values) + slack
    assert quantile(values, one) == pytest.approx(float(np.quantile(values, one)), rel=1e-9, abs=slack)


@given(VALUES, FRACTION, st.randoms())
def test_a_quantile_does_not_depend_on_the_order_and_turns_with_the_sign(values, fraction, random):
    shuffled = random.sample(values, len(values))
    assert quantile(shuffled, fraction) == quantile(values, fraction)
    turned = quantile([-value for value in values], 1 - fraction)
    assert turned == pytest.approx(-quantile(values, fraction), rel=1e-9, abs=1e-9 * max(1, *map(abs, values), 1))


@given(st.lists(st.integers(-100, 100), min_size=6, max_size=60), st.integers(-100, 100))
def test_an_interval_of_the_median_holds_the_median_and_widens_with_its_level(values, shift):
    low, high = median_interval(values)
    assert low <= median(values) <= high
    moved = median_interval([value + shift for value in values])
    assert moved == (low + shift, high + shift)
    wider = median_interval(values, 0.99)
    assert wider is None or (wider[0] <= low and high <= wider[1])
