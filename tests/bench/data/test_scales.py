from __future__ import annotations

import itertools
from collections import defaultdict
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
import torch

from bench.data.examples import IGNORE
from bench.data.scales import FACTORS, GAP, SIDE, accuracies, chequer, expected_accuracy, layout, scales
from bench.data.synthetic import stream

SHAPE = (3, 80, 80)


def shades(image):
    """0 dark, 1 light, 2 ground, read off the blue channel (H, W) of a drawn image."""
    return np.select([image < 105, image > 155], [0, 1], 2)


@cache
def every_patch(smallest):
    """All patches that can be drawn: (class, probability of the patch within its class, shades with ground around)."""
    patches = []
    for kind, factor in enumerate(FACTORS):
        period = 2 * factor * smallest
        for phases in itertools.product(range(period), repeat=2):
            starts = (np.array(phases) + 0.5) / period
            light = chequer(np.array(kind), starts, smallest)
            patches.append(
                (kind, Fraction(1, period**2), np.pad(light.astype(int), SIDE * smallest, constant_values=2))
            )
    return patches


def views(patch, reach, smallest):
    """What is seen from each pixel of a padded patch, outside of it only that it is outside."""
    side = SIDE * smallest
    windows = np.lib.stride_tricks.sliding_window_view(patch, (2 * reach + 1, 2 * reach + 1))
    first = side - reach
    return windows[first : first + side, first : first + side].reshape(side * side, -1)


@cache
def chances(reach, smallest):
    """For each view the probability of each class with it: what a classifier by table knows."""
    table = defaultdict(lambda: [Fraction(0)] * len(FACTORS))
    fraction = Fraction(1, len(FACTORS) * (SIDE * smallest) ** 2)
    for kind, probability, patch in every_patch(smallest):
        for view in views(patch, reach, smallest).astype(np.uint8):
            table[view.tobytes()][kind] += probability * fraction
    return table


@pytest.mark.parametrize("reach", [0, 1, 2, 4])
def test_the_bound_is_what_a_table_of_all_views_of_all_patches_gets_right(reach):
    best = sum(max(by_class) for by_class in chances(reach, 2).values())
    assert best == expected_accuracy(reach, smallest=2)


def test_the_table_gets_that_much_right_of_images_that_were_drawn():
    examples = scales(None, "val", (3, 48, 48), smallest=2, objects=2, val_count=150)
    corners, kinds, _ = layout(stream(0, "val"), 150, (3, 48, 48), 2, 2)
    right = []
    for image, places, truth in zip(examples.images.numpy(), corners, kinds, strict=True):
        for (y, x), kind in zip(places, truth, strict=True):
            patch = np.pad(shades(image[2])[y : y + 16, x : x + 16], 16, constant_values=2)
            likelihoods = [chances(2, 2)[view.tobytes()] for view in views(patch, 2, 2).astype(np.uint8)]
            assert all(sum(by_class) > 0 for by_class in likelihoods)
            right += [np.argmax(by_class) == kind for by_class in likelihoods]
    assert np.mean(right) == pytest.approx(float(expected_accuracy(2, 2)), abs=0.01)


def longest_run(row):
    return max(len(list(run)) for _, run in itertools.groupby(row))


def test_the_whole_patch_tells_its_class_without_error():
    examples = scales(None, "val", SHAPE)
    corners, kinds, _ = layout(stream(0, "val"), 120, SHAPE, 3, 4)
    for image, places, truth in zip(examples.images.numpy(), corners, kinds, strict=True):
        for (y, x), kind in zip(places, truth, strict=True):
            patch = shades(image[2])[y : y + 24, x : x + 24]
            assert set(patch.flatten()) == {0, 1}
            assert longest_run(patch[0]) == longest_run(patch[:, 0]) == 3 * FACTORS[kind]


@pytest.mark.parametrize("smallest", [2, 3, 4, 8])
def test_the_bound_rises_from_chance_to_one_within_the_largest_square_and_a_half(smallest):
    best = accuracies(smallest)
    assert best[0] == Fraction(1, 3)
    assert list(best) == sorted(best)
    assert best[-1] == 1 > best[-2]
    assert len(best) - 1 <= 1.5 * FACTORS[-1] * smallest


def test_the_bounds_stand_with_the_optimum():
    optimum = scales(None, "val", SHAPE, val_count=3).optimum
    assert optimum["miou"] == optimum["pixel_accuracy"] == 1.0
    assert optimum["pixel_accuracy@field5"] == float(expected_accuracy(2))
    assert optimum[f"pixel_accuracy@field{2 * len(accuracies(3)) - 1}"] == 1.0
    assert expected_accuracy(500) == 1


def test_every_class_has_a_third_of_the_scored_pixels():
    for split, count in (("train", 480), ("val", 120)):
        examples = scales(None, split, SHAPE)
        labels = examples.targets["labels"]
        assert examples.images.shape == (count, *SHAPE)
        assert examples.images.dtype == labels.dtype == torch.uint8
        assert [int((labels == kind).sum()) for kind in range(3)] == [count * 4 * 24**2 // 3] * 3
        assert set(labels.unique().tolist()) == {0, 1, 2, IGNORE}


def test_triples_differ_in_nothing_but_their_patterns_and_show_each_patch_in_every_class():
    examples = scales(None, "val", SHAPE, val_count=30)
    labels = examples.targets["labels"].view(10, 3, 80, 80)
    images = examples.images.view(10, 3, *SHAPE)
    inside = labels[:, 0] != IGNORE
    for other in (1, 2):
        assert torch.equal(inside, labels[:, other] != IGNORE)
        ground = ~inside[:, None].expand(-1, 3, -1, -1)
        assert torch.equal(images[:, 0][ground], images[:, other][ground])
    assert (labels.sort(dim=1).values.permute(0, 2, 3, 1)[inside] == torch.tensor([0, 1, 2])).all()


def test_patches_keep_clear_of_each_other_and_of_the_edge():
    corners, _, _ = layout(stream(3, "train"), 60, (3, 90, 120), 3, 5)
    assert corners.min() >= GAP
    assert (corners + 24 + GAP <= (90, 120)).all()
    gaps = np.abs(corners[:, :, None] - corners[:, None]).max(-1)[:, ~np.eye(5, dtype=bool)]
    assert gaps.min() >= 24 + GAP


def test_patches_in_each_class_begin_anywhere():
    _, kinds, starts = layout(stream(0, "train"), 3000, SHAPE, 3, 2)
    for kind in range(3):
        of = starts[kinds == kind]
        assert np.abs(np.histogram(of[:, 0], 6, (0, 1))[0] / len(of) - 1 / 6).max() < 0.03
        assert abs(np.corrcoef(of.T)[0, 1]) < 0.08


def test_every_seed_and_split_draws_its_own_images_and_the_same_ones_again():
    def drawn(split="train", seed=0):
        return scales(None, split, SHAPE, train_count=6, val_count=6, seed=seed).images

    assert torch.equal(drawn(), drawn())
    assert not torch.equal(drawn(), drawn(seed=1))
    assert not torch.equal(drawn("train"), drawn("val"))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="does not hold 9 patches of 24 px"):
        scales(None, "train", SHAPE, objects=9, train_count=3)
    with pytest.raises(ValueError, match="does not hold 1 patches of 64 px"):
        scales(None, "train", (3, 64, 64), smallest=8, objects=1, train_count=3)
    with pytest.raises(ValueError, match="train and val, not 'test'"):
        scales(None, "test", SHAPE)
