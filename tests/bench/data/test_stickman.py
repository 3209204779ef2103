from __future__ import annotations

import numpy as np
import pytest
import torch

from bench.data.skeleton import mirrored
from bench.data.stickman import (
    BODY,
    CUE,
    GREEN,
    LIMB,
    NAMES,
    RED,
    TORSO,
    TWIN,
    draw,
    figure,
    fraction_with_cue,
    layout,
    radius_to_cue,
    stickman,
)
from bench.data.synthetic import stream
from bench.metrics.left_right import left_right
from bench.metrics.pck import pck
from bench.metrics.pck_ambiguous import pck_ambiguous
from bench.metrics.pck_unambiguous import pck_unambiguous
from bench.results.measurement import Evaluation

SHAPE = (3, 64, 64)
THORAX = NAMES.index("thorax")


class Silence:
    """In place of a generator, so that nothing is noise."""

    def integers(self, low, high, size, dtype):
        return np.zeros(size, dtype=dtype)


def evaluation(examples, places) -> Evaluation:
    count, joints = examples.targets["visible"].shape
    image, joint = np.indices((count, joints)).reshape(2, -1)
    units = {
        "image": image,
        "joint": joint,
        "visible": examples.targets["visible"].numpy().reshape(-1),
        "truth": examples.targets["joints"].numpy().reshape(-1, 2),
        "torso": examples.targets["torso"].numpy().repeat(joints),
        "regressed": places.reshape(-1, 2),
    }
    return Evaluation("pose", units, examples.names)


def seen_from_the_front(image) -> bool:
    """What the picture itself tells: the colour half way between the head's red and, thrice as far, the pelvis' green.

    A hidden cue is violet; then the answer is that of a coin that always falls the same way.
    """
    red, green, blue = image.astype(int)
    head = np.argwhere((abs(red - RED[0]) <= 20) & (abs(green - RED[1]) <= 20) & (abs(blue - RED[2]) <= 20))
    foot = np.argwhere((abs(red - GREEN[0]) <= 20) & (abs(green - GREEN[1]) <= 20) & (abs(blue - GREEN[2]) <= 20))
    y, x = np.rint((2 * head.mean(axis=0) + foot.mean(axis=0)) / 3).astype(int)
    return bool(red[y, x] > 190)


def test_an_oracle_that_reads_the_cue_reaches_the_optimum_and_one_that_does_not_reaches_one_half() -> None:
    examples = stickman(None, "val", SHAPE, occlusion=0.0)
    truth = examples.targets["joints"].numpy()
    _, front = layout(stream(0, "val"), 128, SHAPE, 14)
    from_the_front = np.array([seen_from_the_front(image) for image in examples.images.numpy()])
    assert (from_the_front == front).all()
    # All places are right, and the side is always the front.
    blind = np.where(front[:, None, None], truth, truth[:, TWIN])
    for metric, best, chance in ((pck_ambiguous, 1.0, 0.5), (left_right, 1.0, 0.5), (pck_unambiguous, 1.0, 1.0)):
        assert metric(evaluation(examples, truth)).value == examples.optimum.get(metric.__name__) == best
        assert metric(evaluation(examples, blind)).value == chance
    assert examples.optimum["pck_ambiguous@body"] == 0.5


@pytest.mark.parametrize("occlusion", [0.3, 0.7])
def test_hidden_cues_cost_exactly_one_half_each(occlusion: float) -> None:
    examples = stickman(None, "val", SHAPE, occlusion=occlusion)
    hidden = examples.targets["visible"][:, THORAX].numpy() == 1
    truth = examples.targets["joints"].numpy()
    _, front = layout(stream(0, "val"), 128, SHAPE, 14)
    # The cue where it can be seen, else always the front: no picture tells more, since hidden twins are one picture.
    guess = np.where(hidden, True, front)
    places = np.where((guess == front)[:, None, None], truth, truth[:, TWIN])
    judged = evaluation(examples, places)
    assert 0.1 < hidden.mean() < 0.9
    assert pck_ambiguous(judged).value == examples.optimum["pck_ambiguous"] == 1 - hidden.mean() / 2
    assert left_right(judged).value == examples.optimum["left_right"]
    assert pck(judged).value == pytest.approx(examples.optimum["pck"], abs=1e-12)
    images = examples.images.numpy()
    for i in np.flatnonzero(hidden)[::2]:
        assert (images[i] == images[i + 1]).all()


def test_twins_differ_in_the_cue_alone_and_in_left_and_right() -> None:
    examples = stickman(None, "val", SHAPE, occlusion=0.2)
    joints, visible = examples.targets["joints"].numpy(), examples.targets["visible"].numpy()
    y, x = np.mgrid[:64, :64]
    for i in range(0, 128, 2):
        assert (joints[i] == joints[i + 1][list(TWIN)]).all()
        assert (visible[i] == visible[i + 1][list(TWIN)]).all()
        differ = (examples.images[i] != examples.images[i + 1]).any(0).numpy()
        far = np.hypot(x - joints[i, THORAX, 0], y - joints[i, THORAX, 1]) > CUE + 1e-3
        assert not (differ & far).any()
        assert differ.any() == (visible[i, THORAX] == 2)


def test_a_limb_looks_the_same_whichever_it_is() -> None:
    angle = np.repeat(np.random.default_rng(0).uniform(0, 2 * np.pi, (20, 1)), 4, axis=1)
    joints = np.array([40.0, 40.0]) + figure(angle, 20)
    seen, hidden = np.arange(40) % 2 == 0, np.zeros((40, len(NAMES)), dtype=bool)
    images = draw(Silence(), joints.repeat(2, axis=0), seen, hidden, (3, 90, 80))[::2]
    inner = np.rint(joints[:, BODY::2]).astype(int)
    reach = 9
    for image, places in zip(images, inner, strict=True):
        patches = [image[:, y - reach : y + reach + 1, x - reach : x + reach + 1] for x, y in places]
        assert all((patch == patches[0]).all() for patch in patches)
        assert len(np.unique(patches[0].reshape(3, -1), axis=1).T) == 2


def test_the_twin_of_a_joint_is_what_a_mirror_makes_of_it() -> None:
    assert mirrored(NAMES) == TWIN


def test_lengths_and_distances_are_as_told() -> None:
    examples = stickman(None, "train", SHAPE, train_count=64, distance=15)
    joints = examples.targets["joints"].numpy()
    thorax = joints[:, THORAX, None]
    assert np.allclose(np.abs(joints[:, BODY::2] - thorax), 15, atol=1e-4)
    assert np.allclose(np.linalg.norm(joints[:, BODY::2] - joints[:, BODY + 1 :: 2], axis=-1), LIMB, atol=1e-4)
    assert np.allclose(np.linalg.norm(joints[:, 2] - joints[:, 1], axis=-1), TORSO, atol=1e-4)
    assert (joints > 2).all()
    assert (joints < 61).all()
    left = joints[:, NAMES.index("left_elbow"), 0] > joints[:, NAMES.index("right_elbow"), 0]
    _, front = layout(stream(0, "train"), 64, SHAPE, 15)
    assert (left == front).all()  # a person that faces us has the left arm at the right of the picture


def test_training_figures_may_have_their_limbs_nearer_and_validation_ones_never() -> None:
    far, mixed = (
        {split: stickman(None, split, SHAPE, train_count=200, distance=20, nearest=n) for split in ("train", "val")}
        for n in (0, 13)
    )
    assert (far["val"].images == mixed["val"].images).all()
    assert (far["val"].targets["joints"] == mixed["val"].targets["joints"]).all()
    joints = mixed["train"].targets["joints"].numpy()
    away = np.abs(joints[:, BODY::2] - joints[:, THORAX, None])
    each = away[:, 0, 0]
    assert np.allclose(away, each[:, None, None], atol=1e-4)
    assert np.allclose(each[::2], each[1::2], atol=1e-4)
    assert 13 <= each.min() < 14 < 19 < each.max() <= 20
    for wrong in (12, 21):
        with pytest.raises(ValueError, match="'nearest' is from 13 to the distance, 20, or 0"):
            stickman(None, "val", SHAPE, distance=20, nearest=wrong)


def test_the_fraction_with_cue_the_cue_steps_from_none_to_all() -> None:
    fractions = [fraction_with_cue(reach, distance=20, shape=(3, 96, 96)) for reach in range(8, 27)]
    assert fractions[0] == 0.0  # 20 - LIMB - CUE is 11: the nearest outer end
    assert fractions[-1] == 1.0
    assert fractions == sorted(fractions)
    assert 0.3 < fractions[18 - 8] < 0.8


def test_the_reach_to_the_cue_agrees_with_looking_at_every_pixel() -> None:
    joints, _ = layout(stream(2, "val"), 8, SHAPE, 14)
    y, x = np.mgrid[:64, :64]
    for places, reaches in zip(joints, radius_to_cue(joints), strict=True):
        cue = np.hypot(x - places[THORAX, 0], y - places[THORAX, 1]) <= CUE
        for (px, py), reach in zip(np.rint(places[BODY:]), reaches, strict=True):
            assert np.maximum(abs(x - px), abs(y - py))[cue].min() == reach


def test_every_seed_and_split_draws_its_own_people_and_the_same_ones_again() -> None:
    def drawn(split="train", seed=0):
        return stickman(None, split, SHAPE, train_count=8, val_count=8, seed=seed).images

    assert torch.equal(drawn(), drawn())
    assert not torch.equal(drawn(), drawn(seed=1))
    assert not torch.equal(drawn("train"), drawn("val"))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="limbs at 40 px does not fit into 64 x 64"):
        stickman(None, "train", SHAPE, distance=40)
    with pytest.raises(ValueError, match="pairs of twins"):
        stickman(None, "val", SHAPE, val_count=7)
    with pytest.raises(ValueError, match="train and val, not 'test'"):
        stickman(None, "test", SHAPE)
