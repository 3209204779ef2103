"""Malformed annotation files of Matlab: one clear line with the file, whatever is wrong."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotated import row
from annotated import struct as matlab_struct
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

import bench.data.matfile
from bench.data import lsp, lspet, lspet128, mpii
from bench.data.matlab import number, variables, whole_numbers

SHAPE = (3, 32, 32)
JOINTS = np.concatenate([np.full((14, 2, 3), 60.0), np.ones((14, 1, 3))], axis=1)
CROPS = {"joints": JOINTS, "index": np.arange(3.0)[None], "split": np.array([[0, 1, 0]])}


def crops(root: Path, **changes: Any) -> Path:
    """A tree of lspet128 of three people; the path of its joints.mat."""
    home = root / "lspet128"
    (home / "images").mkdir(parents=True, exist_ok=True)
    for index in range(3):
        Image.new("RGB", (128, 128)).save(home / "images" / f"im{index:05d}.jpg")
    savemat(home / "joints.mat", {name: v for name, v in {**CROPS, **changes}.items() if v is not None})
    return home / "joints.mat"


def refusal(read: Any, root: Path, split: str) -> str:
    """The message of a refusal, which is one line."""
    with pytest.raises(ValueError) as caught:
        read(root, split, SHAPE)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def refused(read: Any) -> str:
    """The message of a refusal; "nothing" where there is none."""
    try:
        read()
    except ValueError as error:
        return str(error)
    return "nothing"


def test_numbers_in_double_precision_are_read(tmp_path):
    crops(tmp_path)
    assert len(lspet128.lspet128(tmp_path, "train", SHAPE)) == 2


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"joints": None}, "expected joints of 14 x 3 .* there is no 'joints'"),
        ({"joints": "text"}, "expected joints of 14 x 3"),
        ({"joints": np.zeros((14, 3))}, "joints that are an array of shape"),
        ({"joints": np.zeros((14, 3, 0))}, "expected joints of 14 x 3"),
        ({"joints": JOINTS.astype(complex)}, "expected joints of 14 x 3 .* complex"),
        ({"joints": JOINTS.astype(object)}, "expected joints of 14 x 3 .* object"),
        ({"joints": {"x": 1.0}}, "expected joints of 14 x 3"),
        ({"joints": JOINTS * 2}, "the flag of person 1's right_ankle is 2; flags are 0 or 1"),
        ({"joints": np.where(JOINTS == 60, np.nan, JOINTS)}, r"an annotated joint of im00000\.jpg has no finite place"),
        ({"index": np.arange(2.0)}, "joints of 3 people, but 2 of 'index' and 3 of 'split'"),
        ({"index": np.array([0, 1.5, 2])}, "'index' is .*, not a row of whole numbers"),
        ({"index": np.array([0, 1, 1])}, "'index' names an image twice"),
        ({"index": np.array([-1, 1, 2])}, "'index' names an image twice, or by a negative number"),
        ({"index": np.array([0, 1, np.nan])}, "'index' is"),
        ({"index": "abc"}, "'index' is"),
        ({"split": np.array([0, 1, 2])}, "'split' has other values than 0 .train. and 1 .val."),
        ({"split": np.zeros((2, 2))}, "3 of 'index' and 4 of 'split'"),
        ({"split": None}, "'index' and 'split' are missing"),
    ],
)
def test_crops_with_wrong_variables_are_refused_with_the_file(tmp_path, changes, problem):
    path = crops(tmp_path, **changes)
    message = refusal(lspet128.lspet128, tmp_path, "train")
    assert message.startswith(f"{path}: ")
    with pytest.raises(ValueError, match=problem):
        lspet128.lspet128(tmp_path, "train", SHAPE)


def test_a_crop_of_another_size_is_refused(tmp_path):
    path = crops(tmp_path)
    Image.new("RGB", (128, 127)).save(path.parent / "images" / "im00002.jpg")
    with pytest.raises(
        ValueError, match=r"im00002\.jpg: it has 128 x 127 px, but its annotation in .* of 128 x 128 px"
    ):
        lspet128.lspet128(tmp_path, "train", SHAPE)


def test_leeds_sports_pose_has_two_thousand_people(tmp_path):
    (tmp_path / "lsp").mkdir()
    savemat(tmp_path / "lsp" / "joints.mat", {"joints": JOINTS})
    assert "the joints of 3 people, not of 2000" in refusal(lsp.lsp, tmp_path, "train")


@cache
def valid(compressed: bool = True) -> bytes:
    stream = io.BytesIO()
    savemat(stream, CROPS, do_compression=compressed)
    return stream.getvalue()


def hdf5() -> bytes:
    head = bytearray(valid()[:128])
    head[:19], head[124:126] = b"MATLAB 7.3 MAT-file", b"\x00\x02"
    return bytes(head) + b"\x89HDF\r\n\x1a\n" + b"\0" * 64


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 4,
        b"text",
        valid()[:60],
        valid()[:128],
        valid()[:150],
        valid()[:-40],
        valid(False)[:-40],
        hdf5(),
        b"\0" * 500,
        b"\xff" * 500,
    ],
    ids=[f"content{k}" for k in range(11)],
)
def test_a_file_that_is_cut_short_or_foreign_is_named(tmp_path, content):
    for name, read in (("lspet128", lspet128.lspet128), ("lsp", lsp.lsp), ("lspet", lspet.lspet)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "joints.mat").write_bytes(content)
        assert refusal(read, tmp_path, "train").startswith(f"{tmp_path / name / 'joints.mat'}: ")
    (tmp_path / "mpii").mkdir()
    (tmp_path / "mpii" / mpii.FILE).write_bytes(content)
    assert refusal(mpii.mpii, tmp_path, "train").startswith(f"{tmp_path / 'mpii' / mpii.FILE}: ")


def test_version_seven_point_three_says_what_would_work(tmp_path):
    (tmp_path / "x.mat").write_bytes(hdf5())
    with pytest.raises(
        ValueError, match=r"x\.mat: a Matlab file of version 7\.3 \(HDF5\) is not read: save it with '-v7'"
    ):
        variables(tmp_path / "x.mat")


def test_a_variable_that_inflates_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(bench.data.matfile, "MOST_BYTES", 4 << 20)
    packed = zlib.compress(b"\0" * (8 << 20))
    (tmp_path / "x.mat").write_bytes(valid()[:128] + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(ValueError, match=r"x\.mat: .*a variable takes more than 4 MiB"):
        variables(tmp_path / "x.mat")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.booleans(), st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 255)), max_size=6), st.integers(0, 1500))
def test_a_changed_file_is_read_or_refused_with_its_name(tmp_path, compressed, changes, cut):
    content = bytearray(valid(compressed))
    for place, value in changes:
        content[place % len(content)] = value
    path = crops(tmp_path)
    path.write_bytes(bytes(content[: len(content) - cut % 40]))
    assert refused(lambda: lspet128._contents(path)).startswith((f"{path}: ", "nothing"))


# -- MPII ------------------------------------------------------------------------------------------


def point(**changes: Any) -> Any:
    return matlab_struct(**{"id": 3.0, "x": 40.0, "y": 30.0, "is_visible": 1.0, **changes})


def rectangle(points: list[Any], **changes: Any) -> Any:
    corners = {"x1": 10.0, "y1": 10.0, "x2": 40.0, "y2": 50.0}
    usual = {
        **corners,
        "annopoints": matlab_struct(point=row(points)),
        "scale": 0.2,
        "objpos": matlab_struct(x=40.0, y=30.0),
    }
    return matlab_struct(**{name: value for name, value in {**usual, **changes}.items() if value is not None})


def annotation_file(root: Path, rect: Any, **changes: Any) -> Path:
    """A tree of MPII with one picture; the path of its annotation file."""
    home = root / "mpii"
    (home / "images").mkdir(parents=True)
    Image.new("RGB", (80, 60)).save(home / "images" / "0.jpg")
    usual = {"image": matlab_struct(name="0.jpg"), "annorect": row([rect]), "vididx": 11.0}
    entry = matlab_struct(**{name: value for name, value in {**usual, **changes}.items() if value is not None})
    savemat(
        home / mpii.FILE, {"RELEASE": matlab_struct(annolist=row([entry, entry]), img_train=np.array([[1.0, 0.0]]))}
    )
    return home / mpii.FILE


def test_a_whole_annotation_is_read(tmp_path):
    annotation_file(tmp_path, rectangle([point(), point(id=5.0, is_visible="0")]))
    examples = mpii.mpii(tmp_path, "train", SHAPE)
    assert examples.targets["visible"][0].tolist() == [0, 0, 0, 2, 0, 1, *[0] * 10]


@pytest.mark.parametrize(
    ("rect", "changes", "problem"),
    [
        (rectangle([point(id=16.0)]), {}, "'id' of a joint is 16; joints are 0 to 15"),
        (rectangle([point(id=-1.0)]), {}, "'id' of a joint is -1"),
        (rectangle([point(id=2.5)]), {}, "'id' of a joint is 2.5"),
        (rectangle([point(x=np.nan)]), {}, "'x' is nan, not one finite number"),
        (rectangle([point(x="left")]), {}, "'x' is 'left', not one finite number"),
        (rectangle([point(y=np.ones((1, 2)))]), {}, "'y' is an array of shape"),
        (rectangle([point(is_visible="yes")]), {}, "'is_visible' is 'yes', not 0 or 1"),
        (rectangle([point()], x1=None), {}, "there is no field 'x1'"),
        (rectangle([point()], scale=-1.0), {}, "'scale' is -1, not above 0"),
        (rectangle([point()], scale=np.inf), {}, "'scale' is inf"),
        (rectangle([point()], objpos=matlab_struct(x=1.0)), {}, "there is no field 'y'"),
        (rectangle([point()]), {"image": None}, "'image.name' is None, not the name of a file"),
        (rectangle([point()]), {"image": matlab_struct(name=7.0)}, "'image.name' is 7"),
        (rectangle([point()]), {"image": matlab_struct(name="../0.jpg")}, "'image.name' is '../0.jpg'"),
        (rectangle([point()]), {"vididx": None}, "image 0.jpg has no vididx"),
        (rectangle([point()]), {"vididx": "first"}, "'vididx' is 'first'"),
    ],
)
def test_a_wrong_annotation_of_mpii_is_refused_with_file_and_place(tmp_path, rect, changes, problem):
    path = annotation_file(tmp_path, rect, **changes)
    message = refusal(mpii.mpii, tmp_path, "train")
    assert message.startswith(f"{path}: RELEASE.annolist(1): ")
    assert problem in message


@pytest.mark.parametrize(
    "contents",
    [
        {"other": 1.0},
        {"RELEASE": 1.0},
        {"RELEASE": matlab_struct(annolist=1.0)},
        {"RELEASE": matlab_struct(annolist=np.zeros((1, 3)), img_train=np.zeros((1, 2)))},
        {"RELEASE": matlab_struct(annolist=np.zeros((2, 3)), img_train=np.zeros((2, 3)))},
    ],
)
def test_another_matlab_file_is_no_annotation_file_of_mpii(tmp_path, contents):
    (tmp_path / "mpii").mkdir()
    savemat(tmp_path / "mpii" / mpii.FILE, contents)
    assert refusal(mpii.mpii, tmp_path, "train").startswith(f"{tmp_path / 'mpii' / mpii.FILE}: ")


def test_single_numbers_and_rows_of_whole_ones():
    assert number(np.array([[3]]), "n") == 3.0
    assert whole_numbers(np.array([[1.0, 2.0]]), "n").tolist() == [1, 2]
    for wrong in ("a", np.nan, [1, 2], None):
        with pytest.raises(ValueError, match=r"'n' is .*, not one finite number"):
            number(wrong, "n")


def test_random_changes_of_an_annotation_file_of_mpii_are_read_or_refused_with_its_name(tmp_path):
    """scipy alone ends the process on some of these."""
    path = annotation_file(tmp_path, rectangle([point(), point(id=5.0)]))
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(whole)
        for place in rng.integers(0, len(whole), rng.integers(1, 6)):
            changed[place] = rng.integers(0, 256)
        path.write_bytes(bytes(changed))
        mpii._parsed.cache_clear()
        message = refused(lambda: mpii._annotations(path))
        assert message.startswith((f"{path}: ", "nothing"))
        assert len(message.splitlines()) == 1


@pytest.mark.parametrize("place", [1e7, -1e7, 1e39, 1e308, np.inf])
def test_a_place_beyond_any_photograph_is_refused_with_file_and_image(tmp_path, place):
    path = crops(tmp_path, joints=np.where(JOINTS == 60, place, JOINTS))
    message = refusal(lspet128.lspet128, tmp_path, "train")
    problem = "no finite place" if np.isinf(place) else "a place beyond 1,000,000 px"
    assert message == f"{path}: an annotated joint of im00000.jpg has {problem}"


def test_so_is_one_of_mpii(tmp_path):
    path = annotation_file(tmp_path, rectangle([point(x=1e39)]))
    message = refusal(mpii.mpii, tmp_path, "train")
    assert message == f"{path}: RELEASE.annolist(1): an annotated joint has a place beyond 1,000,000 px"


def test_a_person_of_mpii_outside_the_image_is_left_out_and_counted(tmp_path):
    annotation_file(tmp_path, rectangle([point()], objpos=matlab_struct(x=9000.0, y=30.0)))
    message = refusal(mpii.mpii, tmp_path, "train")
    assert message.endswith(
        "nobody in this split has an annotated joint; left out: 1 (people whose box is outside the image)"
    )


def test_all_variables_together_have_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(bench.data.matfile, "MOST_BYTES", 4 << 20)
    savemat(tmp_path / "x.mat", {"a": np.zeros(300_000), "b": np.zeros(300_000)}, do_compression=True)
    message = refused(lambda: variables(tmp_path / "x.mat"))
    assert "a variable takes more than 4 MiB, or all of them together do" in message
    savemat(tmp_path / "x.mat", {"a": np.zeros(300_000)}, do_compression=True)
    assert variables(tmp_path / "x.mat")["a"].shape == (1, 300_000)


def test_a_variable_that_is_there_twice_is_refused(tmp_path):
    content = valid()
    (tmp_path / "x.mat").write_bytes(content + content[128:])
    assert (
        refused(lambda: variables(tmp_path / "x.mat")) == f"{tmp_path}/x.mat: it has a variable twice: fetch it again"
    )


def test_a_matlab_file_beyond_the_limit_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "x.mat").open("wb") as file:
        file.truncate(5 << 30)
    message = refused(lambda: variables(tmp_path / "x.mat"))
    assert message == f"{tmp_path}/x.mat: it has 5,368,709,120 bytes; at most 1,073,741,824 are read"
