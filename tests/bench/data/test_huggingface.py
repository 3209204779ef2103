"""Rows of Hugging Face datasets: pictures and masks, mistakes, and the extra that is missing.

Rows are read from plain lists, which have what is used of the library's `Dataset`: its length and rows by number.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.examples import IGNORE, DataNotFound
from bench.data.huggingface_segmentation import files, huggingface_segmentation, read
from bench.data.masks import by_number

SHAPE = (3, 8, 12)
HERE = Path("mine/train")
MEANING = by_number(3, 0, (255,))


def row(number: int = 0, **changes: object) -> dict[str, object]:
    labels = np.full((8, 12), number, np.uint8)
    labels[0, 0] = IGNORE
    return {"image": Image.new("RGB", (12, 8), (9, 9, 9)), "annotation": Image.fromarray(labels), **changes}


def test_rows_are_read():
    images, labels = read([row(0), row(2)], HERE, ("image", "annotation"), SHAPE, MEANING)
    assert images.shape == (2, 3, 8, 12)
    assert np.unique(images).tolist() == [9]
    assert labels[:, 4, 4].tolist() == [0, 2]
    assert labels[:, 0, 0].tolist() == [IGNORE, IGNORE]


@pytest.mark.parametrize(
    ("changes", "columns", "text"),
    [
        ({}, ("image", "mask"), r"there is no column 'mask' \(columns are image, annotation\)"),
        ({"annotation": [1]}, ("image", "annotation"), "row 0, annotation: it is a list, not a picture"),
        ({"annotation": Image.new("L", (3, 3))}, ("image", "annotation"), "it has 3 x 3 px, but its image has 12 x 8"),
        ({"annotation": Image.new("L", (12, 8), 7)}, ("image", "annotation"), "it holds 7, which is neither a class"),
        ({"annotation": Image.new("RGB", (12, 8))}, ("image", "annotation"), "it holds colours"),
    ],
)
def test_a_row_that_does_not_fit_is_named(changes, columns, text):
    with pytest.raises(ValueError, match=f"^{HERE}.*{text}"):
        read([row(**changes)], HERE, columns, SHAPE, MEANING)


def test_files_and_splits(tmp_path):
    for split in ("train", "validation"):
        (tmp_path / "mine" / split).mkdir(parents=True)
        for name in ("data-00000-of-00001.arrow", "state.json", "dataset_info.json"):
            (tmp_path / "mine" / split / name).write_bytes(b"?")
    listed = files(tmp_path, "val", path="mine")
    assert [path.name for path in (*listed.images, *listed.lists)] == [
        "data-00000-of-00001.arrow", "dataset_info.json", "state.json",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="mine/test: no Arrow files; mine has train, validation: state val_split"):
        files(tmp_path, "val", path="mine", val_split="test")
    with pytest.raises(DataNotFound, match=r"looked for .*/yours"):
        files(tmp_path, "val", path="yours")


def test_the_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "mine" / "train").mkdir(parents=True)
    (tmp_path / "mine" / "train" / "data.arrow").write_bytes(b"?")
    with pytest.raises(ValueError, match=r"mine/train: reading it needs .*: pip install 'fovbench\[huggingface\]'$"):
        huggingface_segmentation(tmp_path, "train", SHAPE, path="mine")


def test_what_the_library_saves_is_read(tmp_path):
    library = pytest.importorskip("datasets", reason="the extra huggingface is not installed")
    splits = {
        name: library.Dataset.from_dict(
            {key: [entry[key] for entry in (row(0), row(2))] for key in ("image", "annotation")},
            features=library.Features({"image": library.Image(), "annotation": library.Image()}),
        )
        for name in ("train", "validation")
    }
    library.DatasetDict(splits).save_to_disk(str(tmp_path / "mine"))
    loaded = huggingface_segmentation(tmp_path, "val", SHAPE, path="mine", classes=3)
    assert loaded.targets["labels"][:, 4, 4].tolist() == [0, 2]
