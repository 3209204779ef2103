from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special, stats

from bench.stats.inference import Student, evaluation_source, holm, leaves_out_zero
from bench.stats.moderation import RETAINED, Spread, moderated, resolution, source_of_means


def draws(random: np.random.Generator, variants: int, seeds: int, spreads=1.0) -> dict[int, list[float]]:
    values = random.normal(size=(variants, seeds)) * np.broadcast_to(spreads, variants)[:, None]
    return dict(enumerate(values.tolist()))


def difference(groups: dict[int, list[float]], spreads, one: int, other: int = 0) -> Student:
    terms = [(1.0, spreads.groups[one]), (-1.0, spreads.groups[other])]
    return Student(float(np.mean(groups[one]) - np.mean(groups[other])), (source_of_means(terms),))


def test_two_groups_borrow_nothing():
    groups = draws(np.random.default_rng(0), 2, 4)
    spreads = moderated(groups)
    assert [each.borrows for each in spreads.groups.values()] == [False, False]
    welch = stats.ttest_ind(groups[1], groups[0], equal_var=False).confidence_interval(0.95)
    assert difference(groups, spreads, 1).interval(0.95) == pytest.approx(tuple(welch))


def test_equal_variances_are_pooled():
    """Variances that differ less than chance would have it: one pooled variance, as in an analysis of variance."""
    base = np.array([-1.0, 0.0, 1.0])
    groups = {i: (base + i).tolist() for i in range(4)}
    spreads = moderated(groups)
    assert spreads.weight == math.inf
    assert [each.variance for each in spreads.groups.values()] == pytest.approx([1.0] * 4)
    dunnett_error = math.sqrt(2 / 3)  # of a difference, from the pooled variance
    estimate = difference(groups, spreads, 1)
    assert (estimate.error, estimate.freedom) == (pytest.approx(dunnett_error), pytest.approx(8))


def test_the_prior_is_smyth_s():
    """Equations of Smyth 2004, section 6.2, written anew: log variances, digamma and trigamma."""
    groups = draws(np.random.default_rng(3), 8, 4, np.linspace(1, 3, 8))
    own = {key: np.var(values, ddof=1) for key, values in groups.items()}
    spreads = moderated(groups)
    assert spreads.different == ()
    logs = np.log(list(own.values())) - special.digamma(1.5) + math.log(1.5)
    excess = logs.var(ddof=1) - special.polygamma(1, 1.5)
    assert excess > 0
    assert special.polygamma(1, spreads.weight / 2) == pytest.approx(excess, rel=1e-6)
    assert spreads.common == pytest.approx(np.mean(list(own.values())))
    for key, each in spreads.groups.items():
        average = (spreads.weight * spreads.common + 3 * own[key]) / (spreads.weight + 3)
        assert each.variance == pytest.approx(average + RETAINED * max(own[key] - average, 0))
        assert each.freedom == pytest.approx(min(spreads.weight + 3, 24))
        assert each.own == pytest.approx(own[key])


def test_unequal_numbers_of_values_count_by_their_degrees_of_freedom():
    groups = {0: [0.0, 1.0], 1: [0.0, 1.0, 2.0, 3.0, 4.0], 2: [5.0, 6.0, 7.0], 3: [9.0]}
    spreads = moderated(groups)
    assert sorted(spreads.groups) == [0, 1, 2]  # one value has no spread
    assert spreads.common == pytest.approx((1 * 0.5 + 4 * 2.5 + 2 * 1.0) / 7)
    assert source_of_means([(1.0, spreads.groups[0]), (-1.0, spreads.groups.get(3))]).freedom == 0


def test_a_variance_from_equal_values_is_that_of_rounding():
    spreads = moderated({0: [2, 2, 2], 1: [3, 3, 3], 2: [5, 5, 5]})
    assert spreads.floor == pytest.approx(1 / 12)
    assert [each.variance for each in spreads.groups.values()] == pytest.approx([1 / 12] * 3)
    exact = np.random.default_rng(0).uniform(0, 1000, 200_000)
    assert (np.round(exact) - exact).var() == pytest.approx(spreads.floor, rel=0.02)


@pytest.mark.parametrize(
    ("values", "step"),
    [([0.25, 0.5, 1.0], 0.25), ([3, 3, 5], 2), ([0.1, 0.1 + 1e-17], 0), ([0.3, 0.1 + 0.2], 0), ([], 0)],
)
def test_the_resolution_is_the_smallest_difference(values: list[float], step: float):
    assert resolution(values) == pytest.approx(step)


@pytest.mark.parametrize("odd", [1, 2])
def test_spreads_far_above_the_others_are_told_apart_and_do_not_hide_each_other(odd: int):
    groups = draws(np.random.default_rng(5), 7, 3, np.array([1.0] * (7 - odd) + [40.0] * odd))
    spreads = moderated(groups)
    assert spreads.different == tuple(range(7 - odd, 7))
    alone = moderated({key: groups[key] for key in range(7 - odd)})
    assert spreads.common == pytest.approx(alone.common)
    assert all(spreads.groups[key] == alone.groups[key] for key in alone.groups)
    diverged = spreads.groups[6]
    assert (diverged.variance, diverged.freedom, diverged.borrows) == (diverged.own, 2, False)


def test_borrowed_variances_are_not_counted_twice():
    one = Spread(2.0, 12.0, 3, 1.0, True)
    own = Spread(2.0, 2.0, 3, 2.0, False)
    assert source_of_means([(1.0, one), (-1.0, one)]).freedom == pytest.approx(12)
    assert source_of_means([(1.0, own), (-1.0, own)]).freedom == pytest.approx(4)  # Welch: two of two


SIMULATED = 700
"""Tables for each line: enough to see an error of 9 % where 5 % is promised; tests/perf has ten times as many."""


def simulated(variants: int, seeds: int, spreads, blocks: int = 0, skewed: bool = False) -> tuple[float, float]:
    """Coverage of the 95 % intervals, and how often a table with no difference has a false verdict (Holm)."""
    random = np.random.default_rng([variants, seeds, blocks])
    covered, wrong = [], 0
    for _ in range(SIMULATED):
        sizes = np.exp(spreads * random.normal(size=variants))
        values = sizes[:, None] * random.normal(size=(variants, seeds))
        images = np.zeros((variants, seeds, 0))
        if blocks:
            noise = (
                (lambda *size: random.gamma(1, size=size) - 1) if skewed else (lambda *size: random.normal(size=size))
            )
            images = math.sqrt(blocks) * noise(variants, 1, blocks) + noise(variants, seeds, blocks)
            values = values + images.mean(axis=2)
        groups = dict(enumerate(values.tolist()))
        spread = moderated(groups)
        estimates = [difference(groups, spread, i) for i in range(1, variants)]
        if blocks:
            of_images = [evaluation_source([(1.0, images[i]), (-1.0, images[0])]) for i in range(1, variants)]
            estimates = [Student(e.value, (*e.sources, s)) for e, s in zip(estimates, of_images, strict=True)]
        covered += [not leaves_out_zero(each.interval(0.95)) for each in estimates]
        wrong += any(leaves_out_zero(each.interval(1 - 0.05 / len(estimates))) for each in estimates)
    return float(np.mean(covered)), wrong / SIMULATED


@pytest.mark.parametrize(
    ("variants", "seeds", "spreads", "blocks", "skewed"),
    [(2, 3, 0, 0, False), (6, 3, 0, 0, False), (6, 3, 0.5, 0, False), (11, 5, 0.5, 0, False),
     (2, 3, 0, 10, False), (6, 3, 0, 10, False), (6, 3, 0.3, 22, True)],
)  # fmt: skip
def test_intervals_hold_the_truth_and_verdicts_are_rarely_wrong(variants, seeds, spreads, blocks, skewed):
    coverage, error = simulated(variants, seeds, spreads, blocks, skewed)
    assert 0.93 <= coverage <= 0.975
    assert error <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / SIMULATED)


def test_power_is_several_times_that_of_each_pair_alone():
    """Three seeds of standard deviation 1, five comparisons, one difference of 3.6 standard deviations."""
    random = np.random.default_rng(1)
    borrowed = alone = 0
    for _ in range(400):
        groups = draws(random, 6, 3)
        groups[5] = [value + 0.05 / 0.014 for value in groups[5]]
        spreads = moderated(groups)
        estimates = {i: difference(groups, spreads, i) for i in range(1, 6)}
        p = {i: 2 * stats.t.sf(abs(e.value) / e.error, e.freedom) for i, e in estimates.items()}
        borrowed += holm(p)[5][0]
        pairs = np.array([np.subtract(groups[i], groups[0]) for i in range(1, 6)])
        p = dict(enumerate(stats.ttest_1samp(pairs, 0, axis=1).pvalue, 1))
        alone += holm(p)[5][0]
    assert borrowed / 400 > 0.65
    assert alone / 400 < 0.3


def test_counts_that_do_not_vary_are_rarely_called_different():
    """Scores rounded to whole numbers, of one distribution, with two or three seeds."""
    random = np.random.default_rng(2)
    for seeds in (2, 3):
        wrong = 0
        for _ in range(600):
            groups = dict(enumerate(np.round(0.5 + 0.3 * random.normal(size=(2, seeds))).tolist()))
            if groups[0] != groups[1]:
                wrong += leaves_out_zero(difference(groups, moderated(groups), 1).interval(0.95))
        assert wrong / 600 < 0.05
