"""Scores now against committed ones: non-inferiority within a margin."""

import pytest

from bench.gate.accuracy import accuracy_checks
from bench.gate.expectations import exit_code

COMMITTED = [0.500, 0.502, 0.501]


def judged(results_of, now, committed=COMMITTED, margin=None, metric="miou"):
    sides = (results_of({"net(a=0)": {metric: values}}) for values in (now, committed))
    (check,) = accuracy_checks(*sides, margin)
    return check


def moved(by, spread=0.0):
    return [value + by + spread * sign for value, sign in zip(COMMITTED, (-1, 0, 1), strict=True)]


@pytest.mark.parametrize(
    ("now", "verdict", "code"),
    [
        (COMMITTED, "same", 0),
        (moved(0.0005), "same", 0),
        (moved(-0.004), "same", 0),
        (moved(-0.05), "worse", 1),
        (moved(0.05), "better", 5),
        (moved(-0.01, 0.01), "inconclusive", 3),
    ],
)
def test_a_score_is_compared_with_the_committed_seeds_within_a_margin(results_of, now, verdict, code):
    check = judged(results_of, now)
    assert (check.verdict, exit_code([check])) == (verdict, code)
    assert "margin 0.01" in check.measured


def test_the_margin_decides(results_of):
    assert judged(results_of, moved(-0.05)).verdict == "worse"
    assert judged(results_of, moved(-0.05), margin=0.1).verdict == "same"
    assert judged(results_of, moved(-0.004), margin=0.001).verdict == "worse"


def test_an_open_comparison_says_how_many_seeds_would_decide(results_of):
    text = judged(results_of, moved(0.0, 0.01)).measured
    assert "seeds of each side would decide" in text


def test_one_seed_of_another_value_decides_nothing(results_of):
    assert judged(results_of, [0.51], [0.5]).verdict == "inconclusive"


def test_a_variant_of_one_side_is_missing_or_new(results_of):
    one, both = ({f"net(a={a})": {"miou": COMMITTED} for a in range(count)} for count in (1, 2))
    old, new = results_of(both), results_of(one)
    assert [c.verdict for c in accuracy_checks(new, old)] == ["same", "missing"]
    assert [c.verdict for c in accuracy_checks(old, new)] == ["same", "new"]
