"""How often the 95 % interval of a difference has the true difference in it, through the whole of `bench.analysis`.

Tables of six variants are drawn with a known truth. Images are common to all variants; each score adds the noise of its
seed and that of each single network on each image. Printed: the coverage by seeds, images and the kind of noise, for
independent images (normal, skewed, unequal variances) and for frames of a video, each like the one before it.
INFERENCE_TABLES sets how many tables of each.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from scipy.signal import lfilter

from bench.analysis.aggregate import Aggregate
from bench.analysis.contrast import contrast, noise_of

TABLES = int(os.environ.get("INFERENCE_TABLES", "600"))
VARIANTS = 6
OF_SEEDS, OF_IMAGES, OF_BOTH = 0.014, 0.15, 0.1
"""Standard deviations: of a score over seeds, of an image's score of one variant, and of one network on one image."""

SLACK = 3 * (0.05 * 0.95 / TABLES) ** 0.5

Scores = np.ndarray


def normal(random: np.random.Generator, shape: tuple[int, ...]) -> Scores:
    return random.normal(size=shape)


def skewed(random: np.random.Generator, shape: tuple[int, ...]) -> Scores:
    """Of mean 0, variance 1 and skewness 2: most images are easy, a few fail."""
    return 1 - random.exponential(size=shape)


def frames(correlation: float):
    """Draws frames that correlate by this with the one before."""

    def draw(random: np.random.Generator, shape: tuple[int, ...]) -> Scores:
        noise = random.normal(size=(*shape[:-1], shape[-1] + 100))
        return lfilter([(1 - correlation**2) ** 0.5], [1, -correlation], noise)[..., 100:]

    return draw


KINDS = {
    "normal": (normal, 0.0, OF_SEEDS),
    "skewed": (skewed, 0.0, OF_SEEDS),
    "unequal variances": (normal, 0.5, OF_SEEDS),
    "frames, .87": (frames(0.87), 0.0, OF_SEEDS),
    "frames, .9": (frames(0.9), 0.0, OF_SEEDS),
    "frames, .9, seeds that are all alike": (frames(0.9), 0.0, 1e-4),
}


def table(random: np.random.Generator, seeds: int, images: int, kind: str) -> Scores:
    """(variants, seeds, images): what seeds and images add to the truth."""
    draw, log_sd, of_seeds = KINDS[kind]
    spreads = of_seeds * np.exp(log_sd * random.normal(size=(VARIANTS, 1, 1)))
    of_images = OF_IMAGES * draw(random, (VARIANTS, 1, images))
    shape = (VARIANTS, seeds, images)
    return spreads * random.normal(size=(VARIANTS, seeds, 1)) + of_images + OF_BOTH * draw(random, shape)


def holds(scores: Scores) -> bool:
    """Whether the interval of the last variant less the first has the true difference, 0, in it."""
    seeds, images = scores.shape[1:]
    aggregates = [
        Aggregate(f"v{i}", "miou", tuple(enumerate(row.mean(axis=1))), tuple(range(seeds)), False, (), (), ())
        for i, row in enumerate(scores)
    ]
    blocks = np.array_split(np.arange(images), round(images**0.5))
    parts = np.stack([scores[..., block].mean(axis=-1) for block in blocks], axis=-1)
    contributions = {(f"v{i}", "miou", s): parts[i, s] for i in range(VARIANTS) for s in range(seeds)}
    noise = noise_of(aggregates, contributions, {})
    low, high = contrast([(1.0, aggregates[-1]), (-1.0, aggregates[0])], 0.0, noise).estimate.interval(0.95)
    return low <= 0 <= high


def coverage(seeds: int, images: int, kind: str) -> float:
    random = np.random.default_rng([seeds, images, list(KINDS).index(kind)])
    return float(np.mean([holds(table(random, seeds, images, kind)) for _ in range(TABLES)]))


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("images", [50, 70, 100, 500])
def test_intervals_hold_the_truth(seeds: int, images: int) -> None:
    rates = {kind: coverage(seeds, images, kind) for kind in KINDS}
    text = ", ".join(f"{kind} {100 * rate:.1f} %" for kind, rate in rates.items())
    print(f"\n{seeds} seeds, {images} images: coverage {text}", end="")
    assert all(0.93 - SLACK <= rate <= 0.985 + SLACK for rate in rates.values())
