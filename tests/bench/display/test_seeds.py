from __future__ import annotations

import dataclasses
import math

import pytest

from bench.analysis.summary import summarise
from bench.display.seeds import error_bar, evaluation_notes, score_frame, score_notes, sd_interval
from bench.results.results import Results


def test_the_interval_is_the_mean_with_its_standard_deviation():
    assert sd_interval([4.0, 6.0]) == pytest.approx((5 - math.sqrt(2), 5 + math.sqrt(2)))
    assert sd_interval([3.0]) == (3.0, 3.0)


def test_a_distance_below_zero_does_not_exist():
    low, high = sd_interval([0.0, 10.0])
    assert (low, high) == (0.0, pytest.approx(5 + math.sqrt(50)))
    assert sd_interval([-1.0, 10.0])[0] < -1  # a log-likelihood may be below 0


def test_bars_are_in_the_unit_of_the_axis(results_of):
    summary = summarise(results_of({"net(a=1)": {"reach": [2e6, 4e6]}, "net(a=2)": {"reach": [2e6, 3e6]}}))
    column = summary.column("reach")
    aggregate = summary.aggregates["net(a=1)", "reach"]
    assert error_bar(summary, column, aggregate) == [[pytest.approx(math.sqrt(2))], [pytest.approx(math.sqrt(2))]]
    assert score_frame(summary, column)["value"].tolist() == [2, 4, 2, 3]


def test_one_seed_has_no_bar(results_of):
    summary = summarise(results_of({"net(a=1)": {"miou": [0.5]}, "net(a=2)": {"miou": [0.6]}}))
    assert error_bar(summary, summary.column("miou"), summary.aggregates["net(a=1)", "miou"]) is None


def test_failed_and_missing_seeds_are_noted(synthetic: Results):
    summary = summarise(synthetic)
    assert score_notes(summary, ["miou"]) == {"fcn(stride=8,skips=[pool4])": "2 of 3 seeds"}
    assert set(score_notes(summary, ["miou", "boundary_iou"])) == {
        synthetic.variants[-1],
        "fcn(stride=8,skips=[pool4])",
    }
    assert evaluation_notes(synthetic) == {"fcn(stride=8,skips=[pool4])": "2 of 3 seeds"}
    none = dataclasses.replace(synthetic, evaluations={})
    assert set(evaluation_notes(none).values()) == {"0 of 3 seeds"}
