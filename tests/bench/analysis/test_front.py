from __future__ import annotations

import pytest

from bench.analysis.front import chances, fronts, is_cost, spans
from bench.analysis.summary import summarise


def standings(results) -> list[dict[str, str]]:
    return [dict(each.standings) for each in fronts(summarise(results))]


def seeds(mean: float, noise: float) -> list[float]:
    return [mean - noise, mean, mean + noise, mean + noise, mean - noise]


def test_the_front_the_inconclusive_and_the_dominated(results_of):
    table = {
        "net(a=0)": {"macs": 10, "miou": seeds(0.50, 0.001)},
        "net(a=1)": {"macs": 20, "miou": seeds(0.60, 0.002)},
        "net(a=2)": {"macs": 30, "miou": seeds(0.40, -0.002)},  # significantly worse than net, which costs less
        "net(a=3)": {"macs": 30, "miou": seeds(0.59, 0.300)},  # worse than net(a=1) by its mean
        "net(a=4)": {"macs": 10, "miou": seeds(0.50, 0.001)},  # the equal of net
    }
    (by_variant,) = standings(results_of(table))
    assert [*by_variant.values()] == ["front", "front", "dominated", "inconclusive", "front"]


def test_a_cost_that_is_not_significantly_lower_dominates_nothing(results_of):
    fast, slow, hardly = ([start + i / 10 for i in range(30)] for start in (1, 9, 1.1))
    table = {"net(a=0)": {"latency": fast, "miou": seeds(0.6, 0.001)}}
    table["net(a=1)"] = {"latency": slow, "miou": seeds(0.5, 0.002)}
    table["net(a=2)"] = {"latency": hardly, "miou": seeds(0.5, -0.001)}
    (by_variant,) = standings(results_of(table))
    assert [*by_variant.values()] == ["front", "dominated", "inconclusive"]


def test_all_costs_together_leave_more_on_the_front(results_of):
    table = {
        "net(a=0)": {"macs": 10, "latency": [9.0, 9.1, 9.2] * 3, "miou": seeds(0.5, 0.001)},
        "net(a=1)": {"macs": 20, "latency": [5.0, 5.1, 5.0] * 3, "miou": seeds(0.5, 0.002)},
        "net(a=2)": {"macs": 30, "latency": [7.0, 7.1, 7.2] * 3, "miou": seeds(0.4, -0.001)},
    }
    by_macs, by_latency, together = standings(results_of(table))
    assert [*by_macs.values()] == ["front", "dominated", "dominated"] or by_macs["net(a=1)"] == "inconclusive"
    assert [v for v, s in by_latency.items() if s == "front"] == ["net(a=1)"]
    assert [*together.values()] == ["front", "front", "dominated"]


def test_without_seeds_to_infer_from_what_is_off_the_front_is_inconclusive(results_of):
    table = {
        "net(a=0)": {"macs": 10, "miou": [0.9]},
        "net(a=1)": {"macs": 20, "miou": [0.1]},
        "net(a=2)": {"macs": 5, "miou": [None]},
    }
    (by_variant,) = standings(results_of(table))
    assert by_variant == {"net(a=0)": "front", "net(a=1)": "inconclusive"}


@pytest.mark.parametrize("metric", ["macs", "miou"])
def test_without_a_score_or_a_cost_there_is_no_front(results_of, metric: str):
    values = 3 if metric == "macs" else [0.5, 0.6]
    assert standings(results_of({"net(a=0)": {metric: values}, "net(a=1)": {metric: values}})) == []


def test_a_cost_that_spans_nothing_ranks_nobody(results_of):
    """The same graph timed twice, and counts that differ by 0.1 %."""
    table = {
        "net(a=0)": {"macs": 4014, "latency": [79.6, 70.3, 86.1, 75.4, 82.6], "params": 10, "miou": seeds(0.5, 0.001)},
        "net(a=1)": {"macs": 4019, "latency": [70.2, 68.0, 84.3, 77.3, 69.5], "params": 20, "miou": seeds(0.6, 0.002)},
    }
    summary = summarise(results_of(table))
    assert [each.costs[0].metric for each in fronts(summary)] == ["params"]
    assert {column.metric: spans(summary, column) for column in summary.columns if is_cost(summary, column)} == {
        "macs": False,
        "latency": False,
        "params": True,
    }


def test_the_probability_of_the_front(results_of):
    """Two that are surely on it, one that is surely not, and two equals of which one must be behind by chance."""
    table = {
        "net(a=0)": {"macs": 10, "miou": seeds(0.50, 0.001)},
        "net(a=1)": {"macs": 20, "miou": seeds(0.60, 0.002)},
        "net(a=2)": {"macs": 30, "miou": seeds(0.40, -0.002)},
        "net(a=3)": {"macs": 10, "miou": seeds(0.50, 0.0011)},
    }
    summary = summarise(results_of(table))
    (front,) = fronts(summary)
    by_variant = chances(summary, front)
    assert [by_variant["net(a=1)"], by_variant["net(a=2)"]] == [1.0, 0.0]
    assert by_variant["net(a=0)"] + by_variant["net(a=3)"] == pytest.approx(1.0)
    assert 0.4 < by_variant["net(a=0)"] < 0.6
    assert chances(summary, front) == by_variant


def test_without_a_spread_no_probability_of_the_front(results_of):
    summary = summarise(results_of({f"net(a={i})": {"macs": 10 + i, "miou": [0.5 + i]} for i in range(3)}))
    assert [chances(summary, front) for front in fronts(summary)] == [{}]
