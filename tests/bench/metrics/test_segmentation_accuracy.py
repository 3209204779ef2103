from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.data.examples import IGNORE as VOID
from bench.metrics.boundary_iou import boundary_iou
from bench.metrics.frequency_weighted_iou import frequency_weighted_iou
from bench.metrics.mean_accuracy import mean_accuracy
from bench.metrics.miou import miou
from bench.metrics.pixel_accuracy import pixel_accuracy
from bench.results.measurement import Evaluation
from bench.tasks.segmentation import confusion_matrices


def evaluation(confusion: list[list[list[int]]], **units: np.ndarray) -> Evaluation:
    matrices = np.array(confusion, dtype=np.uint32)
    names = tuple("abcdefgh"[: matrices.shape[-1]])
    return Evaluation("segmentation", {"confusion": matrices, **units}, names, facts={"boundary_band_px": 4})


# Two images whose sum is  truth a: 6 right, 2 predicted as b   t_a = 8
#                                b: 1 predicted as a, 3 right   t_b = 4   columns: p_a = 7, p_b = 5, p_c = 0
HAND = evaluation([[[4, 2, 0], [0, 1, 0], [0, 0, 0]], [[2, 0, 0], [1, 2, 0], [0, 0, 0]]])


def test_miou_by_hand() -> None:
    reading = miou(HAND)
    a, b = 6 / (8 + 7 - 6), 3 / (4 + 5 - 3)
    assert reading.value == pytest.approx((a + b) / 2)
    assert reading.detail == {"per_class": {"a": pytest.approx(a), "b": pytest.approx(b)}, "absent": ["c"]}


def test_pixel_accuracy_by_hand() -> None:
    assert pixel_accuracy(HAND).value == pytest.approx(9 / 12)


def test_mean_accuracy_by_hand() -> None:
    assert mean_accuracy(HAND).value == pytest.approx((6 / 8 + 3 / 4) / 2)


def test_frequency_weighted_iou_by_hand() -> None:
    assert frequency_weighted_iou(HAND).value == pytest.approx((8 * 6 / 9 + 4 * 3 / 6) / 12)


def test_a_class_that_is_only_predicted_counts_as_zero_in_miou() -> None:
    reading = miou(evaluation([[[3, 1], [0, 0]]]))
    assert reading.value == pytest.approx((3 / 4 + 0) / 2)
    assert reading.detail["absent"] == []


def test_a_class_that_is_only_predicted_is_left_out_of_mean_accuracy() -> None:
    reading = mean_accuracy(evaluation([[[3, 1], [0, 0]]]))
    assert reading.value == pytest.approx(3 / 4)
    assert reading.detail["absent"] == ["b"]


@pytest.mark.parametrize("metric", [miou, pixel_accuracy, mean_accuracy, frequency_weighted_iou])
def test_nothing_labelled_is_an_error_not_a_number(metric) -> None:  # type: ignore[no-untyped-def]
    reading = metric(evaluation([[[0, 0], [0, 0]]]))
    assert reading.value is None
    assert "no labelled pixel" in reading.error


def test_boundary_iou_sums_bands_over_images_before_dividing() -> None:
    bands = np.array([[[1, 2], [0, 0]], [[5, 10], [0, 0]]])
    reading = boundary_iou(evaluation([[[1, 0], [0, 0]]], boundary=bands))
    assert reading.value == pytest.approx(6 / 12)
    assert reading.detail["absent"] == ["b"]
    assert reading.detail["band_px"] == 4


def test_miou_equals_torchmetrics_over_the_dataset() -> None:
    classification = pytest.importorskip("torchmetrics.classification")
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 5, (6, 20, 20), generator=generator, dtype=torch.uint8)
    noise = torch.randint(0, 5, (6, 20, 20), generator=generator, dtype=torch.uint8)
    prediction = torch.where(torch.rand(6, 20, 20, generator=generator) < 0.6, truth, noise)
    truth[:, :3] = VOID
    reference = classification.MulticlassJaccardIndex(num_classes=5, ignore_index=VOID, average="macro")
    expected = reference(prediction.long(), truth.long()).item()
    ours = miou(evaluation(confusion_matrices(truth, prediction, 5).tolist()))
    assert ours.value == pytest.approx(expected, abs=1e-6)
