"""Files of datasets with damage: read, or refused with the file's name in a line or two."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import damaged_bytes, damaged_tree, odd_texts
from fuzzing import alarm, bounded
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from bench.data import camvid, coco_keypoints, lsp, mpii
from bench.data.examples import DataNotFound
from bench.data.matlab import variables

SHAPE = (3, 16, 16)


def reads(read: Callable[[], Any], *names: str) -> None:
    """Calls `read`; an error must be of the kinds that commands print plainly, and name one of the files."""
    message = names[0]
    with alarm():
        try:
            read()
        except (ValueError, DataNotFound) as error:
            message = str(error)
    assert any(name in message for name in names), message
    assert 0 < len(message.splitlines()) <= 4, message


def matlab(compressed: bool) -> bytes:
    stream = io.BytesIO()
    person = np.array([(1.5, "a.jpg")], dtype=[("scale", "O"), ("name", "O")])
    contents = {"joints": np.ones((3, 14, 4)), "person": person, "cell": np.array([[1.0], ["x"]], dtype=object)}
    savemat(stream, contents, do_compression=compressed)
    return stream.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
@bounded
@given(data=st.data())
def test_a_matlab_file(empty: Path, compressed: bool, data: st.DataObject) -> None:
    path = empty / "joints.mat"
    path.write_bytes(data.draw(damaged_bytes(matlab(compressed))))
    reads(lambda: variables(path, squeeze_me=True), "joints.mat")


@pytest.mark.parametrize("compressed", [False, True])
@bounded
@given(data=st.data())
def test_a_dataset_of_a_matlab_file(empty: Path, compressed: bool, data: st.DataObject) -> None:
    for name in ("lsp", "mpii"):
        (empty / name).mkdir(exist_ok=True)
    content = data.draw(damaged_bytes(matlab(compressed)))
    (empty / "lsp" / "joints.mat").write_bytes(content)
    (empty / "mpii" / mpii.FILE).write_bytes(content)
    reads(lambda: lsp.lsp(empty, "train", SHAPE), "joints.mat", "lsp")
    reads(lambda: mpii.mpii(empty, "train", SHAPE), mpii.FILE, "mpii")


def camvid_tree(root: Path) -> Path:
    folder = root / "camvid"
    for part in ("train", "trainannot"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        for name in ("a.png", "b b.png"):
            shape = (8, 12, 3) if part == "train" else (8, 12)
            Image.fromarray(np.full(shape, 3, np.uint8)).save(folder / part / name)
    return folder


@bounded
@given(data=st.data())
def test_a_list_of_images(empty: Path, data: st.DataObject) -> None:
    folder = camvid_tree(empty)
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "utf-32"]))
    lines = [f"{part}/{name}" for part in ("train",) for name in ("a.png", "b b.png")]
    written = [f"{line} {line.replace('train', 'trainannot')}" for line in lines]
    written.insert(data.draw(st.integers(0, 2)), data.draw(odd_texts()))
    content = "\n".join(written).encode(encoding, "replace")
    for split in ("train", "val"):
        (folder / f"{split}.txt").write_bytes(data.draw(st.one_of(st.just(content), damaged_bytes(content))))
    reads(lambda: camvid.camvid(empty, "train", SHAPE), "train.txt", "camvid")


@pytest.mark.parametrize(("file", "damages"), [("train/a.png", "image"), ("trainannot/a.png", "mask")])
@bounded
@given(data=st.data())
def test_an_image_of_a_list(empty: Path, file: str, damages: str, data: st.DataObject) -> None:
    folder = camvid_tree(empty)
    for split in ("train", "val"):
        (folder / f"{split}.txt").write_text("train/a.png trainannot/a.png\n")
    (folder / file).write_bytes(data.draw(damaged_bytes((folder / file).read_bytes())))
    reads(lambda: camvid.camvid(empty, "train", SHAPE), "a.png")


PERSON = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 20], "keypoints": [9, 9, 2] * 17}
PEOPLE = {"images": [{"id": 1, "file_name": "1.jpg"}], "annotations": [PERSON, {**PERSON, "id": 2}]}


@bounded
@given(tree=damaged_tree(PEOPLE), damage=st.data())
def test_annotations_of_people(empty: Path, tree: Any, damage: st.DataObject) -> None:
    folder = empty / "coco"
    for part in ("train2017", "val2017", "annotations"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(folder / "train2017" / "1.jpg")
    text = json.dumps(tree, default=str).encode("utf-8", "replace")
    file = folder / "annotations" / "person_keypoints_train2017.json"
    file.write_bytes(damage.draw(st.one_of(st.just(text), damaged_bytes(text))))
    reads(lambda: coco_keypoints.coco_keypoints(empty, "train", SHAPE), file.name, "1.jpg", "coco")
