"""COCO keypoints: annotations that are read, left out and counted, or refused with file, annotation and key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotated import dots, lit, people
from PIL import Image

from bench.data.coco_format import FLAT, OTHER
from bench.data.coco_keypoints import NAMES as COCO
from bench.data.coco_keypoints import coco_keypoints, files
from bench.data.crops import OUTSIDE
from bench.data.examples import DataNotFound

SHAPE = (3, 32, 32)
JOINTS = [[15 + k, 12, 2] for k in range(17)]


def person(**changes: Any) -> dict[str, Any]:
    points = [value for joint in JOINTS for value in joint]
    whole = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "keypoints": points}
    return {name: value for name, value in {**whole, **changes}.items() if value is not None}


def tree(root: Path, *annotations: Any, images: Any = None, **picture: Any) -> Path:
    """A COCO tree of one black picture of 60 x 40 px; the path of the annotation file."""
    folder = root / "coco"
    (folder / "val2017").mkdir(parents=True, exist_ok=True)
    (folder / "annotations").mkdir(exist_ok=True)
    Image.new("RGB", (60, 40)).save(folder / "val2017" / "1.jpg", **picture)
    contents = {"images": images or [{"id": 1, "file_name": "1.jpg"}], "annotations": list(annotations)}
    path = folder / "annotations" / "person_keypoints_val2017.json"
    path.write_text(json.dumps(contents))
    return path


def test_coco_people_in_their_boxes(tmp_path: Path) -> None:
    size = (200, 150)
    joints = people(3, (100, 110), 17)
    folder = tmp_path / "coco"
    dots(folder / "val2017" / "a.jpg", np.concatenate([joints[0], joints[1] + [80, 0]]), size)
    dots(folder / "val2017" / "b.jpg", joints[2], size)

    def annotation(number: int, image: int, places: np.ndarray, flag: int = 2, crowd: int = 0):
        low, high = places.min(0), places.max(0)
        rows = [[*map(float, place), flag] for place in places]
        rows[0] = [0, 0, 0]
        box = [*map(float, low), *map(float, high - low + 1)]
        points = [v for row in rows for v in row]
        return {"id": number, "image_id": image, "keypoints": points, "bbox": box, "iscrowd": crowd}

    annotations = [
        annotation(1, 7, joints[0]),
        annotation(2, 7, joints[1] + [80, 0], flag=1),
        annotation(3, 9, joints[2], crowd=1),
        {**annotation(4, 9, joints[2]), "keypoints": [0] * 51},
    ]
    (folder / "annotations").mkdir()
    images = [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}]
    path = folder / "annotations" / "person_keypoints_val2017.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    examples = coco_keypoints(tmp_path, "val", (3, 96, 72))
    assert len(examples) == 2
    assert examples.names == COCO
    assert examples.targets["visible"].tolist() == [[0, *[2] * 16], [0, *[1] * 16]]
    assert min(lit(examples, i, joint) for i in range(2) for joint in range(1, 17)) > 100
    assert "head" not in examples.targets


@pytest.mark.parametrize(
    "box", [[15, 12, 0, 0], [15, 12, 0, 20], [15, 12, 20, 0], [15, 12, -8, 20], [15, 12, 0.5, 0.5]]
)
def test_people_in_boxes_without_an_area_are_left_out_and_counted(tmp_path, box):
    tree(tmp_path, person(id=1, bbox=box), person(id=2), person(id=3, bbox=box))
    examples = coco_keypoints(tmp_path, "val", SHAPE)
    assert len(examples) == 1
    assert examples.left_out == {FLAT: 2}
    tree(tmp_path / "alone", person(bbox=box))
    with pytest.raises(
        ValueError,
        match=r"val2017\.json: nobody in this split has an annotated joint; left out: 1 \(people whose box is",
    ):
        coco_keypoints(tmp_path / "alone", "val", SHAPE)


def test_a_split_without_such_boxes_counts_none(tmp_path):
    tree(tmp_path, person())
    assert coco_keypoints(tmp_path, "val", SHAPE).left_out == {FLAT: 0}


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (person(image_id=99), "annotation 1: 'image_id' 99 is not the id of an image"),
        (person(image_id=None), "annotation 1: 'image_id' None is not the id"),
        (person(image_id=[1]), r"annotation 1: 'image_id' \[1\] is not the id"),
        (person(bbox=None), "annotation 1: 'bbox' is None, not a list of 4 finite numbers"),
        (person(bbox=[1, 2, 3]), "annotation 1: 'bbox' is a list of 3"),
        (person(bbox=[1, 2, "3", 4]), "annotation 1: 'bbox' is a list of 4, not a list of 4 finite numbers"),
        (person(bbox=[1, float("nan"), 3, 4]), "annotation 1: 'bbox'"),
        (person(bbox=[1, 2, 1e300, 1e300]), "annotation 1: 'bbox'"),
        (person(keypoints=None), "annotation 1: 'keypoints' is None, not a list of 51"),
        (person(keypoints=[1, 2, 2] * 16), "annotation 1: 'keypoints' is a list of 48"),
        (person(keypoints=[1, 2, 3] * 17), "annotation 1: 'keypoints' has flags"),
        (person(keypoints=[float("inf"), 2, 2] * 17), "annotation 1: 'keypoints'"),
        (person(id=None, image_id=7), "annotation None: 'image_id' 7"),
    ],
)
def test_a_wrong_annotation_is_refused_with_file_annotation_and_key(tmp_path, annotation, message):
    path = tree(tmp_path, annotation)
    for call in (files, lambda root, split: coco_keypoints(root, split, SHAPE)):
        with pytest.raises(ValueError, match=f"^{path}: {message}"):
            call(tmp_path, "val")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([{"id": 1}], r"images\[0\]: 'file_name' is None"),
        ([{"file_name": "1.jpg"}], r"images\[0\]: 'id' is None"),
        ([{"id": 1, "file_name": "1.jpg"}] * 2, r"images\[1\]: 'id' 1 is that of another image"),
        ([{"id": 1, "file_name": "../../secret.jpg"}], r"images\[0\]: 'file_name' '../../secret.jpg' is not"),
        ([{"id": 1, "file_name": "/etc/1.jpg"}], r"images\[0\]: 'file_name' '/etc/1.jpg' is not"),
        ([7], "no person_keypoints file of COCO: TypeError an entry is 7"),
    ],
)
def test_a_wrong_image_entry_is_refused_with_file_and_key(tmp_path, images, message):
    path = tree(tmp_path, person(), images=images)
    with pytest.raises(ValueError, match=f"^{path}: {message}"):
        coco_keypoints(tmp_path, "val", SHAPE)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"7", b"{", b"\xff\xfe{", b"[" * 100000, b'{"images": 1, "annotations": 2}']
)
def test_another_file_is_refused(tmp_path, content):
    path = tree(tmp_path, person())
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{path}: no person_keypoints file of COCO"):
        coco_keypoints(tmp_path, "val", SHAPE)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_an_annotation_file_with_a_byte_order_mark_is_read(tmp_path, encoding):
    path = tree(tmp_path, person())
    path.write_bytes(path.read_text().encode(encoding))
    assert len(coco_keypoints(tmp_path, "val", SHAPE)) == 1


def test_an_image_of_another_size_than_its_annotation_states_is_refused(tmp_path):
    tree(tmp_path, person(), images=[{"id": 1, "file_name": "1.jpg", "width": 60, "height": 41}])
    with pytest.raises(ValueError, match=r"1\.jpg: it has 60 x 40 px, but .*annotation 1 is of an image of 60 x 41 px"):
        coco_keypoints(tmp_path, "val", SHAPE)


def test_a_turned_picture_is_refused_since_its_joints_may_be_meant_for_either(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    tree(tmp_path, person(), exif=exif)
    with pytest.raises(ValueError, match=r"1\.jpg: EXIF says that the image is turned"):
        coco_keypoints(tmp_path, "val", SHAPE)


def test_a_box_larger_than_any_photograph_is_refused_with_its_annotation(tmp_path):
    tree(tmp_path, person(bbox=[0, 0, 90000, 90000]))
    with pytest.raises(ValueError, match=r"annotation 1: a box of 112500 x 112500 px is too large"):
        coco_keypoints(tmp_path, "val", SHAPE)


def test_a_missing_image_is_named(tmp_path):
    tree(tmp_path, person())
    (tmp_path / "coco" / "val2017" / "1.jpg").unlink()
    with pytest.raises(DataNotFound, match=r"val2017/1\.jpg"):
        coco_keypoints(tmp_path, "val", SHAPE)


@pytest.mark.parametrize("size", [(60, 40), (40, 60)])
def test_a_turned_picture_is_read_in_the_orientation_whose_size_the_annotation_states(tmp_path, size):
    """The stored pixels are 60 x 40, bright on the left; a viewer shows 40 x 60, bright at the top."""
    exif = Image.Exif()
    exif[0x0112] = 6
    entry = {"id": 1, "file_name": "1.jpg", "width": size[0], "height": size[1]}
    tree(tmp_path, person(bbox=[0, 0, *size]), images=[entry])
    levels = np.zeros((40, 60, 3), np.uint8)
    levels[:, :30] = 250
    Image.fromarray(levels).save(tmp_path / "coco" / "val2017" / "1.jpg", exif=exif)
    box = coco_keypoints(tmp_path, "val", (1, *size[::-1])).images[0, 0].numpy()
    inside = box[size[1] // 5 : -size[1] // 5, size[0] // 5 : -size[0] // 5]
    first, last = (inside[:, :4], inside[:, -4:]) if size == (60, 40) else (inside[:4], inside[-4:])
    assert first.min() > 200
    assert last.max() < 50


def outcome(root: Path) -> Any:
    """The number of people and what was left out, or the message of the refusal."""
    try:
        examples = coco_keypoints(root, "val", SHAPE)
    except ValueError as error:
        return str(error)
    return len(examples), {reason: count for reason, count in examples.left_out.items() if count}


@pytest.mark.parametrize("box", [[1000, 10, 20, 20], [10, -500, 20, 20], [-90, -90, 20, 20], [80, 60, 5, 5]])
def test_people_whose_box_is_outside_the_image_are_left_out_and_counted(tmp_path, box):
    tree(tmp_path, person(id=1, bbox=box), person(id=2), person(id=3, bbox=[-5, -5, 20, 20]))
    assert outcome(tmp_path) == (2, {OUTSIDE: 1})
    tree(tmp_path, person(bbox=box))
    assert outcome(tmp_path).endswith(f"nobody in this split has an annotated joint; left out: 1 ({OUTSIDE})")


def test_annotations_of_other_categories_are_left_out_and_counted(tmp_path):
    path = tree(tmp_path, person(id=1), person(id=2, category_id=18, keypoints=None), person(id=3, category_id="1"))
    assert outcome(tmp_path) == (1, {OTHER: 2})
    contents = json.loads(path.read_text())
    contents["categories"] = [{"id": 1, "name": "dog"}, {"id": 18, "name": "person"}]
    contents["annotations"][1]["keypoints"] = contents["annotations"][0].pop("keypoints")
    path.write_text(json.dumps(contents))
    assert outcome(tmp_path) == (1, {OTHER: 2})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": [1]}, r"annotations[0]: 'id' is [1], not a number or a string"),
        ({"id": True}, "annotations[0]: 'id' is True, not a number or a string"),
        ({"image_id": True}, "annotation 1: 'image_id' True is not the id of an image that the file lists"),
        ({"iscrowd": "0"}, "annotation 1: 'iscrowd' is '0', not 0 or 1"),
        ({"iscrowd": 2}, "annotation 1: 'iscrowd' is 2, not 0 or 1"),
        (
            {"bbox": [1, float("inf"), 3, 4]},
            "annotation 1: 'bbox' is a list of 4, not a list of 4 finite numbers: it holds inf",
        ),
        (
            {"keypoints": [1, 2, True] * 17},
            "annotation 1: 'keypoints' is a list of 51, not a list of 51 finite numbers: it holds True",
        ),
    ],
)
def test_values_of_another_type_are_refused_with_annotation_and_key(tmp_path, changes, message):
    path = tree(tmp_path, person(**changes))
    assert outcome(tmp_path) == f"{path}: {message}"


def test_an_annotation_that_is_there_twice_is_refused(tmp_path):
    path = tree(tmp_path, person(id=7), person(id=8), person(id=7))
    assert outcome(tmp_path) == f"{path}: annotations[2]: 'id' 7 is that of annotations[0] too"
    tree(tmp_path, person(id=None), person(id=None))
    assert outcome(tmp_path) == (2, {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id": True}, "'id' is True, not a number or a string"),
        ({"width": "60", "height": "40"}, "'width' is '60', not a whole number from 1"),
        ({"width": 60.0, "height": 40.0}, "'width' is 60.0, not a whole number from 1"),
        ({"width": 60}, "'height' is None, not a whole number from 1"),
        ({"width": 60, "height": -40}, "'height' is -40, not a whole number from 1"),
    ],
)
def test_a_wrong_id_or_size_of_an_image_is_refused(tmp_path, changes, message):
    path = tree(tmp_path, person(), images=[{"id": 1, "file_name": "1.jpg", **changes}])
    assert outcome(tmp_path) == f"{path}: images[0]: {message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", r"an entry is \[\], not an object"),
        ('{"annotations": []}', "'images' is None, not a list"),
        ('{"images": {}, "annotations": []}', r"'images' is \{\}, not a list"),
        ('{"images": [], "annotations": null}', "'annotations' is None, not a list"),
        ('{"images": [], "annotations": [], "categories": 1}', "'categories' is 1, not a list"),
        ("[" * 100_000, "RecursionError"),
    ],
)
def test_a_file_of_another_form_says_what_is_wrong(tmp_path, content, message):
    path = tree(tmp_path)
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"^{path}: no person_keypoints file of COCO: .*{message}"):
        coco_keypoints(tmp_path, "val", SHAPE)


def test_an_annotation_file_beyond_the_limit_is_refused_before_it_is_read(tmp_path):
    with tree(tmp_path).open("wb") as file:
        file.truncate(5 << 30)
    assert outcome(tmp_path).endswith("val2017.json: it has 5,368,709,120 bytes; at most 1,073,741,824 are read")
