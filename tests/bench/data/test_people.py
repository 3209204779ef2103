"""The datasets of photographed people, in tiny trees of their original layouts."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from annotated import dots, lit, people, row, struct
from PIL import Image
from scipy.io import savemat

from bench.data.crops import GREY, Person, around, cropped
from bench.data.fingerprint import fingerprint
from bench.data.leeds import NAMES
from bench.data.lsp import lsp
from bench.data.lspet import lspet
from bench.data.lspet128 import lspet128
from bench.data.mpii import NAMES as MPII
from bench.data.mpii import mpii
from bench.data.people import between, examples
from bench.registry.catalogue import declarations

SHAPE = (3, 32, 32)


def test_leeds_sports_pose_marks_what_is_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.data.lsp.HALF", 4)
    size, count = (110, 160), 8
    joints = people(count, size)
    flags = np.zeros((count, 14))
    flags[:, 3] = 1
    mat = np.concatenate([joints + 1, flags[..., None]], -1).transpose(2, 1, 0)
    (tmp_path / "lsp").mkdir()
    savemat(tmp_path / "lsp" / "joints.mat", {"joints": mat})
    for number, places in enumerate(joints, start=1):
        dots(tmp_path / "lsp" / "images" / f"im{number:04d}.jpg", places, size)
    train, test = (lsp(tmp_path, split, (3, 64, 64)) for split in ("train", "test"))
    assert train.images.shape == (4, 3, 64, 64)
    assert train.names == NAMES
    assert train.targets["visible"].tolist() == [[2, 2, 2, 1, *[2] * 10]] * 4
    assert min(lit(loaded, i, joint) for loaded in (train, test) for i in range(4) for joint in range(14)) > 100


def test_its_extension_marks_what_is_visible(tmp_path: Path) -> None:
    size, count = (130, 120), 20
    joints = people(count, size)
    flags = np.ones((count, 14))
    flags[:, 5] = 0
    mat = np.concatenate([joints + 1, flags[..., None]], -1).transpose(1, 2, 0)
    mat[5, :2] = -300  # what the file says of joints that nobody marked
    (tmp_path / "lspet").mkdir()
    savemat(tmp_path / "lspet" / "joints.mat", {"joints": mat})
    for number, places in enumerate(joints, start=1):
        dots(tmp_path / "lspet" / "images" / f"im{number:05d}.jpg", np.delete(places, 5, 0), size)
    loaded = lspet(tmp_path, "train", SHAPE)
    assert len(loaded) == 18
    assert len(lspet(tmp_path, "val", SHAPE)) == 2
    assert (loaded.targets["visible"][:, 5] == 0).all()
    assert (loaded.targets["joints"][:, 5] == 0).all()
    assert min(lit(loaded, i, joint) for i in range(18) for joint in (0, 4, 6, 13)) > 100
    assert loaded.targets["torso"].isfinite().all()
    assert loaded.targets["head"].isfinite().all()


def write_crops(root: Path, count: int = 6) -> np.ndarray:
    joints = people(count, (128, 128))
    flags = np.ones((count, 14, 1))
    flags[1, 9] = 0
    home = root / "lspet128"
    home.mkdir()
    index = np.arange(count) * 2 + 1
    mat = {"joints": np.concatenate([joints, flags], -1).transpose(1, 2, 0), "index": index[None]}
    savemat(home / "joints.mat", {**mat, "split": (np.arange(count) % 3 == 2).astype(np.int8)[None]})
    for number, places in zip(index, joints, strict=True):
        dots(home / "images" / f"im{number:05d}.jpg", places, (128, 128))
    return joints


def test_crops_keep_their_split_and_scale_their_joints(tmp_path: Path) -> None:
    joints = write_crops(tmp_path)
    train, val = (lspet128(tmp_path, split, (3, 64, 32)) for split in ("train", "val"))
    assert (len(train), len(val)) == (4, 2)
    expected = (joints[[2, 5]] + 0.5) * np.array([32 / 128, 64 / 128]) - 0.5
    assert np.allclose(val.targets["joints"].numpy(), expected, atol=1e-4)
    assert train.targets["torso"][1].isnan()  # its left shoulder is not annotated
    torso = np.linalg.norm(expected[:, NAMES.index("left_shoulder")] - expected[:, NAMES.index("right_hip")], axis=-1)
    assert np.allclose(val.targets["torso"].numpy(), torso, rtol=1e-5)
    large = lspet128(tmp_path, "val", (3, 128, 128))
    assert min(lit(large, i, joint) for i in range(2) for joint in range(14)) > 200
    entry = declarations().datasets.get("lspet128")
    assert fingerprint(entry, tmp_path, "val", SHAPE, {}) != fingerprint(entry, tmp_path, "train", SHAPE, {})


def test_mpii_people_by_place_and_scale(tmp_path: Path) -> None:
    size, count = (160, 170), 12
    joints = people(count, size, 16)

    def point(number: int, place: np.ndarray):
        flag = np.empty((0, 0)) if number in (8, 9) else np.array(float(number != 10))
        return struct(id=float(number), x=place[0] + 1, y=place[1] + 1, is_visible=flag)

    def person(places: np.ndarray):
        points = row([point(k, place) for k, place in enumerate(places) if k != 4])
        head = dict(zip(("x1", "y1", "x2", "y2"), (10.0, 10.0, 40.0, 50.0), strict=True))
        at = struct(x=81.0, y=86.0)
        return struct(**head, annopoints=struct(point=points), scale=0.9, objpos=at)

    # twelve frames of ten videos: the first and the eleventh are of the one that is held out
    entries = [
        struct(image=struct(name=f"{i}.jpg"), annorect=row([person(places)]), vididx=10.0 + i % 10)
        for i, places in enumerate(joints)
    ]
    entries.append(struct(image=struct(name="test.jpg"), annorect=np.empty((0, 0)), vididx=np.empty((0, 0))))
    train = np.array([[1.0] * count + [0.0]])
    (tmp_path / "mpii").mkdir()
    path = tmp_path / "mpii" / "mpii_human_pose_v1_u12_1.mat"
    savemat(path, {"RELEASE": struct(annolist=row(entries), img_train=train)})
    for i, places in enumerate(joints):
        dots(tmp_path / "mpii" / "images" / f"{i}.jpg", np.delete(places, 4, 0), size)
    loaded = mpii(tmp_path, "train", (3, 112, 112))
    assert (len(loaded), len(mpii(tmp_path, "val", SHAPE))) == (10, 2)
    assert loaded.names == MPII
    assert (loaded.targets["visible"][:, 4] == 0).all()
    assert (loaded.targets["visible"][:, 10] == 1).all()  # flagged as hidden
    assert (loaded.targets["visible"][:, [0, 8, 9]] == 2).all()  # the head's joints have no flag
    seen = [(i, k) for i in range(len(loaded)) for k in range(16) if loaded.targets["visible"][i, k]]
    assert min(lit(loaded, i, k) for i, k in seen) > 100
    # A box of 200 px times 0.9 and 1.25 became 112 px; the head's box has a diagonal of 50 px.
    assert np.allclose(loaded.targets["head"].numpy(), 0.6 * 50 * 112 / (200 * 0.9 * 1.25), rtol=0.01)


def test_another_joints_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lsp").mkdir()
    savemat(tmp_path / "lsp" / "joints.mat", {"joints": np.zeros((16, 3, 4))})
    with pytest.raises(ValueError, match=r"expected joints of 14 x 3"):
        lsp(tmp_path, "train", SHAPE)


def test_files_that_lack_something_say_what(tmp_path: Path) -> None:
    for name in ("lspet", "lspet128"):
        (tmp_path / name / "images").mkdir(parents=True)
    savemat(tmp_path / "lspet128" / "joints.mat", {"joints": np.zeros((14, 3, 2))})
    with pytest.raises(ValueError, match="'index' and 'split' are missing, so these are not lspet128's crops"):
        lspet128(tmp_path, "train", SHAPE)
    with pytest.raises(ValueError, match="nobody in this split has an annotated joint"):
        cropped([], NAMES, SHAPE)
    with pytest.raises(ValueError, match="no finite place"):
        around(np.array([[1.0, float("nan")]]), SHAPE)


def test_mpii_without_its_videos_is_refused(tmp_path: Path) -> None:
    at = struct(x=81.0, y=86.0)
    points = struct(point=row([struct(id=0.0, x=3.0, y=3.0, is_visible=1.0)]))
    someone = struct(x1=1.0, y1=1.0, x2=4.0, y2=4.0, annopoints=points, scale=0.9, objpos=at)
    entry = struct(image=struct(name="0.jpg"), annorect=row([someone]))
    (tmp_path / "mpii").mkdir()
    path = tmp_path / "mpii" / "mpii_human_pose_v1_u12_1.mat"
    savemat(path, {"RELEASE": struct(annolist=row([entry, entry]), img_train=np.array([[1.0, 1.0]]))})
    with pytest.raises(ValueError, match=r"image 0\.jpg has no vididx"):
        mpii(tmp_path, "train", SHAPE)


def test_a_box_that_leaves_the_picture_is_filled_with_grey(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20), (0, 0, 0)).save(tmp_path / "a.png")
    person = Person(tmp_path / "a.png", (-10, 0, 10, 20), np.zeros((14, 2)), np.full(14, 2, dtype=np.uint8))
    loaded = cropped([person], NAMES, (1, 20, 20))
    assert (loaded.images[0, 0, :, :10] == GREY).all()
    assert (loaded.images[0, 0, :, 10:] == 0).all()
    assert loaded.targets["joints"][0, 0].tolist() == [10.0, 0.0]


def test_a_box_has_the_shape_s_proportions_and_holds_its_joints() -> None:
    places = np.array([[10.0, 20.0], [50.0, 30.0]])
    left, top, right, bottom = around(places, (3, 64, 32))
    assert (bottom - top) / (right - left) == pytest.approx(2, rel=0.05)
    assert left < 10
    assert right > 50
    assert (left + right) / 2 == pytest.approx(30.5, abs=1)


def test_examples_refuse_what_has_no_place() -> None:
    images, joints = np.zeros((1, 3, 8, 8), dtype=np.uint8), np.full((1, 2, 2), np.nan)
    names = ("left_wrist", "right_wrist")
    loaded = examples(images, joints, np.zeros((1, 2), dtype=np.uint8), names)
    assert (loaded.targets["joints"] == 0).all()
    assert loaded.targets["mirror"].tolist() == [[1, 0]]
    assert loaded.targets["size"].tolist() == [[8.0, 8.0]]
    with pytest.raises(ValueError, match="no finite place"):
        examples(images, joints, np.full((1, 2), 2, dtype=np.uint8), names)
    assert np.isnan(between(joints, np.zeros((1, 2), dtype=np.uint8), names, names)).all()


def test_the_real_crops() -> None:
    root = os.environ.get("FOVBENCH_DATA")
    if not root or not (Path(root) / "lspet128").is_dir():
        pytest.skip("FOVBENCH_DATA names no folder with lspet128")
    loaded = lspet128(Path(root), "val", (3, 64, 64))
    assert len(loaded) == 711
    assert loaded.targets["visible"].bool().float().mean() > 0.9
    annotated = loaded.targets["visible"] > 0
    assert (loaded.targets["joints"][annotated] >= -0.5).all()
    assert (loaded.targets["joints"][annotated] <= 63.5).all()
    assert 15 < loaded.targets["torso"].nanmean() < 20
