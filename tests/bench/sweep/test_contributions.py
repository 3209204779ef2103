from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bench.metrics.miou import miou
from bench.metrics.pixel_accuracy import pixel_accuracy
from bench.results.measurement import Evaluation, Measurement, Reading
from bench.spec.variant import Variant
from bench.spec.workload import Workload
from bench.sweep.contributions import contributions, image_count
from bench.sweep.worker import _with_contributions


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    random = np.random.default_rng(0)
    confusion = random.integers(1, 50, size=(12, 3, 3)) + 200 * np.eye(3, dtype=int)
    return Evaluation("segmentation", {"confusion": confusion, "boundary": np.ones((12, 3, 2))}, ("a", "b", "c"))


def test_contributions_are_jackknife_pseudovalues_of_the_metric_itself(evaluation: Evaluation):
    values = np.array(contributions(miou, evaluation))
    rest = {name: values[4:] for name, values in evaluation.units.items()}
    whole, without = miou(evaluation).value, miou(dataclasses.replace(evaluation, units=rest)).value
    assert len(values) == 3
    assert values[0] == pytest.approx(3 * whole - 2 * without)  # the first block has 4 of the 12 images
    assert values.mean() == pytest.approx(whole, abs=0.005)


def test_a_fraction_of_pixels_has_contributions_that_add_up_to_its_error(evaluation: Evaluation):
    """The ratio estimator's standard error in closed form: Cochran 1977, Sampling Techniques, section 6.4."""
    confusion = np.random.default_rng(1).integers(1, 50, size=(16, 3, 3))
    values = np.array(contributions(pixel_accuracy, dataclasses.replace(evaluation, units={"confusion": confusion})))
    right, pixels = (
        part.reshape(4, 4).sum(axis=1) for part in (np.trace(confusion, axis1=1, axis2=2), confusion.sum((1, 2)))
    )
    residual = right - right.sum() / pixels.sum() * pixels
    assert values.std(ddof=1) == pytest.approx(residual.std(ddof=1) / pixels.mean(), rel=0.03)


def test_joints_of_one_image_stay_together():
    image = np.repeat(np.arange(9), 4)
    right = np.random.default_rng(2).random(36)
    seen = []

    def fraction(evaluation: Evaluation) -> Reading:
        seen.append(np.bincount(evaluation.units["image"], minlength=9))
        return Reading(float(evaluation.units["right"].mean()))

    values = contributions(fraction, Evaluation("pose", {"image": image, "right": right}))
    assert values == pytest.approx(right.reshape(3, 12).mean(axis=1))
    assert {int(n) for counts in seen for n in counts} == {0, 4}


def test_without_units_of_one_length_there_are_none(evaluation: Evaluation):
    assert contributions(miou, dataclasses.replace(evaluation, units={})) == ()
    uneven = {**evaluation.units, "joints": np.ones((5, 2))}
    assert contributions(miou, dataclasses.replace(evaluation, units=uneven)) == ()


def test_a_metric_that_fails_on_fewer_units_has_none(evaluation: Evaluation):
    def picky(evaluation: Evaluation) -> Reading:
        return Reading(1.0) if len(evaluation.units["boundary"]) == 12 else Reading(None, error="too few")

    assert contributions(picky, evaluation) == ()


def measurement(metric: str) -> Measurement:
    work = Workload("segmentation", "made up", (), (3, 8, 8), 1)
    return Measurement("k", Variant("net", ()), work, metric, "", "higher", (0.5,), False, 0, 1.0, {})


def test_the_worker_computes_contributions_only_for_metrics_that_declare_to_read_units(evaluation: Evaluation):
    result = _with_contributions(measurement("miou"), evaluation, ())
    assert result.contributions == contributions(miou, evaluation)
    assert result.detail["evaluated_images"] == image_count(evaluation) == 12
    distance = _with_contributions(measurement("fid_local"), evaluation, ())
    assert distance == measurement("fid_local")


def test_a_metric_that_fails_on_a_block_keeps_its_score_and_says_why_contributions_are_missing(evaluation: Evaluation):
    broken = dataclasses.replace(evaluation, units={"confusion": np.ones(12)})
    result = _with_contributions(measurement("miou"), broken, ())
    assert (result.samples, result.contributions) == ((0.5,), ())
    assert result.detail["contributions_error"].startswith("failed: ")


def test_a_failed_measurement_has_no_contributions(evaluation: Evaluation):
    failed = dataclasses.replace(measurement("miou"), samples=(), error="oom: x")
    assert _with_contributions(failed, evaluation, ()) == failed
