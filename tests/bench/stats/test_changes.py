"""Change points of made-up series."""

import math

import numpy as np
import pytest

from bench.stats.changes import MissingLibraryError, changes, exact_changes


def test_a_number_without_noise_changes_where_it_differs():
    assert exact_changes([5, 5, 6, 6, 5]) == [2, 4]
    assert exact_changes([5]) == exact_changes([]) == []


@pytest.mark.parametrize("at", [3, 10, 17])
def test_a_step_in_noise_is_placed(at):
    noise = np.random.default_rng(1).normal(0, 0.005, 20)
    assert changes(noise + 0.05 * (np.arange(20) >= at)) == [at]


def test_two_steps_are_two_changes():
    noise = np.random.default_rng(0).normal(0, 0.005, 24)
    assert changes(noise + 0.05 * (np.arange(24) >= 8) - 0.05 * (np.arange(24) >= 16)) == [8, 16]


def test_a_step_without_any_noise_is_placed():
    assert changes([1.0] * 5 + [1.1] * 5) == [5]
    assert changes([1.0] * 10) == []


def test_few_points_have_no_change():
    assert changes([1.0, 1.0, 1.0, 2.0, 2.0]) == []


@pytest.mark.parametrize("kind", ["normal", "heavy tails", "two levels"])
def test_noise_alone_rarely_has_a_change_point(kind):
    random = np.random.default_rng(0)
    draws = {
        "normal": lambda: random.normal(size=20),
        "heavy tails": lambda: random.standard_t(3, size=20),
        "two levels": lambda: 0.3 * random.normal(size=20) + random.choice([0.0, 1.5], size=20),
    }
    wrong = sum(bool(changes(draws[kind]())) for _ in range(60))
    assert wrong <= 6  # 0.06 of 60, and twice its standard error


def test_a_missing_library_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ruptures", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'fovbench\[history\]'"):
        changes([math.sin(place) for place in range(10)])
