"""Superpixels and greedy merging against merging by the definition, pixel by pixel; weights against slow means."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch

from architectures.layers import regions
from architectures.layers.regions import (
    BINS,
    CONTEXT,
    SMALLEST,
    MissingLibraryError,
    components,
    level_counts,
    merged,
    operator,
    oracle,
    partitions,
    superpixels,
    weights_on_cells,
)

KINDS = ("size", "ward", "selective_search")


def picture(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """A few soft blobs of colour with noise, (H, W, 3) in 0 to 1."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((height, width))
    image = 0.03 * rng.standard_normal((height, width, 3))
    for _ in range(8):
        y, x, size = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(4, 14)
        inside = (rows - y) ** 2 + (columns - x) ** 2 < size**2
        image[inside] += rng.uniform(0, 0.5, 3)
    return regions.stretched(image)


def blocks(height: int, width: int, side: int) -> np.ndarray:
    rows, columns = np.indices((height, width)) // side
    return rows * -(-width // side) + columns


# -- merging by the definition ---------------------------------------------------------------------------


def error(values: np.ndarray) -> float:
    return float(((values - values.mean(0)) ** 2).sum())


def by_ward(image: np.ndarray, one: np.ndarray, other: np.ndarray) -> tuple[float, ...]:
    return (error(image[one | other]) - error(image[one]) - error(image[other]),)


def by_size(image: np.ndarray, one: np.ndarray, other: np.ndarray) -> tuple[float, ...]:
    distance = image[one].mean(0) - image[other].mean(0)
    return min(one.sum(), other.sum()), float(np.sqrt((distance**2).sum()))


def by_selective_search(image: np.ndarray, one: np.ndarray, other: np.ndarray) -> tuple[float, ...]:
    def histogram(mask: np.ndarray) -> np.ndarray:
        counts = [np.histogram(image[mask][:, c], BINS, (0, 1))[0] for c in range(image.shape[2])]
        return np.concatenate(counts) / np.concatenate(counts).sum()

    rows, columns = np.nonzero(one | other)
    box = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    size, pixels = (one | other).sum(), one.size
    colour = np.minimum(histogram(one), histogram(other)).sum()
    return (-(colour + (1 - size / pixels) + (1 - (box - size) / pixels)),)


SLOW: dict[str, Callable[..., tuple[float, ...]]] = {
    "ward": by_ward,
    "size": by_size,
    "selective_search": by_selective_search,
}


def touching(one: np.ndarray, other: np.ndarray) -> bool:
    beside = (one[:, :-1] & other[:, 1:]) | (other[:, :-1] & one[:, 1:])
    below = (one[:-1] & other[1:]) | (other[:-1] & one[1:])
    return bool(beside.any() or below.any())


def merged_slowly(ids: np.ndarray, image: np.ndarray, count: int, merging: str) -> set[bytes]:
    """The masks of the regions that are left, every cost computed anew from the pixels before every step."""
    masks = [ids == number for number in range(ids.max() + 1)]
    while len(masks) > count:
        pairs = [
            (SLOW[merging](image, a, b), i, j) for (i, a), (j, b) in combinations(enumerate(masks), 2) if touching(a, b)
        ]
        _, i, j = min(pairs)
        masks = [mask for n, mask in enumerate(masks) if n not in (i, j)] + [masks[i] | masks[j]]
    return {mask.tobytes() for mask in masks}


@pytest.mark.parametrize("merging", KINDS)
def test_merging_joins_the_least_costly_neighbours_first(merging: str) -> None:
    rng = np.random.default_rng(3)
    image, ids = rng.uniform(0, 1, (9, 12, 3)), blocks(9, 12, 3)
    if merging == "size":
        ids[4:7, 4:8] = ids.max() + 1  # blocks of one size would be joined in any order
    for count in (7, 3):
        found = merged(ids, image, (count,), merging)[0]
        assert {(found == n).tobytes() for n in range(found.max() + 1)} == merged_slowly(ids, image, count, merging)


@pytest.mark.parametrize("merging", KINDS)
def test_a_hierarchy_nests_and_has_as_many_regions_as_it_should(merging: str) -> None:
    counts = level_counts(33, 4)
    assert counts == (33, 8, 2, 1)
    maps = partitions(picture(), counts, merging)
    for ids, count in zip(maps, counts, strict=True):
        assert ids.shape == (48, 64)
        assert np.array_equal(np.unique(ids), np.arange(count))
    for fine, coarse in pairwise(maps):
        assert all(len(np.unique(coarse[fine == n])) == 1 for n in range(fine.max() + 1))


def test_an_image_with_fewer_superpixels_than_regions_keeps_them() -> None:
    halves = np.zeros((40, 40, 3))
    halves[:, 20:] = 1
    (ids,) = partitions(halves, (16,), "ward")
    assert ids.max() == superpixels(halves).max() < 15
    assert not set(ids[:, :18].flat) & set(ids[:, 22:].flat)


def test_superpixels_are_numbered_without_gaps_and_have_the_least_size() -> None:
    ids = superpixels(picture())
    sizes = np.bincount(ids.ravel())
    assert ids.min() == 0
    assert sizes.min() >= SMALLEST
    assert len(sizes) > 20


def test_the_unit_and_the_brightness_of_an_image_make_no_regions() -> None:
    image = picture().astype(np.float32)
    first, second = partitions(image, (20,), "ward")[0], partitions(4 * image - 2, (20,), "ward")[0]
    assert (first == second).mean() > 0.99  # rounding may move a pixel


def test_an_image_of_one_colour_is_one_superpixel() -> None:
    assert partitions(np.full((32, 32, 3), 7.0), (4,), "ward")[0].max() == 0


def test_without_scikit_image_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.segmentation", None)
    with pytest.raises(MissingLibraryError, match="pip install scikit-image"):
        superpixels(picture())


# -- what an oracle would propose ------------------------------------------------------------------------


def test_the_oracle_proposes_the_components_of_the_truth() -> None:
    truth = np.zeros((20, 30), np.uint8)
    truth[5:10, 5:10] = truth[12:18, 20:26] = 1
    ids = oracle(truth, truth < 2, 8)
    assert ids.max() == 2
    assert all(len(np.unique(truth[ids == n])) == 1 for n in range(3))
    assert np.array_equal(ids, components(truth))


def test_an_oracle_with_too_few_regions_gives_up_the_smallest_thing() -> None:
    truth = np.zeros((20, 30), np.uint8)
    truth[2:4, 2:4], truth[8:18, 12:26] = 1, 1
    ids = oracle(truth, truth < 2, 2)
    assert ids.max() == 1
    assert len(np.unique(truth[ids == ids[10, 15]])) == 1
    assert ids[2, 2] == ids[0, 0]


def test_void_pixels_cost_the_oracle_no_region() -> None:
    truth = np.zeros((20, 30), np.uint8)
    truth[:, 15:] = 1
    truth[:, 14:16] = truth[3:5, 3:5] = 255
    assert oracle(truth, truth < 2, 8).max() == 1
    assert oracle(truth, np.zeros((20, 30), bool), 8).max() == 0


# -- weights ---------------------------------------------------------------------------------------------


def overlap(start: float, stop: float, low: float, high: float) -> float:
    return max(0.0, min(stop, high) - max(start, low))


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_weights_are_the_shares_of_cells_in_regions_and_in_context_boxes(stride: int) -> None:
    rng = np.random.default_rng(0)
    ids = rng.permutation(6)[blocks(21, 30, 11)]
    masks, boxes = weights_on_cells(ids, 8, stride)
    height, width = -(-21 // stride), -(-30 // stride)
    assert masks.shape == boxes.shape == (8, height, width)
    assert not masks[6:].any()
    assert not boxes[6:].any()
    for number in range(6):
        rows, columns = np.nonzero(ids == number)
        expected = np.zeros((height, width))
        np.add.at(expected, (rows // stride, columns // stride), 1 / len(rows))
        assert np.allclose(masks[number], expected)
        sides = []
        for places, length in ((rows, 21), (columns, 30)):
            start, stop = places.min(), places.max() + 1
            more = (stop - start) * (CONTEXT - 1) / 2
            sides.append((max(start - more, 0), min(stop + more, length)))
        (top, bottom), (left, right) = sides
        for i in range(height):
            for j in range(width):
                area = overlap(top, bottom, stride * i, stride * i + stride)
                area *= overlap(left, right, stride * j, stride * j + stride)
                assert boxes[number, i, j] == pytest.approx(area / ((bottom - top) * (right - left)), abs=1e-12)


# -- the operator ----------------------------------------------------------------------------------------


def batch(*pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()


def test_the_operator_says_in_which_regions_of_every_level_a_region_lies() -> None:
    images = batch(picture(seed=1), picture(seed=2))
    ids, members, masks, boxes = operator(images, 20, 2, "ward", 4)
    assert [tuple(t.shape) for t in (ids, members, masks, boxes)] == [
        (2, 48, 64),
        (2, 2, 20),
        (2, 25, 12, 16),
        (2, 25, 12, 16),
    ]
    for image, own, rows, weights in zip(images, ids, members, masks, strict=True):
        fine, coarse = partitions(image.permute(1, 2, 0).numpy(), (20, 5), "ward")
        assert np.array_equal(own, fine)
        assert np.array_equal(rows[0][own], fine)
        assert np.array_equal(rows[1][own], 20 + coarse)
        assert torch.allclose(weights.sum((1, 2)), torch.ones(25))


def test_regions_of_an_image_do_not_depend_on_the_others_of_its_batch() -> None:
    images = batch(picture(seed=1), picture(seed=2))
    together, alone = operator(images, 20, 1, "ward", 4), operator(images[1:], 20, 1, "ward", 4)
    assert all(torch.equal(a[1:], b) for a, b in zip(together, alone, strict=True))


def test_on_the_meta_device_the_operator_has_the_same_shapes_and_types() -> None:
    images = batch(picture(45, 61))
    real, meta = operator(images, 12, 3, "ward", 8), operator(images.to("meta"), 12, 3, "ward", 8)
    assert [(t.shape, t.dtype) for t in real] == [(t.shape, t.dtype) for t in meta]
    assert all(t.is_meta for t in meta)


def test_the_operator_takes_images_that_a_gradient_is_asked_of() -> None:
    images = batch(picture()).requires_grad_()
    assert not any(t.requires_grad for t in operator(images, 12, 1, "ward", 8))
