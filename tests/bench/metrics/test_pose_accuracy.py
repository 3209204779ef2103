"""The accuracy metrics of poses, on joints whose errors are set by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench.registry.catalogue import declarations, live
from bench.results.measurement import Evaluation

NAMES = ("head_top", "neck", "left_wrist", "left_elbow", "right_wrist", "right_elbow")
ERRORS = np.array([[0.0, 1.0, 2.1, 4.0, 2.0, 9.0], [3.0, 0.5, 0.0, 2.5, 8.0, 0.0]])
FLAGS = np.array([[2, 2, 2, 2, 1, 0], [2, 2, 1, 2, 0, 2]])


def evaluation(errors: np.ndarray = ERRORS, flags: np.ndarray = FLAGS, **lengths: list[float]) -> Evaluation:
    """Two people whose joints lie on a line, 10 px apart; each is put `errors` px too low."""
    people, joints = errors.shape
    image, joint = np.indices((people, joints)).reshape(2, -1)
    truth = np.stack([np.tile(np.arange(joints) * 10.0, people), image * 3.0], -1)
    places = truth + np.stack([np.zeros(people * joints), errors.reshape(-1)], -1)
    units = {"image": image, "joint": joint, "visible": flags.reshape(-1), "truth": truth, "dark": places}
    units |= {name: np.repeat(np.array(length), joints) for name, length in lengths.items()}
    return Evaluation("pose", units, NAMES)


def read(name: str, judged: Evaluation):
    return live(declarations().metrics.get(name)).call(judged)


def test_pck_is_the_share_within_a_fifth_of_the_torso() -> None:
    # limits 2 and 3 px: of the first person's five joints three are within, of the second's five all
    reading = read("pck", evaluation(torso=[10.0, 15.0]))
    assert reading.value == pytest.approx((3 + 5) / 10)
    assert reading.detail["per_class"] == {
        "head_top": 1.0,
        "neck": 1.0,
        "left_wrist": 0.5,
        "left_elbow": 0.5,
        "right_wrist": 1.0,
        "right_elbow": 1.0,
    }
    assert reading.detail["joints"] == 10


def test_people_without_the_length_are_left_out_and_counted() -> None:
    for none in (float("nan"), 0.0):
        reading = read("pck", evaluation(torso=[10.0, none]))
        assert reading.value == pytest.approx(3 / 5)
        assert reading.detail["without_length"] == 5
    assert (
        read("pck", evaluation(torso=[float("nan"), 0.0])).error
        == "no person whose joints are annotated has a torso length"
    )


@pytest.mark.parametrize(
    ("name", "length"),
    [("pck", "torso"), ("pckh", "head"), ("pck_auc", "torso"), ("pck_occluded", "torso"), ("pck_ambiguous", "torso")],
)
def test_a_dataset_without_the_length_is_told(name: str, length: str) -> None:
    reading = read(name, evaluation())
    assert reading.value is None
    assert f"no {length} length" in reading.error


def test_pckh_is_half_the_head() -> None:
    assert read("pckh", evaluation(head=[2.0, 6.0])).value == pytest.approx((2 + 5) / 10)


@pytest.mark.parametrize(
    ("name", "share"),
    [("pck_occluded", 2 / 2), ("pck_visible", 6 / 8), ("pck_ambiguous", 4 / 6), ("pck_unambiguous", 4 / 4)],
)
def test_pck_of_some_joints(name: str, share: float) -> None:
    assert read(name, evaluation(torso=[10.0, 15.0])).value == pytest.approx(share)


def test_nothing_to_average_is_an_error() -> None:
    nobody = evaluation(flags=np.where(FLAGS == 1, 0, FLAGS), torso=[10.0, 15.0])
    assert read("pck_occluded", nobody).error == "no joint of this kind is annotated in the evaluation split"
    assert read("mean_error", evaluation(flags=0 * FLAGS)).value is None
    assert "no limb" in read("pcp", evaluation(flags=0 * FLAGS)).error


def test_the_area_under_pck_is_the_integral_of_its_curve() -> None:
    torso = np.array([10.0, 15.0])
    annotated = FLAGS > 0
    thresholds = (np.arange(20000) + 0.5) / 20000 * 0.5
    relative = np.sort((ERRORS / torso[:, None])[annotated])
    curve = np.searchsorted(relative, thresholds, side="right") / annotated.sum()
    assert read("pck_auc", evaluation(torso=[*torso])).value == pytest.approx(curve.mean(), abs=1e-4)


def test_mean_error_is_in_pixels_by_decoding() -> None:
    judged = evaluation()
    annotated = FLAGS > 0
    assert read("mean_error", judged).value == pytest.approx(ERRORS[annotated].mean())
    assert read("error_dark", judged).value == pytest.approx(ERRORS[annotated].mean())
    coarse = replace(judged, units={**judged.units, "argmax": judged.units["truth"] + np.array([3.0, 4.0])})
    assert read("error_argmax", coarse).value == pytest.approx(5.0)
    regressed = {k: v for k, v in judged.units.items() if k != "dark"} | {"regressed": judged.units["dark"]}
    alone = replace(judged, units=regressed)
    assert read("mean_error", alone).value == read("mean_error", judged).value
    assert "gives coordinates" in read("error_quarter", alone).error


def test_left_and_right() -> None:
    judged = evaluation()
    assert read("left_right", judged).value == 1.0
    places = judged.units["dark"].copy()
    wrists = [2, 4]
    places[wrists] = places[wrists[::-1]]  # the first person's wrists exchanged; both are annotated
    reading = read("left_right", replace(judged, units={**judged.units, "dark": places}))
    assert reading.detail["per_class"] == {"left_wrist": 0.0, "left_elbow": 1.0, "right_wrist": 0.0, "right_elbow": 1.0}
    assert reading.value == pytest.approx(2 / 4)
    between = judged.units["truth"].copy()
    between[wrists] = between[wrists].mean(0)
    halves = read("left_right", replace(judged, units={**judged.units, "dark": between}))
    assert halves.detail["per_class"]["left_wrist"] == 0.5


def test_pcp_wants_both_ends_within_half_the_limb() -> None:
    # limbs are 10 px long; right_elbow of the first and right_wrist of the second person are not annotated
    reading = read("pcp", evaluation(errors=ERRORS + np.array([[0, 0, 0, 1.5, 0, 0], [0, 0, 0, 0, 0, 0]])))
    assert reading.detail["per_class"] == {"left_lower_arm": 0.5, "head": 1.0}
    assert reading.value == 0.75


def test_part_of_the_units_is_an_evaluation_too() -> None:
    judged = evaluation(torso=[10.0, 15.0])
    chosen = np.array([0, 0, 1, 8, 9, 9, 9])
    part = replace(judged, units={name: values[chosen] for name, values in judged.units.items()})
    flat, limit = ERRORS.reshape(-1)[chosen], np.repeat([2.0, 3.0], 6)[chosen]
    assert read("pck", part).value == pytest.approx((flat <= limit).mean())
    assert read("pcp", part).value is not None


def test_people_that_the_loader_left_out_are_counted_in_the_detail() -> None:
    judged = replace(evaluation(torso=[10.0, 15.0]), facts={"left_out": {"people without a box": 3, "crowds": 0}})
    assert read("pck", judged).detail["left_out"] == {"people without a box": 3}
    assert "left_out" not in read("pck", evaluation(torso=[10.0, 15.0])).detail
