"""Regions of an image that might be one thing each: superpixels, and what greedy merging makes of them.

Felzenszwalb & Huttenlocher 2004 (IJCV 59(2)) for the superpixels; Uijlings, van de Sande, Gevers & Smeulders 2013
(IJCV 104(2), Selective Search) for merging the most similar neighbours until few are left; Ward 1963 (JASA 58) for
the other measure of similarity. All of it is numpy on one image; `operator` is the same as an operator of torch, on a
batch, so that a network that proposes regions can still be recorded on the meta device.
"""

from __future__ import annotations

import functools
import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

Merging = Literal["size", "ward", "selective_search"]
Array = np.ndarray[Any, Any]

SCALE, SIGMA, SMALLEST = 20.0, 0.8, 10
"""Of the superpixels: their scale of observation (as of bytes), the blur in px, and the least size in px."""
BINS = 25
"""Of a colour histogram, per channel (Uijlings et al. 2013, section 3.2)."""
CONTEXT = 227 / 195
"""Side of a context box over that of its region's box: 16 px on either side of 227 (Girshick et al. 2014)."""


class MissingLibraryError(ImportError):
    """A library that only some variants need is not installed; the message says how to get it."""


def stretched(image: Array) -> Array:
    """(H, W, C) numbers of any range -> 0 to 1 over the image, float64; zeros where all are equal."""
    least, most = float(image.min()), float(image.max())
    stretched: Array = (image.astype(np.float64) - least) / ((most - least) or 1.0)
    return stretched


def superpixels(image: Array, smallest: int = SMALLEST) -> Array:
    """(H, W, C) in 0 to 1 -> the superpixel of every pixel, int64 (H, W) from 0 on, of `smallest` px and more.

    Raises MissingLibraryError without scikit-image.
    """
    try:
        from skimage.segmentation import felzenszwalb
    except ImportError as error:
        raise MissingLibraryError(
            "superpixels and hierarchies need scikit-image: pip install scikit-image (or take proposals=grid)"
        ) from error
    numbered: Array = felzenszwalb(image, scale=SCALE, sigma=SIGMA, min_size=smallest, channel_axis=-1)
    return numbered.astype(np.int64)


# -- merging -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Region:
    """What merging asks of a region: its size in px, mean colour, colour histogram (1 in sum), box."""

    size: int
    colour: tuple[float, ...]
    histogram: Array
    box: tuple[int, int, int, int]

    def joined(self, other: Region) -> Region:
        """Both together."""
        size = self.size + other.size
        share = self.size / size
        colour = tuple(share * a + (1 - share) * b for a, b in zip(self.colour, other.colour, strict=True))
        histogram = share * self.histogram + (1 - share) * other.histogram
        return Region(size, colour, histogram, around(self.box, other.box))


def around(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The smallest box (top, bottom, left, right), half-open, about two."""
    return min(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), max(one[3], other[3])


def _by_size(one: Region, other: Region, pixels: int) -> tuple[float, float]:
    """The smallest region first, into the neighbour of the nearest colour: the last step of the superpixels."""
    return min(one.size, other.size), math.dist(one.colour, other.colour)


def _ward(one: Region, other: Region, pixels: int) -> tuple[float, float]:
    """By how much the squared error of mean colours grows."""
    return one.size * other.size / (one.size + other.size) * math.dist(one.colour, other.colour) ** 2, 0.0


def _selective_search(one: Region, other: Region, pixels: int) -> tuple[float, float]:
    """Minus the sum of colour, size and fill similarity (section 3.2, equations 3, 5 and 6), texture left out."""
    top, bottom, left, right = around(one.box, other.box)
    both = one.size + other.size
    fill = 1 - ((bottom - top) * (right - left) - both) / pixels
    return -(float(np.minimum(one.histogram, other.histogram).sum()) + 1 - both / pixels + fill), 0.0


COSTS: dict[str, Callable[[Region, Region, int], tuple[float, float]]] = {
    "size": _by_size,
    "ward": _ward,
    "selective_search": _selective_search,
}
"""What each merging joins first: the pair of the least cost."""


def described(ids: Array, image: Array) -> list[Region]:
    """The regions of a map (H, W) on an image (H, W, C) in 0 to 1, in the order of their numbers."""
    flat, values = ids.ravel(), image.reshape(ids.size, -1)
    count, channels = int(flat.max()) + 1, values.shape[1]
    sizes = np.bincount(flat, minlength=count)
    sums = np.stack([np.bincount(flat, values[:, c], count) for c in range(channels)], 1) / sizes[:, None]
    cells = np.minimum((values * BINS).astype(np.int64), BINS - 1) + BINS * np.arange(channels)
    bins = (flat[:, None] * (BINS * channels) + cells).ravel()
    histograms = np.bincount(bins, minlength=count * BINS * channels).reshape(count, -1) / (sizes * channels)[:, None]
    boxes = zip(*(side.tolist() for side in extents(ids, count)), strict=True)
    rows = zip(sizes.tolist(), sums.tolist(), histograms, boxes, strict=True)
    return [Region(size, tuple(colour), histogram, box) for size, colour, histogram, box in rows]


def extents(ids: Array, count: int) -> tuple[Array, Array, Array, Array]:
    """First row, row behind the last, first column, column behind the last of each region: four (count,)."""
    sides: list[Array] = []
    for axis, length in enumerate(ids.shape):
        places = np.broadcast_to(np.arange(length).reshape((-1, 1) if axis == 0 else (1, -1)), ids.shape)
        present = np.bincount((ids * length + places).ravel(), minlength=count * length).reshape(count, length) > 0
        sides += [present.argmax(1), length - present[:, ::-1].argmax(1)]
    return sides[0], sides[1], sides[2], sides[3]


def neighbours(ids: Array) -> list[set[int]]:
    """Which regions have a pixel beside, above or below one of each region."""
    count = int(ids.max()) + 1
    pairs = np.concatenate([np.stack([a.ravel(), b.ravel()]) for a, b in _adjacent(ids)], 1)
    pairs = pairs[:, pairs[0] != pairs[1]]
    codes = np.unique(np.minimum(*pairs) * count + np.maximum(*pairs))
    adjacent: list[set[int]] = [set() for _ in range(count)]
    for one, other in zip((codes // count).tolist(), (codes % count).tolist(), strict=True):
        adjacent[one].add(other)
        adjacent[other].add(one)
    return adjacent


def _adjacent(ids: Array) -> list[tuple[Array, Array]]:
    return [(ids[:, :-1], ids[:, 1:]), (ids[:-1], ids[1:])]


def merged(ids: Array, image: Array, counts: Sequence[int], merging: Merging) -> list[Array]:
    """Neighbouring regions joined, the least costly pair first, until as few are left as `counts` say.

    `ids` (H, W) from 0 on without gaps, `image` (H, W, C) in 0 to 1, `counts` falling; a map int64 (H, W) for each of
    them, every region of one being a part of a region of the next. Ties go to the regions numbered first.
    """
    cost, pixels = COSTS[merging], ids.size
    regions, beside = described(ids, image), neighbours(ids)
    parents = list(range(len(regions)))
    heap = [(cost(regions[a], regions[b], pixels), a, b) for a in parents for b in beside[a] if a < b]
    heapq.heapify(heap)
    left, maps = len(regions), []
    for count in counts:
        while left > count:
            _, a, b = heapq.heappop(heap)
            if parents[a] != a or parents[b] != b:
                continue
            new, left = len(regions), left - 1
            parents[a] = parents[b] = new
            parents.append(new)
            regions.append(regions[a].joined(regions[b]))
            beside.append((beside[a] | beside[b]) - {a, b})
            for other in beside[new]:
                beside[other] -= {a, b}
                beside[other].add(new)
                heapq.heappush(heap, (cost(regions[new], regions[other], pixels), other, new))
        maps.append(_renumbered(ids, parents))
    return maps


def _renumbered(ids: Array, parents: Sequence[int]) -> Array:
    """The map of those that have no parent but themselves, numbered from 0 on without gaps."""
    roots = list(parents)
    for number in reversed(range(len(roots))):
        roots[number] = roots[roots[number]]
    _, numbers = np.unique(np.array(roots)[ids], return_inverse=True)
    numbered: Array = numbers.reshape(ids.shape)
    return numbered


def level_counts(regions: int, levels: int) -> tuple[int, ...]:
    """How many regions each level of a hierarchy has: a quarter of those before, one at least."""
    return tuple(max(1, regions // 4**level) for level in range(levels))


def partitions(image: Array, counts: Sequence[int], merging: Merging, smallest: int = SMALLEST) -> list[Array]:
    """The maps of `merged` for an image (H, W, C) of any range, from its superpixels on."""
    plain = stretched(image)
    return merged(superpixels(plain, smallest), plain, counts, merging)


def components(labels: Array) -> Array:
    """Connected pixels (4 neighbours) of one label: int64 (H, W) from 0 on.

    Raises MissingLibraryError without scikit-image.
    """
    try:
        from skimage.measure import label
    except ImportError as error:
        raise MissingLibraryError("an oracle's proposals need scikit-image: pip install scikit-image") from error
    numbered: Array = label(labels.astype(np.int64) + 1, background=0, connectivity=1)
    return numbered.astype(np.int64) - 1


def oracle(labels: Array, labelled: Array, regions: int) -> Array:
    """What one who knows the truth (H, W) would propose: its components, merged until `regions` are left.

    By Ward's cost, on the truth in place of the image. Other pixels than `labelled` (H, W) get the nearest one's.
    """
    from scipy.ndimage import distance_transform_edt

    if not labelled.any():
        return np.zeros(labels.shape, np.int64)
    nearest = distance_transform_edt(~labelled, return_distances=False, return_indices=True)
    present, truth = np.unique(labels[tuple(nearest)], return_inverse=True)
    truth = truth.reshape(labels.shape)
    return merged(components(truth), np.eye(len(present))[truth], (regions,), "ward")[0]


# -- what a network needs of regions ---------------------------------------------------------------------


def weights_on_cells(ids: Array, count: int, stride: int) -> tuple[Array, Array]:
    """How much each cell of a map counts in the mean over a region, and over its context box: (count, h, w) each.

    By the fraction of their area: cell (i, j) stands for pixels stride*i to stride*(i+1)-1, and so on. Weights of a
    region are 1 in sum, of a number that no pixel has, 0.
    """
    rows, columns = (np.arange(length) // stride for length in ids.shape)
    cells = (int(rows[-1]) + 1, int(columns[-1]) + 1)
    cell = rows[:, None] * cells[1] + columns
    area = np.bincount((ids * (cells[0] * cells[1]) + cell).ravel(), minlength=count * cells[0] * cells[1])
    area = area.reshape(count, *cells)
    sizes = area.sum((1, 2), keepdims=True)
    top, bottom, left, right = extents(ids, count)
    box = shares_along(top, bottom, stride, ids.shape[0])[:, :, None]
    box = box * shares_along(left, right, stride, ids.shape[1])[:, None, :]
    return area / np.maximum(sizes, 1), box * (sizes > 0)


def shares_along(start: Array, stop: Array, stride: int, length: int, context: float = CONTEXT) -> Array:
    """Fractions (count, ceil(length / stride)) of an axis's cells in intervals, `context` times as long, clipped."""
    middle, half = (start + stop) / 2, (stop - start) / 2 * context
    low, high = np.maximum(middle - half, 0)[:, None], np.minimum(middle + half, length)[:, None]
    edges = stride * np.arange(-(-length // stride) + 1)
    overlap = (np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1])).clip(min=0)
    shares: Array = overlap / overlap.sum(1, keepdims=True)
    return shares


def _of_image(
    image: Array, counts: Sequence[int], merging: Merging, smallest: int, stride: int
) -> tuple[Array, Array, Array, Array]:
    """`operator` for one image (H, W, C)."""
    maps = partitions(image, counts, merging, smallest)
    starts = np.cumsum([0, *counts[:-1]])
    members = np.zeros((len(counts), counts[0]), np.int64)
    for level, (ids, start) in enumerate(zip(maps, starts, strict=True)):
        members[level, maps[0]] = start + ids
    pairs = [weights_on_cells(ids, count, stride) for ids, count in zip(maps, counts, strict=True)]
    masks, boxes = (np.concatenate(parts).astype(np.float32) for parts in zip(*pairs, strict=True))
    return maps[0], members, masks, boxes


def _propose(
    image: Tensor, regions: int, levels: int, merging: str, smallest: int, stride: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    counts = level_counts(regions, levels)
    pictures = image.detach().permute(0, 2, 3, 1).float().cpu().numpy()
    kind = cast(Merging, merging)
    by_image = [_of_image(picture, counts, kind, smallest, stride) for picture in pictures]
    ids, members, masks, boxes = (torch.from_numpy(np.stack(p)).to(image.device) for p in zip(*by_image, strict=True))
    return ids, members, masks, boxes


def _shapes(
    image: Tensor, regions: int, levels: int, merging: str, smallest: int, stride: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    counts = level_counts(regions, levels)
    number, _, height, width = image.shape
    cells = (number, sum(counts), -(-height // stride), -(-width // stride))
    return (
        image.new_empty((number, height, width), dtype=torch.int64),
        image.new_empty((number, levels, regions), dtype=torch.int64),
        image.new_empty(cells, dtype=torch.float32),
        image.new_empty(cells, dtype=torch.float32),
    )


SCHEMA = (
    "partition(Tensor image, int regions, int levels, str merging, int smallest, int stride)"
    " -> (Tensor, Tensor, Tensor, Tensor)"
)


@functools.cache
def _library() -> Any:
    """Torch's register of operators with ours, made at the first call: importing a file must have no effect."""
    library = torch.library.Library("fovbench", "FRAGMENT")
    if not hasattr(torch.ops.fovbench, "partition"):
        library.define(SCHEMA)
        library.impl("partition", _propose, "CompositeExplicitAutograd")
        library.impl("partition", _shapes, "Meta")
    return library


def operator(
    image: Tensor, regions: int, levels: int, merging: Merging, stride: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Nested partitions of each image of a batch (N, C, H, W), without gradients.

    (the region of every pixel on the finest level, int64 (N, H, W); the row of the region of each level in which a
    region of the finest lies, int64 (N, levels, regions); the weights of `weights_on_cells` of regions, and of their
    context boxes, float32 (N, rows, h, w) each). Rows are the regions of all levels, one level behind the other.
    An image may have fewer regions than it may have; the last rows of a level are then zeros.
    """
    _library()
    pixels = image.detach()
    parts: tuple[Tensor, Tensor, Tensor, Tensor] = torch.ops.fovbench.partition(
        pixels, regions, levels, merging, SMALLEST, stride
    )
    return parts
