from __future__ import annotations

import os
import shutil

import pytest

import bench.data.camvid
import bench.data.context
import bench.data.fingerprint
import bench.data.voc
from bench.data.examples import DataNotFound
from bench.data.fingerprint import fingerprint, unchanged_data
from bench.registry import LIVE

SHAPE = (3, 10, 48)


def of(root, split="train", shape=SHAPE):
    return fingerprint(LIVE.datasets.get("camvid"), root, split, shape, {})


def flip_last_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("whole", [bench.data.fingerprint.WHOLE, 0])
@pytest.mark.parametrize("change", ["train/1.png", "trainannot/1.png", "train.txt"])
def test_changes_when_an_image_a_label_or_the_list_does(tmp_path, write_camvid, monkeypatch, whole, change):
    monkeypatch.setattr(bench.data.fingerprint, "WHOLE", whole)
    monkeypatch.setattr(bench.data.fingerprint, "SAMPLE", 16)
    write_camvid(tmp_path)
    before = of(tmp_path)
    if change == "train.txt":
        lines = (tmp_path / change).read_text().splitlines()
        (tmp_path / change).write_text("\n".join(lines[::-1]))
    else:
        flip_last_bit(tmp_path / change)
    assert of(tmp_path) != before


def test_a_label_counts_wholly_even_where_images_are_only_sampled(tmp_path, write_camvid, monkeypatch):
    monkeypatch.setattr(bench.data.fingerprint, "WHOLE", 0)
    monkeypatch.setattr(bench.data.fingerprint, "SAMPLE", 4)
    write_camvid(tmp_path)
    before = of(tmp_path)
    path = tmp_path / "trainannot" / "0.png"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    assert of(tmp_path) != before


def test_stays_when_the_folder_moves_or_is_touched(tmp_path, write_camvid):
    write_camvid(tmp_path / "here")
    before = of(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there" / "camvid")
    os.utime(tmp_path / "there" / "camvid" / "train" / "0.png", (1, 1))
    assert of(tmp_path / "there") == before


def test_depends_on_split_shape_and_axes(tmp_path, write_camvid, write_voc):
    write_camvid(tmp_path)
    write_camvid(tmp_path, "val")
    assert len({of(tmp_path), of(tmp_path, "val"), of(tmp_path, shape=(3, 20, 48))}) == 3
    for year in (2007, 2012):
        write_voc(tmp_path / str(year), year)
    voc = LIVE.datasets.get("voc")
    digests = [fingerprint(voc, tmp_path / str(year), "val", SHAPE, {"year": year}) for year in (2007, 2012)]
    assert digests[0] != digests[1]


def test_a_synthetic_dataset_is_identified_by_its_axes():
    def drawn(split="train", **axes):
        return fingerprint(LIVE.datasets.get("context"), None, split, (3, 80, 80), axes)

    assert drawn(distance=14, seed=0) == drawn(seed=0, distance=14)
    assert len({drawn(distance=14), drawn(distance=15), drawn("val", distance=14)}) == 3


def test_what_is_not_there_is_an_error(tmp_path):
    with pytest.raises(DataNotFound):
        of(tmp_path)


def test_files_are_looked_at_once_where_the_data_are_taken_to_be_unchanged(tmp_path, write_camvid):
    """The shape counts all the same; afterwards changes are seen again."""
    write_camvid(tmp_path)
    before, other = of(tmp_path), of(tmp_path, shape=(3, 20, 96))
    with unchanged_data():
        assert of(tmp_path) == before
        flip_last_bit(tmp_path / "train" / "1.png")
        assert of(tmp_path) == before
        assert of(tmp_path, shape=(3, 20, 96)) == other
    assert of(tmp_path) != before
