"""Pictorial structures: inference against every pose there is, springs, trees, histograms of oriented gradients."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from architectures.layers.distance_transform import softly_transformed, transformed
from architectures.pictorial_structures import (
    SKELETONS,
    STRIDE,
    Gradients,
    MeasuredSprings,
    _histograms,
    beliefs,
    cell_error,
    hog,
    levels,
    pictorial_structures,
)
from bench.data import leeds, stickman
from bench.metrics.receptive_field import receptive_field
from bench.registry import RegistryError
from bench.structure.costs import costs
from bench.structure.tape import record
from bench.tasks.pose import Pose

NARROW: dict[str, Any] = {"width": 0.25, "joints": 4}
HEIGHT, WIDTH = 3, 4
CELLS = list(itertools.product(range(HEIGHT), range(WIDTH)))


def image(*size: int) -> Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


# --- inference


def drawn(seed: int, joints: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    """Scores (1, K, 3, 4), curvature and offset (K, 2): quarters and eighths, so that float64 knows no rounding."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-20, 21, (1, joints, HEIGHT, WIDTH), generator=generator) / 4
    curvature = torch.randint(1, 9, (joints, 2), generator=generator) / 8
    offset = torch.randint(-8, 9, (joints, 2), generator=generator) / 4
    return scores.double(), curvature.double(), offset.double()


def every_pose(
    scores: Tensor, parents: tuple[int, ...], curvature: Tensor, offset: Tensor, reach: int | None = None
) -> Tensor:
    """The score of each pose, 12 places to the power of K: (12, 12, ...)."""
    places = torch.tensor([(x, y) for y, x in CELLS], dtype=torch.double)
    count = len(parents)
    total = torch.zeros([len(CELLS)] * count, dtype=torch.double)
    for joint, parent in enumerate(parents):
        own = [len(CELLS) if axis == joint else 1 for axis in range(count)]
        total = total + scores[0, joint].reshape(own)
        if parent >= 0:
            above = [len(CELLS) if axis == parent else 1 for axis in range(count)]
            way = places.view(*own, 2) - places.view(*above, 2)
            cost = (curvature[joint] * (way - offset[joint]) ** 2).sum(-1)
            beyond = torch.zeros_like(cost, dtype=torch.bool) if reach is None else (way.abs() > reach).any(-1)
            total = total - cost.masked_fill(beyond, torch.inf)
    return total


TREES = [(-1, 0, 1, 2), (1, 2, 3, -1), (-1, 0, 0, 0), (2, 2, -1, 1), (1, -1, 1, 0)]


@pytest.mark.parametrize("parents", TREES, ids=str)
@pytest.mark.parametrize("reach", [None, 1, 3])
def test_beliefs_are_the_scores_of_the_best_poses_exactly(parents: tuple[int, ...], reach: int | None) -> None:
    scores, curvature, offset = drawn(0)
    found = beliefs(scores, parents, curvature, offset, lambda s, a, m: transformed(s, a, m, reach))
    poses = every_pose(scores, parents, curvature, offset, reach)
    for joint in range(4):
        others = [axis for axis in range(4) if axis != joint]
        assert torch.equal(found[0, joint].flatten(), poses.amax(others))


@pytest.mark.parametrize("parents", TREES, ids=str)
@pytest.mark.parametrize("reach", [None, 1])
def test_soft_beliefs_are_the_marginals_over_all_poses(parents: tuple[int, ...], reach: int | None) -> None:
    scores, curvature, offset = drawn(1)
    found = beliefs(scores, parents, curvature, offset, lambda s, a, m: softly_transformed(s, a, m, reach))
    poses = every_pose(scores, parents, curvature, offset, reach)
    for joint in range(4):
        others = [axis for axis in range(4) if axis != joint]
        torch.testing.assert_close(found[0, joint].flatten(), poses.logsumexp(others))


def test_the_largest_cells_are_the_best_pose() -> None:
    for seed in range(5):
        scores, curvature, offset = drawn(seed)
        scores = scores + torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
        found = beliefs(scores, TREES[3], curvature, offset, lambda s, a, m: transformed(s, a, m))
        best = np.unravel_index(int(every_pose(scores, TREES[3], curvature, offset).argmax()), [len(CELLS)] * 4)
        assert found[0].flatten(1).argmax(1).tolist() == [int(cell) for cell in best]


# --- trees


def test_a_level_is_a_distance_from_the_root() -> None:
    assert levels((1, -1, 1, 0)) == [[1], [0, 2], [3]]


@pytest.mark.parametrize("parents", [(0, 1), (-1, -1), (-1, 7), (-1, 2, 1), (1, 0)], ids=str)
def test_what_is_no_tree_is_refused(parents: tuple[int, ...]) -> None:
    with pytest.raises(RegistryError, match="root"):
        pictorial_structures(joints=len(parents), parents=parents)


def test_as_many_parents_as_joints() -> None:
    with pytest.raises(RegistryError, match="2 parents for 3 joints"):
        pictorial_structures(joints=3, parents=(-1, 0))


MPII = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax", "neck",
    "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
COCO = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
CHAINS = (("wrist", "elbow"), ("ankle", "knee"), ("elbow", "shoulder"), ("knee", "hip"), ("ear", "eye"))


@pytest.mark.parametrize("names", [stickman.NAMES, leeds.NAMES, MPII, COCO], ids=len)
def test_skeletons_join_what_the_names_say(names: tuple[str, ...]) -> None:
    parents = SKELETONS[len(names)]
    assert len(parents) == len(names) == sum(map(len, levels(parents)))
    above = {name: names[parent] for name, parent in zip(names, parents, strict=True)}
    for side, (outer, inner) in itertools.product(("left", "right"), CHAINS):
        if f"{side}_{outer}" in names and f"{side}_{inner}" in names:
            assert above[f"{side}_{outer}"] == f"{side}_{inner}"


def test_a_star_hangs_all_from_the_skeleton_s_root() -> None:
    net = pictorial_structures(tree="star", joints=14, width=0.25)
    assert net.parents == tuple(-1 if joint == 12 else 12 for joint in range(14))


# --- the network


def test_without_springs_the_scores_are_the_answer() -> None:
    with_springs, without = pictorial_structures(**NARROW).eval(), pictorial_structures(springs=False, **NARROW).eval()
    without.load_state_dict({n: v for n, v in with_springs.state_dict().items() if n.startswith("scorer")})
    x = image(64, 70)
    assert torch.equal(without(x)["out"], with_springs(x)["stage1"])


def test_training_reads_marginals_and_evaluation_the_best_pose() -> None:
    net, x = pictorial_structures(norm="none", **NARROW), image(64, 64)
    marginal = pictorial_structures(norm="none", inference="marginal", **NARROW).eval()
    marginal.load_state_dict(net.state_dict())
    assert torch.equal(net.train()(x)["out"], marginal(x)["out"])
    assert not torch.equal(net.eval()(x)["out"], marginal(x)["out"])
    free = pictorial_structures(norm="none", reach=None, **NARROW).eval()
    free.load_state_dict(net.state_dict())
    torch.testing.assert_close(free(x)["out"], net(x)["out"])  # 16 cells are the whole map


def test_the_field_of_the_parts_is_local_and_springs_widen_it_by_their_reach() -> None:
    """12 px and 8 for each deep layer; the star's far joints are two springs away from each other."""
    net = pictorial_structures(depth=1, reach=3, **NARROW).eval()
    assert receptive_field(net, (3, 64, 64), sink="scorer").size == 20
    assert receptive_field(net, (3, 64, 64)).size == 20 + 2 * 2 * 3 * STRIDE


def test_without_limit_the_field_is_an_upper_bound_and_every_operator_is_counted() -> None:
    net = pictorial_structures(reach=None, **NARROW).eval()
    field = receptive_field(net, (3, 64, 64))
    assert not field.exact
    assert field.mask.all()
    assert costs(record(net, (1, 3, 64, 64))).coverage == 1.0


def targets(joints: Tensor, side: float = 64) -> dict[str, Tensor]:
    visible = torch.full(joints.shape[:2], 2, dtype=torch.uint8)
    visible[0, 0] = 0
    return {"joints": joints, "visible": visible, "size": torch.full((len(joints), 2), side)}


def test_the_loss_is_the_task_s_own_of_the_beliefs_alone() -> None:
    net = pictorial_structures(**NARROW).train()
    outputs = net(image(64, 64))
    given = targets(torch.rand(2, 4, 2, generator=torch.Generator().manual_seed(1)) * 70 - 3)
    torch.testing.assert_close(net.loss(outputs, given), Pose.loss({"out": outputs["out"]}, given))
    torch.testing.assert_close(cell_error(outputs["stage1"], given), Pose.loss(outputs["stage1"], given))


def test_measured_springs_have_the_mean_and_the_variance_of_what_was_seen() -> None:
    """In cells; the prior counts as one offset of zero."""
    net = pictorial_structures(deformation="measured", parents=(-1, 0, 1, 0), **NARROW).train()
    joints = torch.rand(40, 4, 2, generator=torch.Generator().manual_seed(2)) * 60
    given = targets(joints)
    given["visible"][:] = 1
    given["visible"][3, 1] = 0
    for part in (slice(0, 10), slice(10, 40)):
        net.loss({"out": torch.zeros(1, 4, 16, 16)}, {name: value[part] for name, value in given.items()})
    assert isinstance(net.springs, MeasuredSprings)
    curvature, offset = net.springs()
    for joint, parent in ((1, 0), (2, 1), (3, 0)):
        seen = [n for n in range(40) if n != 3 or 1 not in (joint, parent)]
        ways = (joints[seen, joint] - joints[seen, parent]) / STRIDE
        mean = ways.sum(0) / (len(seen) + 1)
        variance = ((ways**2).sum(0) + 9) / (len(seen) + 1) - mean**2
        torch.testing.assert_close(offset[joint], mean)
        torch.testing.assert_close(curvature[joint], 1 / (2 * variance))


def test_evaluation_measures_nothing() -> None:
    net = pictorial_structures(deformation="measured", **NARROW).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net.loss(net(image(64, 64)), targets(torch.rand(2, 4, 2) * 60))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


# --- histograms of oriented gradients


@pytest.mark.parametrize(("size", "cell"), [((32, 40), 4), ((37, 45), 4), ((64, 64), 8)], ids=str)
def test_hog_is_skimage_s(size: tuple[int, int], cell: int) -> None:
    features = pytest.importorskip("skimage.feature", reason="scikit-image is the reference")
    pixels = np.random.default_rng(0).random((*size, 3))
    reference = features.hog(
        pixels,
        orientations=9,
        pixels_per_cell=(cell, cell),
        cells_per_block=(2, 2),
        block_norm="L2-Hys",
        feature_vector=False,
        channel_axis=-1,
    )
    found = hog(torch.from_numpy(pixels).permute(2, 0, 1)[None], cell)[0]
    expected = torch.from_numpy(reference).flatten(2).permute(2, 0, 1)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_a_flat_image_has_no_gradients_and_finite_derivatives() -> None:
    flat = torch.zeros(1, 3, 16, 16, requires_grad=True)
    hog(flat, 4).sum().backward()
    assert flat.grad is not None
    assert not hog(flat, 4).any()
    assert flat.grad.isfinite().all()


@pytest.mark.parametrize("size", [(32, 32), (33, 38)], ids=str)
def test_gradients_of_a_cell_are_those_about_its_centre(size: tuple[int, int]) -> None:
    """A square about the middle of cell (3, 4) is seen by it and by cells around alike."""
    seen = torch.zeros(1, 3, *size)
    seen[..., 4 * 3 + 1 : 4 * 3 + 3, 4 * 4 + 1 : 4 * 4 + 3] = 1
    strength = Gradients()(seen).sum(1)[0]
    assert strength.shape == (-(-size[0] // 4), -(-size[1] // 4))
    window = strength[3 - 2 : 3 + 3, 4 - 2 : 4 + 3]
    torch.testing.assert_close(window, window.flip(0))
    torch.testing.assert_close(window, window.flip(1))
    assert strength.sum() == pytest.approx(float(window.sum())) != 0


def test_a_gradient_a_little_below_the_horizontal_counts() -> None:
    down, right = torch.full((1, 4, 4), -1e-7), torch.ones(1, 4, 4)
    assert _histograms(down, right, 4).sum() == pytest.approx(1)
