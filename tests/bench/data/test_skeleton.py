from __future__ import annotations

import pytest

from bench.data.coco_keypoints import NAMES as COCO
from bench.data.leeds import NAMES as LEEDS
from bench.data.mpii import NAMES as MPII
from bench.data.skeleton import ambiguous, limbs, mirrored, parts, side, twin
from bench.data.stickman import NAMES as STICKMAN

EVERY = pytest.mark.parametrize("names", [COCO, LEEDS, MPII, STICKMAN], ids=["coco", "leeds", "mpii", "stickman"])


@EVERY
def test_a_mirror_exchanges_left_and_right_and_is_its_own_inverse(names) -> None:
    order = mirrored(names)
    assert [order[i] for i in order] == list(range(len(names)))
    for i, name in enumerate(names):
        assert names[order[i]] == name.replace("left", "*").replace("right", "left").replace("*", "right")
        assert (order[i] != i) == (i in ambiguous(names)) == bool(side(name))


def test_only_a_side_in_front_makes_a_twin() -> None:
    assert twin("left_wrist") == "right_wrist"
    assert twin("neck") == "neck"
    assert twin("upright_post") == "upright_post"
    with pytest.raises(ValueError, match="'left_wrist' is not accompanied by 'right_wrist'"):
        mirrored(("neck", "left_wrist"))


def test_the_skeleton_of_leeds_sports_pose() -> None:
    named = {frozenset((LEEDS[a], LEEDS[b])) for a, b in limbs(LEEDS)}
    arms_and_legs = [("wrist", "elbow"), ("elbow", "shoulder"), ("ankle", "knee"), ("knee", "hip"), ("hip", "shoulder")]
    expected = {frozenset((f"{s}_{a}", f"{s}_{b}")) for s in ("left", "right") for a, b in arms_and_legs}
    expected |= {frozenset((f"{s}_shoulder", "neck")) for s in ("left", "right")}
    expected |= {frozenset(("head_top", "neck")), frozenset(("left_hip", "right_hip"))}
    expected |= {frozenset(("left_shoulder", "right_shoulder"))}
    assert named == expected


@EVERY
def test_every_joint_is_on_the_skeleton(names) -> None:
    assert {joint for limb in limbs(names) for joint in limb} == set(range(len(names)))


def test_parts_are_those_whose_ends_are_there() -> None:
    assert set(parts(LEEDS)) == {f"{s}_{p}" for s in ("left", "right") for p in PARTS} | {"head"}
    assert set(parts(STICKMAN)) == {f"{s}_{p}" for s in ("left", "right") for p in ("lower_arm", "lower_leg")}
    outer, inner = parts(LEEDS)["left_upper_leg"]
    assert (LEEDS[outer], LEEDS[inner]) == ("left_knee", "left_hip")


PARTS = ("lower_arm", "upper_arm", "lower_leg", "upper_leg")
