"""The dataset `folder_pose`: keypoints in COCO's format, mirrors, lengths for PCK, and mistakes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotated import dots, lit

from bench.data.examples import DataNotFound
from bench.data.folder_pose import files, folder_pose

SHAPE = (3, 40, 40)
NAMES = ["left_paw", "right_paw", "tail"]
JOINTS = np.array([[14.0, 12.0], [26.0, 12.0], [20.0, 24.0]])
BASE = {"path": "mine", "joints": 3, "scale": "box"}


def animal(image: int, number: int, flags: tuple[int, ...] = (2, 1, 2), **changes: Any) -> dict[str, Any]:
    points = [value for (x, y), flag in zip(JOINTS, flags, strict=True) for value in (x, y, flag)]
    entry = {"id": number, "image_id": image, "category_id": 7, "bbox": [10, 8, 20, 20], "keypoints": points}
    return {name: value for name, value in {**entry, **changes}.items() if value is not None}


def written(home: Path, name: str, *numbers: int, annotations: list[Any] | None = None, **changes: Any) -> Path:
    for number in numbers:
        dots(home / "images" / f"{number}.png", JOINTS, (48, 40))
    contents = {
        "images": [{"id": k, "file_name": f"{k}.png"} for k in numbers],
        "annotations": [animal(k, k) for k in numbers] if annotations is None else annotations,
        "categories": [{"id": 7, "name": "cat", "keypoints": NAMES}],
        **changes,
    }
    home.joinpath(name).write_text(json.dumps({key: value for key, value in contents.items() if value is not None}))
    return home / name


@pytest.fixture
def home(tmp_path):
    """Images 1 to 3 for training and 4, 5 for validation, a cat in each."""
    written(tmp_path / "mine", "train.json", 1, 2, 3)
    written(tmp_path / "mine", "val.json", 4, 5)
    return tmp_path / "mine"


def test_joints_are_where_the_image_shows_them(home):
    loaded = folder_pose(home.parent, "val", SHAPE, **BASE)
    assert (len(loaded), loaded.names) == (2, tuple(NAMES))
    assert all(lit(loaded, 1, joint) > 200 for joint in range(3))
    assert loaded.targets["visible"].tolist() == [[2, 1, 2]] * 2
    assert loaded.targets["mirror"].tolist() == [[1, 0, 2]] * 2
    assert loaded.targets["joints"].shape == (2, 3, 2)
    assert set(loaded.targets) == {"joints", "visible", "size", "mirror", "torso"}


def test_pck_is_relative_to_the_box_or_to_the_stated_torso(home):
    zoom = 40 / 25  # a box of 20 px, 1.25 times as large, in 40 px
    assert folder_pose(home.parent, "val", SHAPE, **BASE).targets["torso"].tolist() == pytest.approx([20 * zoom] * 2)
    stated = {**BASE, "scale": "torso", "torso": ("left_paw", "tail")}
    expected = pytest.approx([math.hypot(6, 12) * zoom] * 2)
    assert folder_pose(home.parent, "val", SHAPE, **stated).targets["torso"].tolist() == expected
    written(home, "val.json", 4, 5, annotations=[animal(4, 4), animal(5, 5, (0, 2, 2))])
    lengths = folder_pose(home.parent, "val", SHAPE, **stated).targets["torso"].tolist()
    assert lengths[0] > 0
    assert math.isnan(lengths[1])


def test_the_torso_of_people_and_their_head(home):
    names = ["left_shoulder", "right_hip", "right_shoulder", "left_hip", "head_top", "neck"]
    points = [value for k in range(6) for value in (12 + 2 * k, 14, 2)]
    one = [animal(4, 4, keypoints=points)]
    written(home, "train.json", 1, annotations=[animal(1, 1, keypoints=points)], categories=None)
    written(home, "val.json", 4, annotations=one, categories=None)
    loaded = folder_pose(home.parent, "val", SHAPE, path="mine", joints=6, names=tuple(names))
    assert loaded.targets["torso"].tolist() == pytest.approx([2 * 1.6])
    assert loaded.targets["head"].tolist() == pytest.approx([2 * 1.6])


def test_pairs_replace_the_names_of_sides(home):
    options = {**BASE, "names": ("paw_l", "paw_r", "tail")}
    loaded = folder_pose(home.parent, "val", SHAPE, **options, pairs=("paw_l:paw_r",))
    assert loaded.targets["mirror"].tolist() == [[1, 0, 2]] * 2
    for call in (files, lambda *a, **axes: folder_pose(*a, SHAPE, **axes)):
        with pytest.raises(
            ValueError, match=r"joint 'paw_l' seems to have a side.*name it left_ or right_, or state pa"
        ):
            call(home.parent, "val", **options)


def test_one_file_is_split_by_images(home):
    written(home, "all.json", *range(1, 7))
    options = {**BASE, "annotations": "all.json", "val_fraction": 0.34}
    split = {s: folder_pose(home.parent, s, SHAPE, **options) for s in ("train", "val")}
    assert {s: len(loaded) for s, loaded in split.items()} == {"train": 4, "val": 2}
    images = {s: {*files(home.parent, s, **options).images} for s in split}
    assert not images["train"] & images["val"]


def test_people_that_are_left_out_are_counted_and_lengths_stay_with_their_people(home):
    boxes = ([900, 10, 20, 20], [10, 8, 30, 30], [10, 8, 0, 0])
    annotations = [animal(4, k, bbox=box) for k, box in enumerate(boxes)] + [animal(4, 9, category_id=8)]
    written(home, "val.json", 4, annotations=annotations)
    loaded = folder_pose(home.parent, "val", SHAPE, **BASE)
    assert len(loaded) == 1
    assert loaded.targets["torso"].tolist() == pytest.approx([30 * 40 / 38], rel=0.02)
    assert sum(loaded.left_out.values()) == 3


BROKEN = {  # changes of val.json, options, what is said
    "other joints": ({}, {"joints": 4}, "train.json|val.json: the category has 3 joints, but joints is 4"),
    "other joints, no names": (
        {"categories": None}, {"joints": 4, "names": tuple("abcd")}, "'keypoints' is a list of 9, not a list of 12",
    ),
    "other names": ({}, {"names": ("a", "b")}, "names lists 2 joints, but joints is 3: state joints: 2"),
    "no names": ({"categories": None}, {}, r"val.json: it has no names of joints .*: state names: \[left_wrist"),
    "no torso": ({}, {"scale": "torso"}, "there is no joint 'left_shoulder': state two joints of left_paw, .* scale: b"),
    "half a torso": ({}, {"scale": "torso", "torso": ("tail",)}, "torso lists 1 joints, not 2"),
    "no such pair": ({}, {"pairs": ("left_paw:paw",)}, "pairs: 'left_paw:paw': there is no joint 'paw'"),
    "no pair": ({}, {"pairs": ("tail",)}, "pairs: 'tail' is no pair: write two joints with a colon"),
    "two pairs": ({}, {"pairs": ("left_paw:right_paw", "left_paw:tail")}, "joint 'left_paw' is in two pairs"),
    "a side in no pair": ({}, {"pairs": ("left_paw:tail",)}, "joint 'right_paw' seems to have a side.*state it in pa"),
    "half a pair of sides": (
        {}, {"names": ("left_paw", "nose", "tail")}, "joint 'left_paw' is not accompanied by 'right_paw'",
    ),
    "no category": ({}, {"category": "dog"}, "there is no category 'dog': the file has cat"),
    "several categories": (
        {"categories": [{"id": 7, "name": "cat"}, {"id": 8, "name": "dog"}]}, {},
        "val.json: the file has cat, dog: state which one, category: 'cat'",
    ),
    "nobody": ({"annotations": []}, {}, "val.json: nobody has an annotated joint"),
    "lists and fraction": ({}, {"val_fraction": 0.5}, "by annotations: '{split}.json' and by val_fraction: name one f"),
    "one file for both": ({}, {"annotations": "val.json"}, "one file for both splits: state val_fraction: 0.2"),
    "no file": ({}, {"annotations": "x_{split}.json"}, "x_val.json: there is no such file: state its name"),
    "no COCO": ({"images": {}}, {}, "val.json: no person_keypoints file of COCO"),
    "an unknown image": ({"annotations": [animal(77, 1)]}, {}, "annotation 1: 'image_id' 77 is not the id of an image"),
    "no box": ({"annotations": [animal(4, 1, bbox=None)]}, {}, "annotation 1: 'bbox' is None, not a list of 4"),
    "a name elsewhere": ({"images": [{"id": 4, "file_name": "../4.png"}]}, {}, "is not a name below the folder"),
    "the same image": (
        {"images": [{"id": 4, "file_name": "1.png"}], "annotations": [animal(4, 1)]}, {},
        "val.json: train.json has the image 1.png too, so that val is not held back",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_mistake_is_one_line_with_its_fix_before_a_run(name, home):
    changes, options, text = BROKEN[name]
    if changes:
        written(home, "val.json", 4, 5, **changes)
    with pytest.raises(ValueError, match=text) as error:
        files(home.parent, "val", **{**BASE, **options})
    assert "\n" not in str(error.value)


def test_a_missing_image_is_named(home):
    (home / "images" / "5.png").unlink()
    with pytest.raises(DataNotFound, match=f"looked for {home}/images/5.png"):
        files(home.parent, "val", **BASE)
