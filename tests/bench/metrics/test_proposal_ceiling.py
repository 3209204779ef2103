"""The ceiling of proposals against the best of all labellings, tried one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from bench.metrics.miou import miou
from bench.metrics.proposal_ceiling import best_alone, best_labelling, confusion, mean_iou, proposal_ceiling
from bench.results.measurement import Evaluation

NAMES = ("a", "b", "c")


def evaluation(proposals: np.ndarray, oracle: np.ndarray | None = None) -> Evaluation:
    units = {"proposals": proposals, "oracle": proposals if oracle is None else oracle}
    return Evaluation("segmentation", units, NAMES[: proposals.shape[-1]])


def exhaustive(counts: np.ndarray) -> float:
    """The best mIoU of all classes ** regions labellings."""
    labellings = product(range(counts.shape[1]), repeat=len(counts))
    return max(mean_iou(counts, np.array(labels)) for labels in labellings)


def cases() -> list[np.ndarray]:
    """Regions with a class of their own and a few pixels of others; one class is rare, one may be absent."""
    rng = np.random.default_rng(0)
    every = []
    for case in range(60):
        classes, regions = 2 + case % 2, 6 if case % 2 else 8
        counts = rng.integers(0, 6, (regions, classes)) * (rng.random((regions, classes)) < 0.6)
        counts[np.arange(regions), rng.integers(0, classes, regions)] += rng.integers(0, 20, regions)
        if case % 10 == 9:
            counts[:, -1] = 0
        every.append(counts[counts.sum(1) > 0].astype(float))
    return every


@pytest.mark.parametrize("number", range(60))
def test_the_best_labelling_lies_between_what_is_found_and_the_bound(number: int) -> None:
    counts = cases()[number]
    best, reached, upper = exhaustive(counts), mean_iou(counts, best_labelling(counts)), np.nanmean(best_alone(counts))
    assert reached <= best + 1e-12
    assert best <= upper + 1e-12
    assert reached >= mean_iou(counts, counts.argmax(1))


def test_what_is_found_is_nearly_always_the_best() -> None:
    every = cases()
    equal = [mean_iou(counts, best_labelling(counts)) == pytest.approx(exhaustive(counts)) for counts in every]
    assert sum(equal) >= 0.9 * len(every)


def test_the_best_of_a_class_alone_is_the_best_of_all_sets_of_regions() -> None:
    counts = cases()[1]
    for k, iou in enumerate(best_alone(counts)):
        hits, misses = counts[:, k], counts.sum(1) - counts[:, k]
        sets = (np.array(chosen, dtype=bool) for chosen in product((False, True), repeat=len(counts)))
        assert iou == pytest.approx(max(hits[s].sum() / (hits.sum() + misses[s].sum()) for s in sets))


def test_a_rare_class_may_be_worth_more_than_most_pixels() -> None:
    counts = np.array([[90.0, 0.0], [6.0, 5.0]])
    assert mean_iou(counts, counts.argmax(1)) == pytest.approx((96 / 101 + 0) / 2)
    assert best_labelling(counts).tolist() == [0, 1]
    assert mean_iou(counts, best_labelling(counts)) == pytest.approx((90 / 96 + 5 / 11) / 2)


def test_the_score_of_a_labelling_is_miou() -> None:
    counts = cases()[3]
    labels = best_labelling(counts)
    matrix = confusion(counts, labels)
    assert matrix.sum() == counts.sum()
    judged = Evaluation("segmentation", {"confusion": matrix[None].astype(np.uint32)}, NAMES[: counts.shape[1]])
    assert mean_iou(counts, labels) == pytest.approx(miou(judged).value)


def test_regions_of_one_class_each_can_be_labelled_perfectly() -> None:
    units = np.array([[[5, 0, 0], [0, 3, 0]], [[0, 0, 9], [0, 0, 0]]], dtype=np.uint32)
    reading = proposal_ceiling(evaluation(units))
    assert reading.value == 1.0
    assert (reading.detail["upper"], reading.detail["majority"], reading.detail["regions"]) == (1.0, 1.0, 1.5)
    assert reading.detail["per_class_upper"] == {"a": 1.0, "b": 1.0, "c": 1.0}


def test_one_region_for_two_classes_can_have_one_of_them_only() -> None:
    mixed, apart = np.array([[[30, 10]]], dtype=np.uint32), np.array([[[30, 0], [0, 10]]], dtype=np.uint32)
    reading = proposal_ceiling(evaluation(mixed, apart))
    assert reading.value == pytest.approx(30 / 40 / 2)
    assert reading.detail["upper"] == pytest.approx((30 / 40 + 10 / 40) / 2)
    assert (reading.detail["oracle"], reading.detail["oracle_upper"]) == (1.0, 1.0)


def test_a_class_that_the_truth_does_not_have_is_left_out() -> None:
    reading = proposal_ceiling(evaluation(np.array([[[4, 0, 0], [1, 6, 0]]], dtype=np.uint32)))
    assert set(reading.detail["per_class_upper"]) == {"a", "b"}
    assert reading.value == pytest.approx((4 / 5 + 6 / 7) / 2)


def test_a_network_without_proposals_has_no_ceiling_and_says_why() -> None:
    plain = Evaluation("segmentation", {}, NAMES)
    assert proposal_ceiling(plain).value is None
    assert "proposes no regions" in str(proposal_ceiling(plain).error)
    failed = Evaluation("segmentation", {}, NAMES, facts={"evaluation_units": {"error": "no scikit-image"}})
    assert proposal_ceiling(failed).error == "no scikit-image"
    nothing = evaluation(np.zeros((2, 4, 3), np.uint32))
    assert "no labelled pixel" in str(proposal_ceiling(nothing).error)
