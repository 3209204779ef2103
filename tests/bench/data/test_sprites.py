"""The synthetic dataset's arithmetic against every image there is, and against what it draws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from bench.data.sprites import Lanes, entropy, log_probability, sprites


def every_image(lanes: Lanes, levels: int) -> np.ndarray:
    shape = (1, lanes.height, lanes.width)
    return np.array(list(itertools.product(range(levels), repeat=math.prod(shape))), dtype=np.uint8).reshape(-1, *shape)


TINY = [
    (Lanes((1, 2, 2), 2, 1), 2, 0.1),
    (Lanes((1, 2, 3), 1, 1), 3, 0.2),  # a row and a third place that no square takes
    (Lanes((1, 2, 4), 1, 2), 2, 0.3),
    (Lanes((1, 3, 3), 1, 1), 2, 0.5),
    (Lanes((1, 2, 2), 1, 1), 4, 0.0),
    (Lanes((1, 2, 5), 2, 3, 1, 1), 2, 0.1),  # places that share two of three columns
    (Lanes((1, 2, 5), 1, 3, 2, 1), 2, 0.2),
    (Lanes((1, 1, 6), 1, 3, 1, 2), 3, 0.3),  # and a column that no place takes
    (Lanes((1, 2, 4), 1, 1, 2, 2), 2, 0.1),  # columns between places
    (Lanes((1, 2, 5), 1, 4, 2, 3), 2, 0.1),  # one place, and a column behind it
]


@pytest.mark.parametrize(("lanes", "levels", "noise"), TINY)
def test_probabilities_sum_to_one_and_give_the_entropy(lanes, levels, noise):
    logs = log_probability(lanes, every_image(lanes, levels), noise, levels)
    probabilities = np.exp(logs)
    assert probabilities.sum() == pytest.approx(1, abs=1e-12)
    possible = probabilities > 0
    exhaustive = -(probabilities[possible] * logs[possible]).sum()
    assert entropy(lanes, noise, levels) == pytest.approx(exhaustive, abs=1e-11)


def test_probabilities_are_those_of_the_drawing():
    """How often each of 64 images is drawn, against what it should be: chi-squared, 63 degrees of freedom."""
    drawn = sprites(None, "train", (1, 2, 3), factors=2, size=1, noise=0.2, train_count=65536)
    lanes = Lanes((1, 2, 3), 2, 1)
    expected = 65536 * np.exp(log_probability(lanes, every_image(lanes, 2), 0.2, 2))
    numbers = (drawn.targets["pixels"].numpy().reshape(-1, 6) * (2 ** np.arange(5, -1, -1))).sum(axis=1)
    counts = np.bincount(numbers, minlength=64)
    assert ((counts - expected) ** 2 / expected).sum() < 110  # 99.98 %


def test_the_mean_of_a_split_is_the_entropy_within_its_error():
    drawn = sprites(None, "val", (1, 16, 16), levels=4, noise=0.05)
    nats = -drawn.targets["log_probability"].numpy()
    error = nats.std() / math.sqrt(len(nats))
    assert abs(nats.mean() - entropy(Lanes((1, 16, 16), 4, 4), 0.05, 4)) < 4 * error
    assert drawn.optimum["bits_per_dim"] == pytest.approx(-drawn.optimum["iwae_nats"] / math.log(2) / 256)


def test_targets_belong_together():
    drawn = sprites(None, "val", (1, 16, 18), levels=5, noise=0.1)
    pixels, clean = drawn.targets["pixels"].numpy(), drawn.targets["clean"].numpy()
    assert (drawn.images.numpy() == np.round(pixels / 4 * 255)).all()
    assert set(np.unique(clean)) == {0, 4}
    assert (pixels != clean).mean() == pytest.approx(0.1, abs=0.005)
    assert np.bincount(drawn.targets["mode"].numpy()).tolist() == [4] * 256
    assert len(np.unique(clean.reshape(len(clean), -1), axis=0)) == 256
    assert drawn.targets["labels"].max() == len(drawn.names) - 1 == 3


def test_splits_and_seeds_differ_and_repeat():
    def first(**how):
        return sprites(None, how.pop("split", "train"), (1, 8, 8), size=2, train_count=64, **how).images[:64].numpy()

    assert (first() == first()).all()
    assert not (first() == first(seed=1)).all()
    assert not (first() == first(split="val")).all()


def test_overlapping_places_lie_along_a_curve():
    """The clean images of a lane: the further apart the places, the more pixels differ, until nothing is shared."""
    drawn = sprites(None, "val", (1, 4, 16), factors=1, size=5, height=1, step=1)
    clean, places = drawn.targets["clean"].numpy(), drawn.targets["factors"].numpy()[:, 0]
    one_each = clean[[np.flatnonzero(places == place)[0] for place in range(12)]]
    differ = (one_each[:, None] != one_each[None]).sum(axis=(2, 3, 4))
    apart = np.abs(np.arange(12)[:, None] - np.arange(12))
    assert (differ == 2 * np.minimum(apart, 5)).all()
    assert drawn.optimum["modes_found"] == 12


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="4 lanes of sprites of 4 x 4 px do not fit into 8 x 8"):
        sprites(None, "val", (1, 8, 8), factors=4, size=4)
    with pytest.raises(ValueError, match="1 channel, not 3"):
        sprites(None, "val", (3, 16, 16))
    with pytest.raises(ValueError, match="not 'test'"):
        sprites(None, "test", (1, 16, 16))
    with pytest.raises(ValueError, match="too many terms"):
        sprites(None, "val", (1, 64, 64), factors=2, size=8, noise=0.4, levels=3, val_count=1)
    with pytest.raises(ValueError, match=r"too many terms.*a narrower image, a smaller 'height'"):
        sprites(None, "val", (1, 16, 16), factors=2, size=4, height=4, step=1, val_count=1)
    with pytest.raises(ValueError, match="1 lanes of 399 places are too many: 256 places"):
        sprites(None, "val", (1, 4, 400), factors=1, size=2, step=1)
    with pytest.raises(ValueError, match=r"16 lanes of 20 places are too many: .* 2\^63 modes"):
        sprites(None, "val", (1, 16, 20), factors=16, size=1)


def test_wide_steps_need_few_terms():
    """Three places of eight columns that overlap in one each: five stretches, not 24 columns."""
    assert math.isfinite(entropy(Lanes((1, 8, 24), 1, 8, 1, 7), 0.02, 2))
