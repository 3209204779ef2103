"""Levels of tests at several looks: what they spend together, on normal data and with Holm's correction."""

import numpy as np
import pytest
from scipy import stats

from bench.stats.inference import holm
from bench.stats.sequential import Look, nominal_levels, spent

SIZES = (3, 5, 8, 10)


def crossed(sizes, levels, draws=200_000):
    """How often the mean of standard normal values is significant at any of the looks."""
    random, before, total = np.random.default_rng(0), 0, np.zeros(draws)
    ever = np.zeros(draws, dtype=bool)
    for size, level in zip(sizes, levels, strict=True):
        total += random.normal(0, np.sqrt(size - before), draws)
        ever |= np.abs(total) / np.sqrt(size) > stats.norm.isf(level / 2)
        before = size
    return ever.mean()


@pytest.mark.parametrize("sizes", [SIZES, (2, 3), (3, 10), tuple(range(2, 12))])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_all_looks_together_err_with_the_probability_that_is_spent(sizes, alpha):
    levels = nominal_levels(sizes, alpha)
    assert crossed(sizes, levels) == pytest.approx(alpha, abs=4 * np.sqrt(alpha / 200_000))
    assert crossed(sizes, [alpha] * len(sizes)) > 1.1 * alpha


def test_the_first_look_spends_little_and_the_last_has_most():
    levels = nominal_levels(SIZES, 0.05)
    assert levels[0] == pytest.approx(spent(0.05, 0.3), rel=1e-9)
    assert levels[0] == pytest.approx(2 * stats.norm.sf(1.959964 / np.sqrt(0.3)), rel=1e-5)
    assert list(levels) == sorted(levels)
    assert 0.035 < levels[-1] < 0.05
    assert spent(0.05, 1.0) == pytest.approx(0.05)


def test_a_smaller_probability_of_error_has_a_smaller_level_at_every_look():
    alphas = [0.05 / comparisons for comparisons in (1, 2, 5, 20, 100)]
    levels = np.array([nominal_levels(SIZES, alpha) for alpha in alphas])
    assert (np.diff(levels, axis=0) < 0).all()
    assert (levels > 0).all()


def test_a_one_sided_test_has_half_the_level_of_twice_the_probability():
    look = Look(SIZES, 2)
    assert look.one_sided(0.05) == look.nominal(0.1) / 2
    assert (look.size, look.is_last, Look(SIZES, 3).is_last) == (8, False, True)


def test_holm_counts_the_hypotheses_that_are_not_tested_at_this_look():
    look = Look(SIZES, 1)
    results = holm({"a": 1e-9, "b": 0.9}, 0.95, look.nominal, others=2)
    assert results["a"] == (True, 1 - look.nominal(0.05 / 4))
    assert results["b"] == (False, 1 - look.nominal(0.05 / 3))
    assert holm({"a": 0.04}) == {"a": (True, 0.95)}
