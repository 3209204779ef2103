"""Synthetic dataset `boundaries`: thin bands, and the best mIoU that any output of stride s can reach.

An image is one row of bands, upright in the first half of its rows and with the classes exchanged in the
second half. Every other image is turned: its bands lie, its halves stand side by side. Band widths are
independent, uniform from `narrowest` to `widest` px. The classes differ plainly in colour, so the label
of a pixel can be read from the pixel itself: the only difficulty is the resolution of the output.

**What an output of stride s is.** Two scores at the points of a grid, interpolated between them
linearly in each axis (a fixed bilinear transposed convolution, `interpolate` with mode bilinear) or by the
nearest point; a pixel gets the class of the larger score. In each axis the grid is either points every s px
at any offset, or ceil(size / s) points resized to the image, corner-aligned or not; it goes on beyond the
edges of the image. The scores are any real numbers. Outputs through a learned or a cubic kernel, through
convolutions after the upsampling, or with more classes than two are other outputs, to which this bound does not apply.

**Its best score, exactly.** Along a row the difference of the two scores is linear between neighbouring
points, so the labels change at most once in each interval. Conversely every row of labels that does so
occurs: choose the sign at each point, then the sizes one after the other, each of which puts one crossing
of zero where it should be. `fewest_errors` finds the fewest wrong pixels of such a row, e, by dynamic
programming. The exchanged row has the same e (exchange the scores), so no output has fewer than e times
the number of rows wrong in this image; the product of the best row's scores with a function of the row
number that changes sign in the middle has no more, and as many of either class. Summed over the images:
E of T pixels, where either class has T/2. An output with x false positives and y false negatives of
class 1 has

    mIoU = 1 - (x + y) / 2 * (1 / (T/2 + x) + 1 / (T/2 + y)),

which for a given x + y is largest at x = y (1/z is convex) and falls with x + y. So the best is
(T - E) / (T + E). A constant answer scores 1/3.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt

from bench.data.examples import IGNORE, Examples
from bench.data.synthetic import Grid, noise, paint, stream
from bench.registry import Bounds, dataset

NAMES = ("slate", "sand")
PALETTE = ((50, 80, 120), (220, 180, 110))
STRIDES = (1, 2, 4, 8, 16, 32)
NEVER = 1 << 14
"""More wrong pixels than a row has: the cost of an impossible state."""

Counts = npt.NDArray[np.int16]
Points = tuple[Fraction, ...]


@dataset(
    task="segmentation",
    licence="Apache-2.0: drawn by this program",
    source="fovbench, synthetic dataset with a known optimum",
    embedded=True,
    requires={"classes": 2},
)
def boundaries(
    root: Path | None,
    split: str,
    shape: tuple[int, int, int],
    *,
    narrowest: Annotated[int, Bounds(1, 256)] = 4,
    widest: Annotated[int, Bounds(1, 256)] = 16,
    train_count: Annotated[int, Bounds(1, 65536)] = 512,
    val_count: Annotated[int, Bounds(1, 65536)] = 128,
    seed: Annotated[int, Bounds(0, 4294967295)] = 0,
) -> Examples:
    """Thin bands of two classes, with the best possible mIoU at every output stride.

    `shape` is (C, H, W), H and W even. Labels are 0 and 1, every pixel counts; `optimum` has `miou` and,
    for s in STRIDES, `miou@s`. Needs no `root`. Raises ValueError for an odd size or an unknown split.
    """
    import torch

    rng = stream(seed, split)
    count = train_count if split == "train" else val_count
    upright = bands(rng, count - count // 2, shape[2], (narrowest, widest))
    lying = bands(rng, count // 2, shape[1], (narrowest, widest))
    labels = fill(upright, lying, shape[1:])
    images = paint(noise(rng, count, shape), (labels == 0, labels == 1), PALETTE)
    best = {f"miou@{s}": best_miou(upright, lying, shape[1:], s) for s in STRIDES}
    return Examples(
        images=torch.from_numpy(images),
        targets={"labels": torch.from_numpy(labels)},
        names=NAMES,
        ignore=IGNORE,
        palette=PALETTE,
        optimum={"miou": 1.0, **best},
        publishable=True,
    )


def bands(rng: np.random.Generator, count: int, length: int, widths: tuple[int, int]) -> Grid:
    """Rows (count, length) of bands of random widths; the first is cut at random, and of either class.

    Raises ValueError where the narrowest is wider than the widest.
    """
    narrowest, widest = widths
    if narrowest > widest:
        raise ValueError(f"narrowest ({narrowest}) is more than widest ({widest})")
    drawn = rng.integers(narrowest, widest + 1, (count, length // narrowest + 2))
    cut = rng.integers(0, drawn[:, :1], (count, 1))
    ends = drawn.cumsum(axis=1) - cut
    passed = (ends[:, :, None] <= np.arange(length)).sum(axis=1)
    rows: Grid = (passed + rng.integers(0, 2, (count, 1))) % 2 == 1
    return rows


def fill(upright: Grid, lying: Grid, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Labels (N, H, W): images of upright (n, W) and of lying bands (m, H) in turn, n = m or m + 1.

    Raises ValueError for an odd height or width, where the halves of an image would differ.
    """
    height, width = size
    if height % 2 or width % 2:
        raise ValueError(f"boundaries needs an even height and width, not {height} x {width}")
    labels = np.empty((len(upright) + len(lying), height, width), dtype=np.uint8)
    labels[0::2] = upright[:, None, :] ^ (np.arange(height)[:, None] >= height // 2)
    labels[1::2] = lying[:, :, None] ^ (np.arange(width) >= width // 2)
    return labels


def best_miou(upright: Grid, lying: Grid, size: tuple[int, int], stride: int) -> float:
    """The best mIoU over the whole dataset of any output of this stride: see the module's text."""
    height, width = size
    wrong = height * _fewest_of_any_grid(upright, stride) + width * _fewest_of_any_grid(lying, stride)
    total = (len(upright) + len(lying)) * height * width
    return (total - wrong) / (total + wrong)


def _fewest_of_any_grid(rows: Grid, stride: int) -> int:
    return int(fewest_errors(rows, grids(rows.shape[1], stride)).sum(axis=1, dtype=np.int64).min())


def grids(length: int, stride: int) -> list[Points]:
    """The points, in pixels, of every grid of this stride on an axis of this length.

    Offsets in half pixels represent all offsets: only the pixels that two points enclose matter.
    """
    count = -(-length // stride)
    at_offsets = [tuple(Fraction(half, 2) + stride * k for k in range(-1, count + 1)) for half in range(2 * stride)]
    resized = tuple(Fraction((2 * k + 1) * length, 2 * count) - Fraction(1, 2) for k in range(count))
    corners = tuple(Fraction(k * (length - 1), count - 1) for k in range(count)) if count > 1 else ()
    return [*at_offsets, resized, corners]


def fewest_errors(rows: Grid, layouts: list[Points]) -> Counts:
    """The fewest wrong pixels (layouts, rows) when labels change at most once between neighbouring points.

    `rows` is (N, L). Dynamic programming over pixels; the state is the label, and whether the interval
    that goes on to the right has had its change: cost (label, spent, layouts, rows).
    """
    at, within = (flags.T[:, :, None] for flags in crossed(layouts, rows.shape[1]))
    miss = np.stack([rows, ~rows]).transpose(2, 0, 1)[:, :, None]
    cost = np.full((2, 2, len(layouts), len(rows)), NEVER, dtype=np.int16)
    cost[:, 0] = miss[0]
    for pixel in range(1, rows.shape[1]):
        cost[:, 0] = np.where(at[pixel - 1], cost.min(axis=1), cost[:, 0])
        cost = _step(cost, within[pixel - 1]) + miss[pixel, :, None]
    fewest: Counts = cost.min(axis=(0, 1))
    return fewest


def _step(cost: Counts, within: Grid) -> Counts:
    """Cost after the gap to the next pixel: the label stays or changes.

    With a point `within` the gap, a change belongs to the interval before the point or to the one after it.
    """
    fresh, spent = cost[:, 0], cost[:, 1]
    changed = fresh[::-1]
    either = np.minimum(fresh, spent)
    return np.stack(
        [
            np.where(within, np.minimum(either, changed), fresh),
            np.where(within, either[::-1], np.minimum(spent, changed)),
        ],
        axis=1,
    )


def crossed(layouts: list[Points], length: int) -> tuple[Grid, Grid]:
    """For each layout and pixel: whether a point lies on it, and whether one lies before the next pixel."""
    at, within = np.zeros((2, len(layouts), length), dtype=bool)
    for layout, points in enumerate(layouts):
        for point in points:
            if 0 <= point < length:
                (at if point.denominator == 1 else within)[layout, int(point)] = True
    return at, within
