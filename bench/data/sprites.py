"""Synthetic dataset `sprites`: images of a few independent discrete factors and noise, whose entropy is exact.

A dark image is cut into `factors` horizontal lanes. In each lane is one bright rectangle, `size` px wide and
`height` px high, at one of m = (width - size) // step + 1 places, each as likely as the others: the lane's factor.
By default it is a square, and the step is its side, so that places do not overlap. So there are
m^factors *modes* (the clean images), all equally likely. Then every pixel keeps its level with probability 1 - e
(e is `noise`) and takes each of the other L - 1 `levels` with probability e / (L - 1).

Where places do not overlap, all of them are equally far apart, and the order of a factor's values cannot be learned.
Where they overlap, neighbours are similar, and the clean images of a lane are points of one curve.

Entropy. Lanes are independent, so it is `factors` times a lane's. Let b(x) be the probability of a lane's pixels
if the lane were empty, r = (1 - e) (L - 1) / e, and d_j the number of bright pixels less that of dark ones at
place j. A sprite at place j multiplies the probability of each bright pixel there by r and of each dark one by
1 / r, and leaves that of grey ones, so

    p(x) = b(x) (1/m) sum_j r^(d_j),    H = -E log b(x) - E log (1/m) sum_j r^(d_j).

Where places do not overlap, the d_j are conditionally independent for each value of the factor, sums over the n pixels
of a place: each pixel gives +1, -1 or 0 with probabilities (1 - e, e / (L - 1), rest) where the sprite is, and the same
with opposite signs elsewhere. By symmetry the sprite can be put at the first place; a finite sum remains, computed in
double precision. States of less than 1e-20 probability are left out. Where places overlap, their edges cut a lane into
stretches of columns. A lane's probability depends on how many more pixels are bright than dark in each stretch, and the
sum goes over all such rows of numbers.
"""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from bench.data.examples import Examples
from bench.data.levels import stretched
from bench.data.synthetic import Pixels, stream
from bench.registry import Bounds, dataset

STATES = 2_000_000
"""Terms of the entropy's sum beyond which a synthetic dataset is refused."""
NEGLIGIBLE = 1e-20
TOO_MANY = (
    "the entropy of these sprites has too many terms: take fewer places or smaller sprites; where places overlap, a "
    "narrower image, a smaller 'height', or steps of which 'size' is a multiple"
)
MOST_PLACES = 256
"""Places are stored as bytes."""

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]


@dataset(
    task="generation",
    licence="Apache-2.0: drawn by this program",
    source="fovbench, synthetic dataset with known entropy",
    embedded=True,
    requires={"channels": 1, "levels": 2},
)
def sprites(
    root: Path | None,
    split: str,
    shape: tuple[int, int, int],
    *,
    factors: Annotated[int, Bounds(1, 16)] = 4,
    size: Annotated[int, Bounds(1, 64)] = 4,
    height: Annotated[int, Bounds(0, 64)] = 0,
    step: Annotated[int, Bounds(0, 64)] = 0,
    noise: Annotated[float, Bounds(0.0, 0.5)] = 0.02,
    levels: Annotated[int, Bounds(2, 256)] = 2,
    train_count: Annotated[int, Bounds(1, 65536)] = 8192,
    val_count: Annotated[int, Bounds(1, 65536)] = 1024,
    seed: Annotated[int, Bounds(0, 4294967295)] = 0,
) -> Examples:
    """Bright sprites at one of a few places in each lane, with noise: entropy, modes and number of factors are exact.

    A sprite is `size` px wide and `height` px high, its places `step` px apart; 0 means `size` in both. `shape`
    is (1, H, W). Targets: `pixels` (levels) and `clean` (before noise), uint8 (N, 1, H, W); `labels`, the
    first lane's place; `factors` (N, lanes), every lane's; `mode`
    int64 (N,); `log_probability` float64 (N,), in nats. The evaluation split holds
    every mode equally often where it is large enough. Needs no `root`. Raises ValueError for a shape that does not
    hold the lanes, for noise whose entropy has too many terms, or for an unknown split.
    """
    import torch

    lanes = Lanes(shape, factors, size, height, step)
    rng = stream(seed, split)
    places = drawn_places(rng, lanes, train_count if split == "train" else val_count, even=split != "train")
    clean = painted(lanes, places, levels)
    pixels = noisy(rng, clean, noise, levels)
    targets: dict[str, npt.NDArray[Any]] = {
        "pixels": pixels,
        "clean": clean,
        "labels": places[:, 0].astype(np.uint8),
        "factors": places.astype(np.uint8),
        "mode": mode_number(lanes, places),
        "log_probability": log_probability(lanes, pixels, noise, levels),
    }
    return Examples(
        images=torch.from_numpy(stretched(pixels, levels)),
        targets={name: torch.from_numpy(values) for name, values in targets.items()},
        names=tuple(f"place {j + 1}" for j in range(lanes.places)),
        ignore=None,
        palette=tuple(_shade(j / max(1, lanes.places - 1)) for j in range(lanes.places)),
        optimum=optimum(lanes, noise, levels),
        publishable=True,
    )


def _shade(fraction: float) -> tuple[int, int, int]:
    return round(30 + 200 * fraction), round(110 + 60 * fraction), round(200 - 160 * fraction)


class Lanes:
    """The places of sprites in images of `shape` (1, H, W); `tall` and `step` are `size` where they are 0.

    Raises ValueError where sprites do not fit, or for too many places or modes.
    """

    def __init__(self, shape: tuple[int, int, int], factors: int, size: int, tall: int = 0, step: int = 0) -> None:
        channels, self.height, self.width = shape
        self.factors, self.size, self.tall, self.step = factors, size, tall or size, step or size
        self.pitch, self.places = self.height // factors, (self.width - size) // self.step + 1
        if channels != 1:
            raise ValueError(f"sprites have 1 channel, not {channels}: give a shape of [1, height, width]")
        if self.pitch < self.tall or self.width < size:
            what = f"sprites of {size} x {self.tall} px"
            raise ValueError(f"{factors} lanes of {what} do not fit into {self.width} x {self.height} px")
        if self.places > MOST_PLACES or self.modes > np.iinfo(np.int64).max:
            raise ValueError(
                f"{factors} lanes of {self.places} places are too many: {MOST_PLACES} places and 2^63 modes at most"
            )

    @property
    def modes(self) -> int:
        return int(self.places**self.factors)

    def rows(self, lane: int) -> slice:
        """The rows of a lane's sprites: in the middle of the lane."""
        top = lane * self.pitch + (self.pitch - self.tall) // 2
        return slice(top, top + self.tall)

    def columns(self, place: int) -> slice:
        return slice(place * self.step, place * self.step + self.size)


def drawn_places(rng: np.random.Generator, lanes: Lanes, count: int, even: bool) -> Whole:
    """A place for every lane: int64 (count, factors), uniform; `even`: every mode equally often, where they fit."""
    if not even or lanes.modes > count:
        return rng.integers(0, lanes.places, (count, lanes.factors))
    rounds = [rng.permutation(lanes.modes) for _ in range(-(-count // lanes.modes))]
    numbers = np.concatenate(rounds)[:count]
    powers = lanes.places ** np.arange(lanes.factors)
    places: Whole = numbers[:, None] // powers % lanes.places
    return places


def mode_number(lanes: Lanes, places: Whole) -> Whole:
    """The number 0 to modes - 1 of each combination (N, factors), the first lane counting least."""
    numbers: Whole = (places * lanes.places ** np.arange(lanes.factors)).sum(axis=1)
    return numbers


def painted(lanes: Lanes, places: Whole, levels: int) -> Pixels:
    """The clean images uint8 (N, 1, H, W): 0 around, levels - 1 in sprites."""
    images = np.zeros((len(places), 1, lanes.height, lanes.width), dtype=np.uint8)
    for lane in range(lanes.factors):
        for place in range(lanes.places):
            images[places[:, lane] == place, :, lanes.rows(lane), lanes.columns(place)] = levels - 1
    return images


def noisy(rng: np.random.Generator, clean: Pixels, noise: float, levels: int) -> Pixels:
    """Each pixel, with probability `noise`, at one of the other levels."""
    moved = rng.integers(1, levels, clean.shape) * (rng.random(clean.shape) < noise)
    pixels: Pixels = ((clean + moved) % levels).astype(np.uint8)
    return pixels


def log_probability(lanes: Lanes, pixels: Pixels, noise: float, levels: int) -> Floats:
    """log p(x) in nats of images (N, 1, H, W): float64 (N,); -inf where an image is impossible without noise."""
    if not noise:
        return np.where(_is_clean(lanes, pixels, levels), -math.log(lanes.places) * lanes.factors, -np.inf)
    keep, move = _logs(noise, levels)
    total: Floats = np.where(pixels == 0, keep, move).sum(axis=(1, 2, 3))
    for lane in range(lanes.factors):
        rows = pixels[:, 0, lanes.rows(lane)]
        parts = [rows[:, :, lanes.columns(place)] for place in range(lanes.places)]
        excess = [(part == levels - 1).sum(axis=(1, 2)) - (part == 0).sum(axis=(1, 2)) for part in parts]
        terms = np.array(excess, dtype=np.float64) * (keep - move)
        total += np.logaddexp.reduce(terms, axis=0) - math.log(lanes.places)
    return total


def _logs(noise: float, levels: int) -> tuple[float, float]:
    """Log-probabilities that a pixel keeps its level, and that it takes a certain other level."""
    return math.log1p(-noise), math.log(noise / (levels - 1)) if noise else -math.inf


def _is_clean(lanes: Lanes, pixels: Pixels, levels: int) -> npt.NDArray[np.bool_]:
    means = [[pixels[:, 0, lanes.rows(i), lanes.columns(j)].mean(axis=(1, 2)) for j in range(lanes.places)]
             for i in range(lanes.factors)]  # fmt: skip
    nearest: Whole = np.argmax(np.array(means), axis=1).T
    same: npt.NDArray[np.bool_] = (painted(lanes, nearest, levels) == pixels).all(axis=(1, 2, 3))
    return same


def entropy(lanes: Lanes, noise: float, levels: int) -> float:
    """Of an image, in nats. Raises ValueError where its sum has too many terms."""
    keep, move = _logs(noise, levels)
    pixel = -(1 - noise) * keep - (noise * move if noise else 0.0)
    outside = lanes.width * (lanes.height - lanes.factors * lanes.tall)
    return outside * pixel + lanes.factors * lane_entropy(lanes, noise, levels)


def lane_entropy(lanes: Lanes, noise: float, levels: int) -> float:
    """Of the rows where a lane's sprite may stand, in nats."""
    if not noise:
        return math.log(lanes.places)
    keep, move = _logs(noise, levels)
    other, n = noise / (levels - 1), lanes.tall * lanes.size
    dark = lanes.tall * lanes.width - n  # pixels that are dark in the clean image
    log_empty = dark * ((1 - noise) * keep + noise * move) + n * (other * keep + (1 - other) * move)
    mixture = _apart if lanes.step >= lanes.size or lanes.places == 1 else _overlapping
    return -log_empty - mixture(lanes, noise, levels) + math.log(lanes.places)


def _apart(lanes: Lanes, noise: float, levels: int) -> float:
    """E log sum_j r^(d_j) of places that share no pixel."""
    keep, move = _logs(noise, levels)
    here = _excess(lanes.tall * lanes.size, 1 - noise, noise / (levels - 1))
    terms, weights = _sums(here, here[::-1], lanes.places, keep - move)
    return float(weights @ terms)


def _overlapping(lanes: Lanes, noise: float, levels: int) -> float:
    """E log sum_j r^(d_j) of places that share pixels, by a sum over the excesses of all stretches of a lane.

    A stretch is the columns between two neighbouring edges of places; its excess is the number of bright pixels less
    that of dark ones. Raises ValueError where the sum has too many terms.
    """
    keep, move = _logs(noise, levels)
    places = [lanes.columns(place) for place in range(lanes.places)]
    edges = sorted({edge for place in places for edge in (place.start, place.stop)})
    pixels = [lanes.tall * (after - before) for before, after in itertools.pairwise(edges)]
    excess, log_empty = _stretches(pixels, noise / (levels - 1), 1 - noise)
    stretches_of = [slice(edges.index(place.start), edges.index(place.stop)) for place in places]
    terms: Floats = np.logaddexp.reduce([excess[those].sum(axis=0) * (keep - move) for those in stretches_of])
    return float(np.exp(log_empty + terms - math.log(lanes.places)) @ terms)


def _stretches(pixels: list[int], up: float, down: float) -> tuple[Whole, Floats]:
    """All combinations of excesses (stretches, S) of stretches of so many pixels, and their log-probabilities (S,).

    A pixel gives +1 with probability `up` and -1 with `down`: those of an empty lane.
    """
    distributions = [_excess(n, up, down) for n in pixels]
    possible = [np.flatnonzero(each) for each in distributions]
    if math.prod(map(len, possible)) > STATES:
        raise ValueError(TOO_MANY)
    states = [grid.ravel() for grid in np.meshgrid(*possible, indexing="ij")]
    excess = np.stack([state - n for state, n in zip(states, pixels, strict=True)])
    logs = [np.log(each[state]) for each, state in zip(distributions, states, strict=True)]
    return excess, np.sum(logs, axis=0)


def _excess(n: int, up: float, down: float) -> Floats:
    """Probabilities of -n to n: the sum of n pixels that give +1 with probability `up` and -1 with `down`."""
    probabilities = np.ones(1)
    for _ in range(n):
        probabilities = np.convolve(probabilities, [down, 1 - up - down, up])
    return probabilities


def _sums(here: Floats, there: Floats, places: int, log_ratio: float) -> tuple[Floats, Floats]:
    """Values of log sum_j r^(d_j) and their probabilities: the square's own place, then one place after the other."""
    excess = np.arange(len(here), dtype=np.float64) - len(here) // 2
    values: Floats = excess * log_ratio
    weights = here
    for _ in range(places - 1):
        values = np.logaddexp(values[:, None], (excess * log_ratio)[None]).ravel()
        weights = (weights[:, None] * there[None]).ravel()
        likely = weights > NEGLIGIBLE
        values, where = np.unique(np.round(values[likely], 12), return_inverse=True)
        weights = np.bincount(where.ravel(), weights[likely]).astype(np.float64)
        if len(values) * len(excess) > STATES:
            raise ValueError(TOO_MANY)
    return values, weights


def optimum(lanes: Lanes, noise: float, levels: int) -> dict[str, float]:
    """The best that any model can reach: nats are those of an image, bits those of a pixel."""
    nats = entropy(lanes, noise, levels)
    bounds = {"bits_per_dim": nats / math.log(2) / (lanes.height * lanes.width), "elbo_nats": -nats, "iwae_nats": -nats}
    modes = {"mode_coverage": 1.0, "mode_precision": 1.0, "mode_recall": 1.0, "modes_found": float(lanes.modes)}
    return {**bounds, **modes, "active_units": float(lanes.factors)}
