from __future__ import annotations

import functools
import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from bench.data.boundaries import STRIDES, bands, best_miou, boundaries, fewest_errors, fill, grids
from bench.data.synthetic import stream


def interpolation(points, length):
    """Matrix (length, points + 2): linear interpolation on the grid, gone on by one point at either end."""
    step = points[1] - points[0]
    points = [points[0] - step, *points, points[-1] + step]
    matrix = np.zeros((length, len(points)))
    for pixel in range(length):
        k = max(i for i, point in enumerate(points[:-1]) if point <= pixel)
        weight = (pixel - points[k]) / (points[k + 1] - points[k])
        matrix[pixel, k], matrix[pixel, k + 1] = 1 - weight, weight
    return matrix


def scores_for(pattern, matrix):
    """Scores at the grid's points whose interpolation has this pattern of signs, or None if there are none."""
    signs = np.where(pattern, 1.0, -1.0)[:, None]
    free = [(None, None)] * matrix.shape[1]
    result = linprog(np.zeros(matrix.shape[1]), -signs * matrix, -np.ones(len(matrix)), bounds=free)
    return result.x if result.success else None


@functools.cache
def reachable_patterns(points, length):
    matrix = interpolation(points, length)
    everything = np.array(list(itertools.product([False, True], repeat=length)))
    return np.array([pattern for pattern in everything if scores_for(pattern, matrix) is not None])


@pytest.mark.parametrize(("length", "stride"), [(6, 2), (7, 3), (6, 4)])
def test_the_fewest_errors_are_those_of_trying_every_pattern_of_every_grid(length, stride):
    rows = np.array(list(itertools.product([False, True], repeat=length)))
    layouts = grids(length, stride)
    fewest = fewest_errors(rows, layouts)
    for points, result in zip(layouts, fewest, strict=True):
        patterns = reachable_patterns(points, length)
        distances = (rows[:, None] != patterns[None]).sum(axis=2).min(axis=1)
        assert result.tolist() == distances.tolist(), points


def test_offsets_between_half_pixels_reach_nothing_more():
    for offset in (Fraction(1, 3), Fraction(4, 5)):
        within = tuple(offset + 3 * k for k in range(-1, 3))
        half = tuple(Fraction(1, 2) + 3 * k for k in range(-1, 3))
        assert (reachable_patterns(within, 7) == reachable_patterns(half, 7)).all()


def test_the_best_miou_is_that_of_trying_every_pair_of_error_counts():
    rows = np.array([[0, 1, 0, 0, 1, 0], [1, 1, 0, 1, 0, 1]], dtype=bool)
    truth = fill(rows[:1], rows[1:], (6, 6))
    lines = [*truth[0], *truth[1].T]
    best = 0.0
    for upright, lying in itertools.product(grids(6, 3), repeat=2):
        sums = {(0, 0)}
        patterns = {True: reachable_patterns(upright, 6), False: reachable_patterns(lying, 6)}
        for index, line in enumerate(lines):
            tried = patterns[index < 6]
            pairs = {(int((p & ~line.astype(bool)).sum()), int((~p & line.astype(bool)).sum())) for p in tried}
            sums = {(a + x, b + y) for a, b in sums for x, y in pairs}
        best = max(best, *(0.5 * ((36 - y) / (36 + x) + (36 - x) / (36 + y)) for x, y in sums))
    assert best_miou(rows[:1], rows[1:], (6, 6), 3) == pytest.approx(best, abs=1e-12)


def test_a_grid_of_scores_reaches_the_fewest_errors_in_two_dimensions():
    length, stride = 8, 3
    row = np.array([1, 0, 1, 1, 0, 0, 1, 0], dtype=bool)
    truth = fill(row[None], np.zeros((0, length), dtype=bool), (length, length))[0]
    layouts = grids(length, stride)
    for points, fewest in zip(layouts, fewest_errors(row[None], layouts)[:, 0], strict=True):
        matrix = interpolation(points, length)
        patterns = reachable_patterns(points, length)
        best = patterns[(patterns != row).sum(axis=1).argmin()]
        along, down = scores_for(best, matrix), scores_for(np.arange(length) < length // 2, matrix)
        output = matrix @ np.outer(down, along) @ matrix.T > 0
        assert (output != truth).sum() == fewest * length


def miou(output, labels):
    confusion = torch.bincount(2 * labels.flatten().long() + output.flatten().long(), minlength=4).reshape(2, 2)
    return float((confusion.diag() / (confusion.sum(0) + confusion.sum(1) - confusion.diag())).mean())


def deconvolution(stride):
    ramp = 1 - (torch.arange(2 * stride) - (stride - 0.5)).abs() / stride
    kernel = torch.outer(ramp, ramp)[None, None]

    def upsample(scores, size):
        high = torch.nn.functional.conv_transpose2d(scores, kernel, stride=stride)
        margin = [(have - want) // 2 for have, want in zip(high.shape[2:], size, strict=True)]
        return high[:, :, margin[0] : margin[0] + size[0], margin[1] : margin[1] + size[1]]

    return upsample


def resize(mode, align_corners):
    def upsample(scores, size):
        return torch.nn.functional.interpolate(scores, size=size, mode=mode, align_corners=align_corners)

    return upsample


@pytest.mark.parametrize("stride", [4, 8, 16])
@pytest.mark.parametrize("way", ["deconvolution", "resized", "corners", "nearest"])
def test_scores_fitted_to_the_labels_themselves_do_not_beat_the_bound(stride, way):
    """The scores are free parameters fitted to the truth: no network of that stride can do better."""
    examples = boundaries(None, "val", (3, 48, 48), val_count=16)
    labels = examples.targets["labels"]
    upsample = {
        "deconvolution": deconvolution(stride),
        "resized": resize("bilinear", False),
        "corners": resize("bilinear", True),
        "nearest": resize("nearest", None),
    }[way]
    cells = 48 // stride + (2 if way == "deconvolution" else 0)
    scores = torch.randn(16, 1, cells, cells, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = torch.optim.Adam([scores], lr=0.3)
    reached = []
    for _ in range(120):
        output = upsample(scores, (48, 48))[:, 0]
        reached.append(miou(output > 0, labels))
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(output, labels.float()).backward()
        optimizer.step()
    assert max(reached) <= examples.optimum[f"miou@{stride}"]
    if way == "deconvolution" and stride <= 8:
        assert max(reached) > examples.optimum[f"miou@{stride}"] - 0.1


def test_the_bound_falls_with_the_stride_from_one_to_above_chance():
    optimum = boundaries(None, "val", (3, 80, 80)).optimum
    best = [optimum[f"miou@{stride}"] for stride in STRIDES]
    assert best == sorted(best, reverse=True)
    assert best[0] == optimum["miou"] == 1.0
    assert 0.95 < optimum["miou@8"] < 1
    assert 0.6 < optimum["miou@32"] < optimum["miou@16"] < 0.9


@pytest.mark.parametrize("shape", [(3, 80, 80), (1, 48, 64), (3, 120, 160)])
def test_labels_are_balanced_in_every_image_and_can_be_read_from_the_pixel(shape):
    examples = boundaries(None, "train", shape, train_count=9, val_count=4)
    labels = examples.targets["labels"]
    assert examples.images.shape == (9, *shape)
    assert (labels.float().mean(dim=(1, 2)) == 0.5).all()
    assert torch.equal(examples.images[:, 0] > 135, labels.bool())


def test_band_widths_are_as_asked():
    rows = bands(stream(0, "train"), 400, 200, (3, 5))
    widths = [len(list(run)) for row in rows for run in [list(g) for _, g in itertools.groupby(row)][1:-1]]
    fraction = np.bincount(widths, minlength=7) / len(widths)
    assert set(widths) == {3, 4, 5}
    assert np.abs(fraction[3:6] - 1 / 3).max() < 0.02
    assert abs(rows.mean() - 0.5) < 0.02


def test_every_seed_and_split_draws_its_own_images_and_the_same_ones_again():
    def drawn(split="train", seed=0):
        return boundaries(None, split, (3, 32, 32), train_count=4, val_count=4, seed=seed).images

    assert torch.equal(drawn(), drawn())
    assert not torch.equal(drawn(), drawn(seed=1))
    assert not torch.equal(drawn("train"), drawn("val"))


def test_what_has_no_exact_bound_is_refused():
    with pytest.raises(ValueError, match="even height and width, not 31 x 32"):
        boundaries(None, "train", (3, 31, 32), train_count=2)
    with pytest.raises(ValueError, match=r"narrowest \(9\) is more than widest \(4\)"):
        boundaries(None, "train", (3, 32, 32), narrowest=9, widest=4)
