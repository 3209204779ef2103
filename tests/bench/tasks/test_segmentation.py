from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from bench.data.examples import IGNORE as VOID
from bench.tasks.segmentation import (
    Segmentation,
    band_width,
    boundary_counts,
    confusion_matrices,
)


class Paint(nn.Module):
    """Scores that say of every pixel the class its red byte names."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        byte = (x[:, 0] * (127.5 / 2) + 127.5).round().long()
        return nn.functional.one_hot(byte, self.classes).permute(0, 3, 1, 2).float()


def examples(labels: torch.Tensor, red: torch.Tensor, classes: int, publishable: bool = True) -> SimpleNamespace:
    images = torch.stack([red, torch.zeros_like(red), torch.zeros_like(red)], dim=1)
    names = tuple(f"class{i}" for i in range(classes))
    palette = tuple((i, i, i) for i in range(classes))
    return SimpleNamespace(
        images=images,
        targets={"labels": labels},
        names=names,
        ignore=VOID,
        palette=palette,
        optimum={"miou": 0.9},
        publishable=publishable,
    )


def random_labels(shape: tuple[int, ...], classes: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, classes, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def test_confusion_counts_rows_truth_columns_prediction() -> None:
    truth = torch.tensor([[[0, 0, 1], [2, VOID, 1]]], dtype=torch.uint8)
    prediction = torch.tensor([[[0, 1, 1], [2, 0, 2]]], dtype=torch.uint8)
    assert confusion_matrices(truth, prediction, 3).tolist() == [[[1, 1, 0], [0, 1, 1], [0, 0, 1]]]


def test_confusion_refuses_a_label_that_is_no_class() -> None:
    with pytest.raises(ValueError, match="label 7 is none of the 3 classes"):
        confusion_matrices(torch.full((1, 2, 2), 7, dtype=torch.uint8), torch.zeros(1, 2, 2, dtype=torch.uint8), 3)


def naive_band(mask: np.ndarray, void: np.ndarray, width: int) -> np.ndarray:
    """The definition, pixel by pixel: something else, not void, stands within `width` in either axis."""
    height, length = mask.shape
    band = np.zeros_like(mask)
    for i in range(height):
        for j in range(length):
            window = [(a, b) for a in range(i - width, i + width + 1) for b in range(j - width, j + width + 1)]
            inside = [0 <= a < height and 0 <= b < length for a, b in window]
            other = [not k or (not mask[p] and not void[p]) for k, p in zip(inside, window, strict=True)]
            band[i, j] = mask[i, j] and any(other)
    return band


@pytest.mark.parametrize("width", [1, 2])
def test_boundary_counts_agree_with_the_definition(width: int) -> None:
    blocks = random_labels((2, 3, 3), 3).repeat_interleave(4, 1).repeat_interleave(4, 2)
    prediction = blocks.roll(1, dims=2)
    truth = blocks.clone()
    truth[:, 5:7, 2:9] = VOID
    counts = boundary_counts(truth, prediction, 3, width)
    for n in range(2):
        void = (truth[n] == VOID).numpy()
        for c in range(3):
            bands = [naive_band((labels[n] == c).numpy() & ~void, void, width) for labels in (truth, prediction)]
            both, either = (bands[0] & bands[1]).sum(), (bands[0] | bands[1]).sum()
            assert counts[n, c].tolist() == [both, either]


def test_band_width_is_two_percent_of_the_diagonal() -> None:
    assert band_width(120, 160) == 4  # 0.02 * 200
    assert band_width(8, 8) == 1  # never less than a pixel


def test_evaluation_of_a_network_that_reads_its_answer_from_the_image() -> None:
    labels = random_labels((5, 16, 24), 3)
    wrong = labels.clone()
    wrong[:, :4] = (wrong[:, :4] + 1) % 3
    evaluation = Segmentation.evaluate(Paint(3), examples(labels, wrong, 3), batch=2)
    confusion = evaluation.units["confusion"]
    assert confusion.dtype == np.uint32
    assert confusion.shape == (5, 3, 3)
    assert confusion.sum() == 5 * 16 * 24
    assert confusion.trace(axis1=1, axis2=2).tolist() == [12 * 24] * 5
    assert evaluation.units["boundary"].shape == (5, 3, 2)
    assert evaluation.facts["optimum"] == {"miou": 0.9}
    assert evaluation.samples["images"].shape == (4, 16, 24, 3)
    assert (evaluation.samples["images"][0, :, :, 0] == wrong[0].numpy()).all()
    assert (evaluation.samples["outputs"][0] == wrong[0].numpy()).all()
    assert (evaluation.samples["truths"][-1] == labels[-1].numpy()).all()


def test_no_picture_of_data_that_may_not_be_published() -> None:
    labels = random_labels((2, 8, 8), 3)
    assert not Segmentation.evaluate(Paint(3), examples(labels, labels, 3, publishable=False)).samples


def test_scores_of_another_size_are_refused() -> None:
    labels = random_labels((2, 8, 8), 3)
    half = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(3, 3, 1))
    with pytest.raises(ValueError, match="scores of size"):
        Segmentation.evaluate(half, examples(labels, labels, 3))


def test_evaluation_leaves_the_model_in_the_state_it_was_in() -> None:
    model, labels = Paint(3).train(), random_labels((1, 8, 8), 3)
    Segmentation.evaluate(model, examples(labels, labels, 3))
    assert model.training


def test_loss_is_the_mean_over_labelled_pixels() -> None:
    scores = torch.zeros(1, 4, 2, 2)
    labels = torch.tensor([[[0, 3], [VOID, VOID]]], dtype=torch.uint8)
    assert Segmentation.loss(scores, {"labels": labels}).item() == pytest.approx(math.log(4))


def test_loss_of_a_batch_without_labelled_pixels_is_zero_with_zero_gradient() -> None:
    scores = torch.randn(1, 4, 2, 2, requires_grad=True)
    loss = Segmentation.loss(scores, {"labels": torch.full((1, 2, 2), VOID, dtype=torch.uint8)})
    loss.backward()
    assert loss.item() == 0
    assert scores.grad is not None
    assert not scores.grad.any()


def test_class_weights_by_hand() -> None:
    labels = torch.tensor([[[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, VOID]]], dtype=torch.uint8)
    weights = Segmentation.class_weights(examples(labels, labels, 3), 0.5)
    # frequencies 0.9, 0.1, 0: raw weights 0.9^-0.5, 0.1^-0.5, 0; their mean over pixels is 0.9^0.5 + 0.1^0.5
    mean = 0.9**0.5 + 0.1**0.5
    assert weights.tolist() == pytest.approx([0.9**-0.5 / mean, 0.1**-0.5 / mean, 0])


def test_weights_scale_the_loss_of_their_class() -> None:
    labels = torch.tensor([[[0, 1, 1, VOID]]], dtype=torch.uint8)
    loss = Segmentation.loss(torch.zeros(1, 2, 1, 4), {"labels": labels}, torch.tensor([3.0, 0.5]))
    assert loss.item() == pytest.approx(math.log(2) * (3 + 0.5 + 0.5) / 3)


def augmented(labels: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels drawn into an image, the image augmented, and both come back."""
    image = labels[:, None].float().expand(-1, 3, -1, -1).contiguous()
    generator = torch.Generator().manual_seed(seed)
    images, targets = Segmentation.augment(image, {"labels": labels}, generator)
    return images, targets["labels"]


def test_augmentation_moves_image_and_labels_together() -> None:
    blocks = random_labels((16, 4, 5), 2).repeat_interleave(12, 1).repeat_interleave(12, 2)
    images, labels = augmented(blocks, seed=1)
    labelled = labels != VOID
    bright = images[:, 0]
    for image, label, valid in zip(bright, labels, labelled, strict=True):
        ones, zeros = image[valid & (label == 1)], image[valid & (label == 0)]
        # gain and shift differ by image but not within it: inside the blocks each class has one value
        assert ones.median() - zeros.median() == pytest.approx((ones.max() - zeros.min()).item(), abs=1e-4)
        edge = ((image - zeros.median()) > (ones.median() - zeros.median()) / 2) != (label == 1)
        assert (edge & valid).sum() <= 0.02 * valid.sum()


def test_augmentation_follows_its_generator_and_invents_no_class() -> None:
    labels = random_labels((32, 24, 24), 3)
    first, again, other = augmented(labels, 1), augmented(labels, 1), augmented(labels, 2)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])
    assert set(first[1].unique().tolist()) == {0, 1, 2, VOID}  # some zoom out: their frame is void


def test_half_of_the_examples_are_mirrored() -> None:
    ramp = torch.arange(64, dtype=torch.uint8).expand(400, 64, 64).contiguous()
    _, labels = augmented(ramp, seed=0)
    middle = labels[:, 32].float()
    middle[middle == VOID] = torch.nan
    rising = (middle.diff(dim=1).nanmean(dim=1) > 0).float().mean().item()
    assert 0.4 < rising < 0.6  # 5 sigma of 400 fair draws is 0.125


def test_prepared_bytes_are_centred() -> None:
    prepared = Segmentation.prepare(torch.tensor([0, 255], dtype=torch.uint8))
    assert prepared.tolist() == [-2.0, 2.0]
