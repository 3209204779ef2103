from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bench.metrics.miou import miou
from bench.metrics.pixel_accuracy import pixel_accuracy
from bench.results.loading import contributions
from bench.results.measurement import Evaluation, Reading


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    random = np.random.default_rng(0)
    confusion = random.integers(1, 50, size=(12, 3, 3)) + 200 * np.eye(3, dtype=int)
    return Evaluation("segmentation", {"confusion": confusion, "boundary": np.ones((12, 3, 2))}, ("a", "b", "c"))


def test_contributions_are_jackknife_pseudovalues_of_the_metric_itself(evaluation: Evaluation):
    found = contributions(miou, evaluation)
    rest = {name: values[4:] for name, values in evaluation.units.items()}
    whole, without = miou(evaluation).value, miou(dataclasses.replace(evaluation, units=rest)).value
    assert len(found) == 3
    assert found[0] == pytest.approx(3 * whole - 2 * without)  # the first block has 4 of the 12 images
    assert found.mean() == pytest.approx(whole, abs=0.005)


def test_a_share_of_pixels_has_contributions_that_add_up_to_its_error(evaluation: Evaluation):
    """The ratio estimator's standard error in closed form: Cochran 1977, Sampling Techniques, section 6.4."""
    requests = np.random.default_rng(1).integers(1, 50, size=(16, 3, 3))
    found = contributions(pixel_accuracy, dataclasses.replace(evaluation, units={"confusion": requests}))
    right, pixels = (
        part.reshape(4, 4).sum(axis=1) for part in (np.trace(requests, axis1=1, axis2=2), requests.sum((1, 2)))
    )
    residual = right - right.sum() / pixels.sum() * pixels
    assert found.std(ddof=1) == pytest.approx(residual.std(ddof=1) / pixels.mean(), rel=0.03)


def test_joints_of_one_image_stay_together():
    image = np.repeat(np.arange(9), 4)
    right = np.random.default_rng(2).random(36)
    seen = []

    def share(asked: Evaluation) -> Reading:
        seen.append(np.bincount(asked.units["image"], minlength=9))
        return Reading(float(asked.units["right"].mean()))

    found = contributions(share, Evaluation("pose", {"image": image, "right": right}))
    assert found == pytest.approx(right.reshape(3, 12).mean(axis=1))
    assert {int(n) for counts in seen for n in counts} == {0, 4}


def test_without_units_of_one_length_there_are_none(evaluation: Evaluation):
    assert contributions(miou, dataclasses.replace(evaluation, units={})) is None
    uneven = {**evaluation.units, "joints": np.ones((5, 2))}
    assert contributions(miou, dataclasses.replace(evaluation, units=uneven)) is None


def test_a_metric_that_fails_on_fewer_units_has_none(evaluation: Evaluation):
    def picky(asked: Evaluation) -> Reading:
        return Reading(1.0) if len(asked.units["boundary"]) == 12 else Reading(None, error="too few")

    assert contributions(picky, evaluation) is None


def test_a_metric_that_reads_no_units_is_asked_once():
    calls = []

    def distance(asked: Evaluation) -> Reading:
        calls.append("bits" in asked.units and len(asked.units))
        return Reading(float(asked.samples["features"].mean()))

    held = Evaluation("generation", {"bits": np.ones(100)}, samples={"features": np.ones((4, 2))})
    assert contributions(distance, held) is None
    assert calls == [1]
