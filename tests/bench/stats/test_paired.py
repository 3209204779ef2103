"""The sequential decision of a paired comparison, by simulation with a fixed seed."""

import math
from collections import Counter

import numpy as np
import pytest

from bench.stats.paired import (
    Noise,
    Rule,
    alike,
    calibrated,
    contrasts,
    decide,
    groups_needed,
    interval,
    noise,
    null_spread,
    nulls,
)

RUNS = 200


def drawn(random, true, spread, groups, tails=math.inf):
    """Log times of shape (groups, side, twin): B is slower by the fraction `true`."""
    shape = (groups, 2, 2)
    logs = spread * (random.normal(size=shape) if math.isinf(tails) else random.standard_t(tails, size=shape))
    logs[:, 1] += math.log1p(true)
    return logs


def outcome(logs, rule):
    """(decision, groups that it took)."""
    for groups in range(rule.least, len(logs) + 1):
        counted = logs[:groups][alike(logs[:groups], rule)]
        decision = decide(interval(counted, rule, groups - len(counted)), rule)
        if decision != "inconclusive":
            return decision, groups
    return "inconclusive", len(logs)


def decisions(true, spread, tails=math.inf, groups=20, slow=0.0):
    """Of so many runs; a fraction of the processes is `slow`, by 10 % for life."""
    random, counts = np.random.default_rng(0), Counter()
    for _ in range(RUNS):
        logs = drawn(random, true, spread, groups, tails)
        logs += math.log(1.1) * (random.random(logs.shape) < slow)
        counts[outcome(logs, Rule())[0]] += 1
    return counts


def test_a_contrast_is_b_less_a_and_a_null_is_the_ratio_of_twins():
    logs = np.array([[[0.1, 0.3], [0.5, 0.9]]])
    assert contrasts(logs) == pytest.approx([0.5])  # (0.5 + 0.9) / 2 - (0.1 + 0.3) / 2
    assert nulls(logs) == pytest.approx(np.array([[0.2, 0.4]]))
    assert null_spread(logs) == pytest.approx(math.sqrt((0.2**2 + 0.4**2) / 2 / 2))


def test_the_noise_counts_contrasts_and_nulls():
    # contrasts 0.02 and 0.04: squares about their mean 2e-4; nulls 0.02 four times: 4 * 4e-4 / 2 = 8e-4
    logs = np.array([[[0, 0.02], [0.02, 0.04]], [[0, 0.02], [0.04, 0.06]]])
    assert noise(logs) == Noise(pytest.approx(math.sqrt(1e-3 / 5 / 2)), 5)


def test_contrasts_that_vary_more_than_twins_are_judged_alone():
    logs = np.zeros((4, 2, 2))
    logs[:, 1] = np.array([-0.3, 0.3, -0.3, 0.3])[:, None]
    logs[:, :, 1] += 1e-4
    assert noise(logs).freedom == 3
    assert noise(logs).error == pytest.approx(np.std([-0.3, 0.3, -0.3, 0.3], ddof=1) / 2)


@pytest.mark.parametrize("tails", [math.inf, 3.0])
@pytest.mark.parametrize("spread", [0.004, 0.01, 0.03])
def test_nothing_changed_is_no_regression_and_no_win(spread, tails):
    counts = decisions(0.0, spread, tails)
    assert counts["regression"] + counts["win"] <= 0.01 * RUNS


@pytest.mark.parametrize(("true", "decision"), [(0.05, "regression"), (-0.05, "win"), (0, "pass")])
def test_some_processes_that_are_slow_for_life_decide_nothing_and_hide_nothing(true, decision):
    counts = decisions(true, 0.004, groups=13, slow=0.03)
    assert counts[decision] >= 0.97 * RUNS
    assert set(counts) <= {decision, "inconclusive"}


def test_groups_with_unlike_twins_are_left_out_where_they_are_rare():
    logs = np.zeros((6, 2, 2))
    logs[:, :, 1] = 0.004
    logs[2, 1, 0] = 0.2
    assert alike(logs, Rule()).tolist() == [True, True, False, True, True, True]
    assert alike(logs[:3], Rule()).all()  # one of three
    logs[2, 1, 0] = 0.03  # a difference of 0.026, less than the tolerance
    assert alike(logs, Rule()).all()


@pytest.mark.parametrize(
    ("true", "decision"), [(0.05, "regression"), (0.10, "regression"), (-0.06, "win"), (0, "pass")]
)
def test_a_difference_beyond_the_tolerance_is_found(true, decision):
    assert decisions(true, 0.007)[decision] >= 0.95 * RUNS


@pytest.mark.parametrize("true", [0.03, 1 / 1.03 - 1])
def test_at_the_tolerance_a_wrong_decision_is_rarer_than_the_error(true):
    counts = decisions(true, 0.01)
    assert counts["regression"] + counts["win"] <= Rule().error * RUNS
    assert counts["pass"] <= Rule().error * RUNS


def test_the_looks_spend_no_more_than_the_error():
    rule = Rule(error=0.04)
    spent = [rule.error_at(groups) for groups in range(rule.least, 1000)]
    assert spent[:3] == pytest.approx([0.02, 0.04 / 6, 0.04 / 12])
    assert sum(spent) < rule.error


def test_before_the_first_look_nothing_is_decided():
    logs = np.zeros((2, 2, 2))
    assert interval(logs, Rule()) == (-math.inf, math.inf)
    assert decide(interval(logs, Rule()), Rule()) == "inconclusive"


def test_equal_values_without_noise_pass_and_a_step_beyond_the_tolerance_does_not():
    logs = np.zeros((3, 2, 2))
    assert decide(interval(logs, Rule()), Rule()) == "pass"
    logs[:, 1] = 0.04
    assert decide(interval(logs, Rule()), Rule()) == "regression"


def test_calibration_says_what_the_run_could_see():
    logs = drawn(np.random.default_rng(1), 0.0, 0.007, 10)
    quiet, loud = calibrated(logs, Rule()), calibrated(4 * logs, Rule())
    assert quiet.false_alarms <= 0.01
    assert 0.03 < quiet.smallest < loud.smallest
    smallest = np.median(
        [calibrated(drawn(np.random.default_rng(s), 0.0, 0.007, 10), Rule()).smallest for s in range(20)]
    )
    seen = [outcome(drawn(np.random.default_rng(s), smallest, 0.007, 10), Rule())[0] for s in range(RUNS)]
    assert seen.count("regression") >= 0.9 * RUNS


def test_how_many_groups_would_decide():
    # standard deviation of a contrast 0.02, the ratio 2 % below the tolerance of 3 %: some groups are needed
    random = np.random.default_rng(0)
    logs = drawn(random, 0.01, 0.02, 4)
    needed = groups_needed(logs, Rule())
    assert needed is not None
    assert needed > 4
    at_the_tolerance = drawn(random, 0.03, 1e-3, 4)
    at_the_tolerance -= at_the_tolerance.mean(axis=(0, 2), keepdims=True)
    at_the_tolerance[:, 1] += math.log1p(0.03)
    assert groups_needed(at_the_tolerance, Rule()) is None
