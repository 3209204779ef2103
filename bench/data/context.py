"""Synthetic dataset `context`: an object's class is stated only by a mark at a fixed distance.

Grey discs of radius 3 px lie on a dark ground. At `distance` px to the right of each disc's centre lies
its mark, of radius 2 px: yellow for one class, blue for the other. The discs of both classes are the
same. Only the pixels of discs are scored.

Images come as twins: the second is the first with every mark of the other kind, and not one pixel
outside the marks differs. So a network whose receptive field holds no mark gives the same answer twice and is right
exactly once: chance is exactly 1/2, in the sample drawn and not only on average. The kinds of the marks in one
image are independent fair coins, so another object's mark carries no information.

A pixel whose receptive field holds any pixel of its own mark can be classified without error (the kinds' colours do not
overlap), so the best score of a network follows by counting the pixels of objects whose receptive
field holds a pixel of their mark: `expected_accuracy`. Centres are real numbers, uniform in the image.

Train on it without augmentation: a mirrored image has its marks on the left, a zoomed one elsewhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt

from bench.data.chance import chance_interval
from bench.data.examples import IGNORE, Examples
from bench.data.placing import Points, place
from bench.data.synthetic import Grid, Pixels, noise, paint, stream
from bench.registry import Bounds, dataset

RADIUS = 3.0
MARK = 2.0
GAP = 2.0
"""Px that stay free between any two discs of different objects, and between discs and the image's edge."""

UNREACHABLE = np.int16(np.iinfo(np.int16).max)

NAMES = ("yellow", "blue")
PALETTE = ((230, 200, 40), (40, 90, 210))
GROUND, OBJECT = (60, 70, 80), (150, 150, 150)


@dataset(
    task="segmentation",
    licence="Apache-2.0: drawn by this program",
    source="fovbench, synthetic dataset with a known optimum",
    embedded=True,
    requires={"classes": 2},
)
def context(
    root: Path | None,
    split: str,
    shape: tuple[int, int, int],
    *,
    distance: Annotated[int, Bounds(7, 256)] = 14,
    objects: Annotated[int, Bounds(1, 64)] = 4,
    train_count: Annotated[int, Bounds(1, 65536)] = 512,
    val_count: Annotated[int, Bounds(1, 65536)] = 128,
    seed: Annotated[int, Bounds(0, 4294967295)] = 0,
) -> Examples:
    """Discs whose class is stated only by a mark `distance` px to their right; chance is 1/2.

    `shape` is (C, H, W). Labels are 0 or 1 on discs, IGNORE elsewhere. Needs no `root`.
    Raises ValueError where the objects do not fit into the image, or for an unknown split.
    """
    import torch

    rng = stream(seed, split)
    count = train_count if split == "train" else val_count
    centres, kinds = layout(rng, count, shape, distance, objects)
    images, labels = draw(rng, centres, kinds, shape, distance)
    return Examples(
        images=torch.from_numpy(images),
        targets={"labels": torch.from_numpy(labels)},
        names=NAMES,
        ignore=IGNORE,
        palette=PALETTE,
        optimum={"miou": 1.0, "pixel_accuracy": 1.0, **best_scores(centres, distance)},
        publishable=True,
    )


def layout(
    rng: np.random.Generator, count: int, shape: tuple[int, int, int], distance: int, objects: int
) -> tuple[Points, Grid]:
    """Centres (count, objects, 2) as (y, x) in px, and classes (count, objects); 2i and 2i+1 are twins.

    Raises ValueError where that many objects do not fit such that none, and no mark, touches another's.
    """
    pairs = (count + 1) // 2
    margin = RADIUS + GAP
    low = np.array([margin, margin])
    high = np.array([shape[1] - 1 - margin, shape[2] - 1 - distance - MARK - GAP])
    centres = place(rng, pairs, objects, (low, high), lambda new, placed: apart(new, placed, distance))
    if centres is None:
        raise ValueError(f"an image of this shape does not hold {objects} objects with marks at {distance} px")
    kinds = rng.random((pairs, objects)) < 0.5
    twins = np.stack([kinds, ~kinds], axis=1).reshape(2 * pairs, objects)
    return np.repeat(centres, 2, axis=0)[:count], twins[:count]


def apart(candidates: Points, placed: Points, distance: int) -> Grid:
    """Which candidates (n, T, 2) keep disc and mark clear of all those of `placed` (n, k, 2): (n, T)."""
    between = candidates[:, :, None] - placed[:, None]
    shift = np.array([0.0, distance])
    gaps = [
        np.linalg.norm(between, axis=-1) - 2 * RADIUS,
        np.linalg.norm(between + shift, axis=-1) - RADIUS - MARK,
        np.linalg.norm(between - shift, axis=-1) - RADIUS - MARK,
    ]
    clear: Grid = np.all([np.all(gap >= GAP, axis=-1) for gap in gaps], axis=0)
    return clear


def draw(
    rng: np.random.Generator,
    centres: Points,
    kinds: Grid,
    shape: tuple[int, int, int],
    distance: int,
) -> tuple[Pixels, Pixels]:
    """Images (N, C, H, W) and labels (N, H, W), both uint8; twins share their noise."""
    count = len(centres)
    labels = np.full((count, *shape[1:]), IGNORE, dtype=np.uint8)
    marks = np.full_like(labels, IGNORE)
    stamp(labels, centres, RADIUS, kinds)
    stamp(marks, centres + [0.0, distance], MARK, kinds)
    where = [(labels == IGNORE) & (marks == IGNORE), labels != IGNORE, marks == 0, marks == 1]
    noisy = np.repeat(noise(rng, (count + 1) // 2, shape), 2, axis=0)[:count]
    return paint(noisy, where, (GROUND, OBJECT, *PALETTE)), labels


def offsets(radius: float) -> npt.NDArray[np.intp]:
    """The square of pixels (P, 2), relative to the one a centre lies in, that holds every disc of this radius."""
    side = np.arange(-int(radius) - 1, int(radius) + 2)
    return np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)


def window(centres: Points, radius: float) -> tuple[npt.NDArray[np.intp], Grid]:
    """Pixels (..., P, 2) around each centre (..., 2), and which (..., P) are no farther than `radius`."""
    pixels = np.floor(centres).astype(np.intp)[..., None, :] + offsets(radius)
    return pixels, np.linalg.norm(pixels - centres[..., None, :], axis=-1) <= radius


def stamp(target: Pixels, centres: Points, radius: float, values: Grid) -> None:
    """Set `values` (N, objects) in `target` (N, H, W) on the disc around each centre (N, objects, 2)."""
    pixels, inside = window(centres, radius)
    image, thing, _ = np.nonzero(inside)
    y, x = pixels[inside].T
    target[image, y, x] = values[image, thing]


def needed_radius(centres: Points, distance: int) -> npt.NDArray[np.int16]:
    """For each pixel of each disc: px to every side that a square receptive field needs to hold a pixel of its mark.

    `centres` is (N, objects, 2); the result is flat, in the order of images, objects and rows.
    """
    (_, inside), (_, drawn) = window(centres, RADIUS), window(centres + [0.0, distance], MARK)
    between = offsets(RADIUS)[:, None] - offsets(MARK) - [0, distance]
    far = np.abs(between).max(axis=-1).astype(np.int16)
    nearest: npt.NDArray[np.int16] = np.where(drawn[..., None, :], far, UNREACHABLE).min(axis=-1)[inside]
    return nearest


def accuracies(needed: npt.NDArray[np.int16]) -> list[float]:
    """The best pixel accuracy for each radius 0, 1, .. of the receptive field, up to the first that holds every mark.

    A pixel whose receptive field holds its mark is right, any other is right half of the time.
    """
    within = np.bincount(needed).cumsum() / len(needed)
    return [float(best) for best in 0.5 + 0.5 * within]


def best_scores(centres: Points, distance: int) -> dict[str, float]:
    """The best scores of a split: `pixel_accuracy@field25` is that of a square receptive field of 25 px.

    `pixel_accuracy@chance_from` to `.._to` is the 95 % interval of networks whose receptive field never holds the
    pixel's own mark: an object in both twins is one cluster, since a network that uses other objects' marks may be
    right on all of it or on nothing.
    """
    low, high = chance_interval((len(centres) + 1) // 2 * centres.shape[1], 0.5)
    best = {f"field{2 * radius + 1}": best for radius, best in enumerate(accuracies(needed_radius(centres, distance)))}
    return {f"pixel_accuracy@{name}": value for name, value in {"chance_from": low, "chance_to": high, **best}.items()}


def expected_accuracy(
    radius: int,
    *,
    distance: int = 14,
    split: str = "val",
    shape: tuple[int, int, int] = (3, 80, 80),
    objects: int = 4,
    count: int = 128,
    seed: int = 0,
) -> float:
    """The pixel accuracy of a perfect network with this receptive field on a split, by counting its pixels.

    A pixel whose receptive field holds its mark is right, any other is right half of the time. `radius` is in px to
    every side: a square receptive field of 2 * radius + 1. `count` is the number of images of the split.
    """
    centres, _ = layout(stream(seed, split), count, shape, distance, objects)
    best = accuracies(needed_radius(centres, distance))
    return best[min(radius, len(best) - 1)]
