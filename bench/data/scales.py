"""Synthetic dataset `scales`: the same texture at several sizes; the class is the size.

Square patches of one side lie on a blue ground. All are chequered, dark and light; the squares of the chequer are
`smallest`, twice or four times `smallest` px wide, and that is the class. A patch is twice as wide as the largest
square, and its pattern begins anywhere. Place, outline and colours are the same in all classes. Only the pixels
of patches are scored.

Images come in triples: place, noise and where a pattern begins (as a fraction of its period) are shared, and the
class of each patch runs through all three. So each class has exactly a third of the scored pixels.

**The best score of a network whose receptive field is a square of n px about its pixel, exactly.** Its input is the
part of the patch within its square. There the pattern is (row XOR column), so all that depends on the class are the
places where rows and where columns change colour: colours themselves, what lies outside the patch, and the place
of the pixel in its patch have the same distribution in every class. In a class of squares of c px the rows change
at phase, phase + c, .. with a phase uniform over 0 to c - 1, and so do the columns, independently. So the
probability p_c(x | i) of the changes x along one axis, from place i in the patch, is a fraction of c phases, and the
best answer is the class with the largest p_c(x | i) p_c(y | j). It is right in

    1/(3 L^2) * sum over places i, j and over changes x, y of max over c of p_c(x | i) p_c(y | j)

of the pixels, on average over phases; L is the patch's side. `expected_accuracy` counts that in whole numbers.
It is 1 from a certain n on: there the answer is right for every draw.

Train on it without augmentation: a zoomed patch has another size than its label states.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt

from bench.data.examples import IGNORE, Examples
from bench.data.placing import Points, place
from bench.data.synthetic import Grid, Pixels, noise, paint, stream
from bench.registry import Bounds, dataset

FACTORS = (1, 2, 4)
"""Widths of the squares of each class, in multiples of the smallest."""
SIDE = 8
"""The side of a patch in the same measure: two of the largest squares."""
GAP = 2
"""Px that stay free between patches, and between patches and the image's edge."""

NAMES = ("fine", "middle", "coarse")
PALETTE = ((230, 159, 40), (86, 180, 233), (20, 158, 115))
GROUND, DARK, LIGHT = (50, 70, 130), (80, 80, 80), (190, 190, 190)

Ints = npt.NDArray[np.intp]
Probabilities = tuple[int, ...]


@dataset(
    task="segmentation",
    licence="Apache-2.0: drawn by this program",
    source="fovbench, synthetic dataset with a known optimum",
    embedded=True,
    requires={"classes": 3},
)
def scales(
    root: Path | None,
    split: str,
    shape: tuple[int, int, int],
    *,
    smallest: Annotated[int, Bounds(2, 8)] = 3,
    objects: Annotated[int, Bounds(1, 64)] = 4,
    train_count: Annotated[int, Bounds(1, 65536)] = 480,
    val_count: Annotated[int, Bounds(1, 65536)] = 120,
    seed: Annotated[int, Bounds(0, 4294967295)] = 0,
) -> Examples:
    """Chequered patches of one side whose class is the size of their squares; chance is 1/3.

    `shape` is (C, H, W). Labels are 0, 1, 2 on patches, IGNORE elsewhere. `optimum` has `miou`, `pixel_accuracy`
    and, for a square receptive field of 9 px about its pixel, `pixel_accuracy@field9`, and so on. Needs no `root`.
    Raises ValueError where the patches do not fit into the image, or for an unknown split.
    """
    import torch

    rng = stream(seed, split)
    count = train_count if split == "train" else val_count
    images, labels = draw(rng, *layout(rng, count, shape, smallest, objects), shape, smallest)
    best = {f"pixel_accuracy@field{2 * radius + 1}": float(best) for radius, best in enumerate(accuracies(smallest))}
    return Examples(
        images=torch.from_numpy(images),
        targets={"labels": torch.from_numpy(labels)},
        names=NAMES,
        ignore=IGNORE,
        palette=PALETTE,
        optimum={"miou": 1.0, "pixel_accuracy": 1.0, **best},
        publishable=True,
    )


def layout(
    rng: np.random.Generator, count: int, shape: tuple[int, int, int], smallest: int, objects: int
) -> tuple[Ints, Ints, Points]:
    """Corners (count, objects, 2) as (y, x) in px, classes (count, objects), starts (count, objects, 2).

    A start is the fraction of a period that lies before the corner. Images 3i to 3i + 2 are a triple. Raises
    ValueError where that many patches do not fit.
    """
    triples, side = -(-count // len(FACTORS)), SIDE * smallest
    low, high = np.full(2, float(GAP)), np.array(shape[1:]) - side - GAP + 1.0
    corners = place(rng, triples, objects, (low, high), lambda new, placed: apart(new, placed, side))
    if corners is None:
        raise ValueError(f"an image of this shape does not hold {objects} patches of {side} px")
    kinds = rng.integers(0, len(FACTORS), (triples, 1, objects)) + np.arange(len(FACTORS))[:, None]
    starts = rng.random((triples, objects, 2))
    thrice = [np.repeat(values, len(FACTORS), axis=0)[:count] for values in (np.floor(corners), starts)]
    return thrice[0].astype(np.intp), (kinds % len(FACTORS)).reshape(-1, objects)[:count], thrice[1]


def apart(candidates: Points, placed: Points, side: int) -> Grid:
    """Which candidates (n, T, 2), rounded down to a pixel, keep clear of all patches of `placed` (n, k, 2): (n, T)."""
    between = np.abs(np.floor(candidates)[:, :, None] - np.floor(placed)[:, None])
    clear: Grid = np.all(between.max(axis=-1) >= side + GAP, axis=-1)
    return clear


def draw(
    rng: np.random.Generator,
    corners: Ints,
    kinds: Ints,
    starts: Points,
    shape: tuple[int, int, int],
    smallest: int,
) -> tuple[Pixels, Pixels]:
    """Images (N, C, H, W) and labels (N, H, W), both uint8; triples share their noise."""
    count, side = len(corners), SIDE * smallest
    labels = np.full((count, *shape[1:]), IGNORE, dtype=np.uint8)
    light = np.zeros_like(labels, dtype=bool)
    y, x = (corners[..., axis, None] + np.arange(side) for axis in range(2))
    where = np.arange(count)[:, None, None, None], y[..., :, None], x[..., None, :]
    labels[where] = kinds[..., None, None]
    light[where] = chequer(kinds, starts, smallest)
    inside = labels != IGNORE
    triples = noise(rng, -(-count // len(FACTORS)), shape)
    noisy = np.repeat(triples, len(FACTORS), axis=0)[:count]
    return paint(noisy, (~inside, inside & ~light, inside & light), (GROUND, DARK, LIGHT)), labels


def chequer(kinds: Ints, starts: Points, smallest: int) -> Grid:
    """Which pixels of patches are light: (..., side, side) for kinds (...) and starts (..., 2)."""
    widths = smallest * np.array(FACTORS)[kinds][..., None]
    begin = np.floor(starts * 2 * widths).astype(np.intp)
    rows, columns = ((np.arange(SIDE * smallest) + begin[..., axis, None]) // widths for axis in range(2))
    light: Grid = (rows[..., :, None] + columns[..., None, :]) % 2 == 1
    return light


def expected_accuracy(radius: int, smallest: int = 3) -> Fraction:
    """The best pixel accuracy, on average, of a receptive field of `radius` px to every side of its pixel."""
    best = accuracies(smallest)
    return best[min(radius, len(best) - 1)]


@functools.cache
def accuracies(smallest: int) -> tuple[Fraction, ...]:
    """The best accuracy for each radius 0, 1, .. of the receptive field up to the first where it is 1."""
    best: list[Fraction] = []
    while not best or best[-1] < 1:
        best.append(_accuracy(len(best), smallest))
    return tuple(best)


def _accuracy(radius: int, smallest: int) -> Fraction:
    """Probabilities are counted in units of 1 / (4 smallest), of which every phase of a class is a whole number."""
    views = _views(radius, smallest)
    weights, times = np.array([*views]), np.array([*views.values()])
    both = (weights[:, None] * weights[None]).max(axis=-1)
    right = int((both * times[:, None] * times).sum())
    units, side = FACTORS[-1] * smallest, SIDE * smallest
    return Fraction(right, len(FACTORS) * side**2 * units**2)


def _views(radius: int, smallest: int) -> Counter[Probabilities]:
    """How often each tuple of p_c, one for each class, occurs over places in a patch and the changes visible there."""
    views: Counter[Probabilities] = Counter()
    for place_ in range(SIDE * smallest):
        views.update(_visible_from(place_, radius, smallest).values())
    return views


def _visible_from(pixel: int, radius: int, smallest: int) -> dict[int, Probabilities]:
    """For the changes of colour within the receptive field along one axis, as bits: p_c of each class."""
    first, last = max(pixel - radius, 0), min(pixel + radius, SIDE * smallest - 1)
    within = (1 << last) - (1 << first)
    counted = [Counter(changes & within for changes in phases) for phases in _changes(smallest)]
    units = [FACTORS[-1] // factor for factor in FACTORS]
    every = {changes for counts in counted for changes in counts}
    return {bits: tuple(n * counts[bits] for n, counts in zip(units, counted, strict=True)) for bits in every}


def _changes(smallest: int) -> Iterator[list[int]]:
    """For each class and phase, where an axis changes colour: bit k is the gap between pixels k and k + 1."""
    for factor in FACTORS:
        width = factor * smallest
        ends = range(SIDE * smallest - 1)
        yield [sum(1 << k for k in ends if (k + 1 - phase) % width == 0) for phase in range(width)]
