"""Shapley values: against the definition over all orders, their sum, their intervals, and where there are none."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

import bench
from bench.analysis.factorial import EffectsError, design_of
from bench.analysis.shapley import shapley, shapley_frame, shapley_weights
from bench.analysis.summary import summarise
from bench.report.page import page_of
from bench.report.render import markdown_of

AXES = "abc"


def name_of(values) -> str:
    return f"net({','.join(f'{axis}={value}' for axis, value in zip(AXES, values, strict=False))})"


def mean(values) -> float:
    """Two components that only help together, and one that helps alone."""
    a, b, *c = [int(value) for value in (*values, 0)[: max(2, len(values))]]
    return 0.3 + 0.2 * a * b + 0.1 * sum(c) + 0.03 * a * sum(c)


@pytest.fixture
def results_over(results_of):
    def make(count=3, noise=0.0, skip=(), levels="01", seed=0):
        random = np.random.default_rng(seed)
        combinations = [values for values in itertools.product(levels, repeat=count) if values not in skip]
        table = {name_of(v): {"miou": list(mean(v) + noise * random.normal(size=4))} for v in combinations}
        return replace(results_of(table), varied=tuple(AXES[:count]), main="miou")

    return make


def over_orders(count: int) -> dict[str, float]:
    """By the definition: the mean of what each axis adds, over all orders."""
    totals = dict.fromkeys(AXES[:count], 0.0)
    for order in itertools.permutations(range(count)):
        values = ["0"] * count
        for axis in order:
            before, values[axis] = mean(values), "1"
            totals[AXES[axis]] += mean(values) - before
    return {axis: total / math.factorial(count) for axis, total in totals.items()}


@pytest.mark.parametrize("count", [2, 3])
def test_values_are_those_of_the_definition_and_add_up_to_the_whole(results_over, count):
    summary = summarise(results_over(count, noise=1e-6))
    components = shapley(summary, summary.column("miou"))
    assert {each.axis: each.value for each in components} == pytest.approx(over_orders(count), abs=1e-5)
    whole = (
        summary.aggregates[name_of("1" * count), "miou"].value - summary.aggregates[name_of("0" * count), "miou"].value
    )
    assert sum(each.value for each in components) == pytest.approx(whole, abs=1e-12)
    assert sum(each.fraction for each in components) == pytest.approx(1)


def test_the_weights_of_three_axes_are_exact(results_over):
    design = design_of(summarise(results_over(3)))
    weights = shapley_weights(design, "a")
    assert weights[name_of("100")] == pytest.approx(1 / 3)
    assert weights[name_of("110")] == pytest.approx(1 / 6)
    assert weights[name_of("011")] == pytest.approx(-1 / 3)
    assert len(weights) == 8


def test_intervals_hold_the_true_values_and_decide_the_verdict(results_over):
    inside = []
    for seed in range(25):
        summary = summarise(results_over(3, noise=0.01, seed=seed))
        components = shapley(summary, summary.column("miou"))
        inside.append(all(each.interval[0] <= over_orders(3)[each.axis] <= each.interval[1] for each in components))
        assert all((each.verdict == "better") == (each.interval[0] > 0) for each in components)
    assert inside.count(True) >= 20


@pytest.mark.parametrize(
    "how",
    [{"skip": [("1", "1", "1")]}, {"levels": "012", "count": 2}, {"count": 1}],
    ids=["a gap", "three values", "one"],
)
def test_without_every_combination_of_two_values_there_are_none(results_over, how):
    results = results_over(**how)
    assert page_of(results, most=0).shapley is None
    with pytest.raises(EffectsError, match="every combination of two values"):
        shapley_frame(results)


def test_a_failed_variant_leaves_no_values(results_over):
    results = results_over(2)
    frame = results.frame.copy()
    frame.loc[frame["variant"] == name_of("11"), "error"] = "diverged"
    assert page_of(replace(results, frame=frame), most=0).shapley is None


def test_the_page_and_the_api_have_a_row_for_each_component(results_over):
    results = results_over(3, noise=0.01)
    text = markdown_of(page_of(results, most=0))
    assert "## Shapley values" in text
    assert [text.count(f"\n| {axis} 0 \N{RIGHTWARDS ARROW} 1 |") for axis in AXES] == [1, 1, 1]
    frame = bench.AblationResults(results).shapley()
    assert list(frame["axis"]) == ["a", "b", "c"]
    assert frame["fraction"].sum() == pytest.approx(1)
    with pytest.raises(EffectsError, match="no metric 'mio'"):
        shapley_frame(results, "mio")
