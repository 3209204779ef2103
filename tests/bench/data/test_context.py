from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import binom

from bench.data.chance import chance_interval
from bench.data.context import MARK, RADIUS, accuracies, context, expected_accuracy, layout, needed_radius
from bench.data.examples import IGNORE
from bench.data.synthetic import stream

SHAPE = (3, 80, 80)


def test_both_classes_have_exactly_half_of_the_scored_pixels():
    for split, count in (("train", 512), ("val", 128)):
        examples = context(None, split, SHAPE)
        labels = examples.targets["labels"]
        assert examples.images.shape == (count, *SHAPE)
        assert labels.shape == (count, 80, 80)
        assert examples.images.dtype == labels.dtype == torch.uint8
        assert set(labels.unique().tolist()) == {0, 1, IGNORE}
        assert (labels == 0).sum() == (labels == 1).sum()


def test_twins_differ_in_nothing_but_their_marks():
    examples = context(None, "val", SHAPE)
    centres, _ = layout(stream(0, "val"), 128, SHAPE, 14, 4)
    y, x = np.mgrid[:80, :80]
    for i in range(0, 128, 2):
        differ = (examples.images[i] != examples.images[i + 1]).any(0).numpy()
        marks = np.min([np.hypot(y - cy, x - cx - 14) for cy, cx in centres[i]], axis=0) <= MARK
        assert (differ == marks).all()
        first, second = examples.targets["labels"][i : i + 2].numpy()
        scored = first != IGNORE
        assert (first[scored] == 1 - second[scored]).all()
        assert (scored == (second != IGNORE)).all()


def test_the_pixels_of_a_disc_are_painted_alike_in_both_classes():
    examples = context(None, "train", SHAPE)
    labels = examples.targets["labels"]
    pixels = examples.images.permute(0, 2, 3, 1)
    histograms = [torch.bincount(pixels[labels == kind].flatten().long(), minlength=256) for kind in (0, 1)]
    assert torch.equal(*histograms)


def test_the_mark_tells_the_class():
    examples = context(None, "val", SHAPE)
    centres, kinds = layout(stream(0, "val"), 128, SHAPE, 14, 4)
    at = np.rint(centres + [0, 14]).astype(int)
    red = examples.images[np.arange(128)[:, None], 0, at[..., 0], at[..., 1]]
    label = examples.targets["labels"][np.arange(128)[:, None], at[..., 0], at[..., 1] - 14]
    assert torch.equal(red < 128, torch.from_numpy(kinds))
    assert torch.equal(label.bool(), torch.from_numpy(kinds))


@pytest.mark.parametrize(
    ("shape", "distance", "objects"), [(SHAPE, 14, 4), ((1, 64, 64), 9, 6), ((3, 120, 160), 40, 5)]
)
def test_no_two_objects_or_marks_touch(shape, distance, objects):
    centres, _ = layout(stream(3, "train"), 64, shape, distance, objects)
    for image in centres:
        discs = [(cy, cx, RADIUS, k) for k, (cy, cx) in enumerate(image)]
        discs += [(cy, cx + distance, MARK, k) for k, (cy, cx) in enumerate(image)]
        for cy, cx, radius, _ in discs:
            assert radius <= cy <= shape[1] - 1 - radius
            assert radius <= cx <= shape[2] - 1 - radius
        for i, (ay, ax, ar, a) in enumerate(discs):
            assert all(math.hypot(ay - by, ax - bx) >= ar + br + 2 for by, bx, br, b in discs[:i] if a != b)


def test_the_classes_of_an_image_are_independent_coins():
    _, kinds = layout(stream(0, "train"), 4000, SHAPE, 14, 4)
    signs = 2.0 * kinds[::2] - 1
    between = (signs.T @ signs / len(signs))[np.triu_indices(4, 1)]
    assert np.abs(between).max() < 4 / math.sqrt(len(signs))
    assert kinds.mean() == 0.5


@pytest.mark.parametrize(("reach", "accuracy"), [(7, 0.500), (12, 0.748), (16, 1.000), (20, 1.000)])
def test_counting_predicts_the_accuracies_of_the_measured_trial(reach, accuracy):
    offsets = (np.arange(48) + 0.5) / 48
    everywhere = np.stack(np.meshgrid(offsets, offsets), axis=-1).reshape(1, -1, 2)
    assert 0.5 + 0.5 * (needed_radius(everywhere, 14) <= reach).mean() == pytest.approx(accuracy, abs=5e-4)
    assert expected_accuracy(reach) == pytest.approx(accuracy, abs=5e-3)


@pytest.mark.parametrize("reach", [8, 11, 13])
def test_counting_agrees_with_looking_at_every_pixel(reach):
    centres, _ = layout(stream(1, "val"), 4, (3, 64, 64), 13, 2)
    expected = []
    for cy, cx in centres.reshape(-1, 2):
        disc = [(y, x) for y in range(64) for x in range(64) if math.hypot(y - cy, x - cx) <= RADIUS]
        mark = [(y, x) for y in range(64) for x in range(64) if math.hypot(y - cy, x - cx - 13) <= MARK]
        expected += [any(max(abs(y - v), abs(x - u)) <= reach for v, u in mark) for y, x in disc]
    assert (needed_radius(centres, 13) <= reach).tolist() == expected


def test_the_best_for_each_field_stands_with_the_optimum():
    optimum = context(None, "val", SHAPE).optimum
    assert optimum["pixel_accuracy@field1"] == optimum["pixel_accuracy@field15"] == 0.5
    assert optimum["pixel_accuracy@field25"] == expected_accuracy(12)
    fields = [int(name.partition("@field")[2]) for name in optimum if "@field" in name]
    assert optimum[f"pixel_accuracy@field{max(fields)}"] == optimum["pixel_accuracy"] == 1.0
    assert 2 * 10 + 1 <= max(fields) <= 2 * 17 + 1
    assert accuracies(np.array([0, 2, 2, 3])) == [0.625, 0.625, 0.875, 1.0]


def test_the_interval_of_chance_counts_an_object_and_its_twin_as_one():
    optimum = context(None, "val", SHAPE).optimum
    low, high = optimum["pixel_accuracy@chance_from"], optimum["pixel_accuracy@chance_to"]
    assert (low, high) == tuple(end / 256 for end in binom(256, 0.5).interval(0.95))


def test_a_network_that_heeds_another_objects_mark_strays_within_the_interval_of_chance():
    """Whole objects are right or wrong together with their twins: the widest that chance can be."""
    accuracy = []
    for seed in range(400):
        _, kinds = layout(stream(seed, "val"), 32, SHAPE, 14, 4)
        accuracy.append((kinds == np.roll(kinds, 1, axis=1))[:, :2].mean())
    low, high = chance_interval(16 * 2, 0.5)
    assert 0.92 < np.mean([low <= fraction <= high for fraction in accuracy]) <= 1.0


def test_every_seed_and_split_draws_its_own_images_and_the_same_ones_again():
    def drawn(split="train", seed=0):
        return context(None, split, SHAPE, train_count=8, val_count=8, seed=seed).images

    assert torch.equal(drawn(), drawn())
    assert not torch.equal(drawn(), drawn(seed=1))
    assert not torch.equal(drawn("train"), drawn("val"))


def test_an_odd_count_leaves_the_last_image_without_its_twin():
    assert len(context(None, "train", SHAPE, train_count=5)) == 5


def test_an_image_too_small_is_refused():
    with pytest.raises(ValueError, match="does not hold 4 objects with marks at 14 px"):
        context(None, "train", (3, 24, 24))
    with pytest.raises(ValueError, match="does not hold 40 objects"):
        context(None, "train", (3, 48, 48), objects=40, train_count=4)


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="train and val, not 'test'"):
        context(None, "test", SHAPE)
