"""The named losses of segmentation, against values computed by hand."""

import math

import pytest
import torch

from bench.data.examples import IGNORE
from bench.registry.losses import loss_names
from bench.tasks import segmentation_losses
from bench.tasks.segmentation import Segmentation

EVEN = torch.log(torch.tensor([3.0, 1.0]))[None, :, None, None].expand(1, 2, 1, 3)
"""Probabilities 3/4 and 1/4 at three pixels."""
LABELS = {"labels": torch.tensor([[[0, 1, IGNORE]]], dtype=torch.uint8)}


def test_cross_entropy_is_the_loss_of_the_task():
    expected = -(math.log(0.75) + math.log(0.25)) / 2
    assert float(segmentation_losses.cross_entropy({"out": EVEN}, LABELS)) == pytest.approx(expected)
    assert float(Segmentation.loss(EVEN, LABELS)) == pytest.approx(expected)


def test_focal_is_cross_entropy_by_the_square_of_what_is_missing():
    first, second = 0.25**2 * -math.log(0.75), 0.75**2 * -math.log(0.25)
    assert float(segmentation_losses.focal(EVEN, LABELS)) == pytest.approx((first + second) / 2)
    weights = torch.tensor([1.0, 3.0])
    assert float(segmentation_losses.focal(EVEN, LABELS, weights)) == pytest.approx((first + 3 * second) / 2)


def test_dice_is_that_of_probabilities_over_the_labelled_pixels():
    zero = 2 * 0.75 / (2 * 0.75**2 + 1)
    one = 2 * 0.25 / (2 * 0.25**2 + 1)
    assert float(segmentation_losses.dice(EVEN, LABELS)) == pytest.approx(1 - (zero + one) / 2)
    weights = torch.tensor([1.0, 3.0])
    assert float(segmentation_losses.dice(EVEN, LABELS, weights)) == pytest.approx(1 - (zero + 3 * one) / 4)


def test_a_class_that_the_batch_has_not_does_not_count():
    scores = torch.cat([EVEN, torch.full((1, 1, 1, 3), -100.0)], dim=1)
    expected = segmentation_losses.dice(EVEN, LABELS)
    assert float(segmentation_losses.dice(scores, LABELS)) == pytest.approx(float(expected))


@pytest.mark.parametrize("name", loss_names("segmentation"))
def test_without_labels_the_loss_is_nothing_and_has_a_gradient(name):
    scores = EVEN.clone().requires_grad_()
    loss = getattr(segmentation_losses, name)(scores, {"labels": torch.full((1, 1, 3), IGNORE, dtype=torch.uint8)})
    loss.backward()
    assert loss.detach() == 0
    assert scores.grad.abs().max() == 0
