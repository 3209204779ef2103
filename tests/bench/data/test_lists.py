"""Lists of files in encodings and with names that occur in practice."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.data.camvid import camvid, files
from bench.data.examples import DataNotFound
from bench.data.lists import inside, read_lines, resolve
from bench.data.voc import voc

SHAPE = (3, 10, 48)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_list_in_any_encoding_that_says_so_is_read(tmp_path, write_camvid, encoding, end):
    write_camvid(tmp_path)
    expected = files(tmp_path, "train")
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    text = (tmp_path / "train.txt").read_text().replace("\n", end)
    (tmp_path / "train.txt").write_bytes((mark + text).encode(encoding))
    assert files(tmp_path, "train") == expected


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_so_are_the_lists_of_voc(tmp_path, write_voc, encoding):
    home = write_voc(tmp_path)
    (home / "ImageSets" / "Segmentation" / "val.txt").write_bytes("a\r\nb\r\n".encode(encoding))
    assert len(voc(tmp_path, "val", SHAPE)) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a b\nc d\xe9\n", r"train\.txt:2: not text in UTF-8"),
        ("a b\nc d\n".encode("utf-16-le"), r"train\.txt:1: holds NUL characters"),
        (b"\xff\xfea\x00 \x00b", r"train\.txt:1: not text in UTF-16"),
    ],
)
def test_bytes_that_are_no_text_are_named_by_line(tmp_path, content, message):
    (tmp_path / "train.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_lines(tmp_path / "train.txt")


def renamed(folder: Path, old: str, new: str) -> None:
    """Another name for an image of the tree, for its labels, and in the list."""
    for part in ("train", "trainannot"):
        (folder / part / f"{old}.png").rename(folder / part / f"{new}.png")
    path = folder / "train.txt"
    path.write_text(path.read_text().replace(f"/{old}.png", f"/{new}.png"), encoding="utf-8")


@pytest.mark.parametrize("name", ["my image", "a  b", "straße 1", "tab\there"])
def test_names_with_spaces_are_read(tmp_path, write_camvid, name):
    write_camvid(tmp_path)
    expected = camvid(tmp_path, "train", SHAPE)
    renamed(tmp_path, "1", name)
    assert (camvid(tmp_path, "train", SHAPE).images == expected.images).all()


def test_a_name_with_spaces_that_is_missing_is_refused_by_line(tmp_path, write_camvid):
    write_camvid(tmp_path)
    renamed(tmp_path, "1", "my image")
    (tmp_path / "trainannot" / "my image.png").unlink()
    with pytest.raises(ValueError, match=r"train\.txt:2: expected an image and its annotation.*my image\.png"):
        files(tmp_path, "train")


def test_a_name_of_voc_may_hold_spaces_and_a_missing_one_is_named_by_line(tmp_path, write_voc):
    home = write_voc(tmp_path)
    for part, ending in (("JPEGImages", "jpg"), ("SegmentationClass", "png")):
        (home / part / f"b.{ending}").rename(home / part / f"b 2.{ending}")
    listed = home / "ImageSets" / "Segmentation" / "val.txt"
    listed.write_text("a\nb 2\n")
    assert len(voc(tmp_path, "val", SHAPE)) == 2
    listed.write_text("a\n\nb 3\n")
    with pytest.raises(DataNotFound, match=r"line 3 of val\.txt.*b 3\.jpg"):
        voc(tmp_path, "val", SHAPE)
    listed.write_text("a\n../../a\n")
    with pytest.raises(ValueError, match=r"val\.txt:2: expected the name of an image"):
        voc(tmp_path, "val", SHAPE)


def test_an_annotation_with_the_name_of_another_image_is_refused_by_line(tmp_path, write_camvid):
    write_camvid(tmp_path)
    (tmp_path / "train.txt").write_text(
        "train/0.png trainannot/0.png\ntrain/1.png trainannot/2.png\ntrain/2.png trainannot/1.png\n"
    )
    with pytest.raises(ValueError, match=r"train\.txt:2: the annotation has the name of another image"):
        camvid(tmp_path, "train", SHAPE)


def test_an_annotation_with_a_name_of_its_own_is_read(tmp_path, write_camvid):
    write_camvid(tmp_path)
    (tmp_path / "trainannot" / "1.png").rename(tmp_path / "trainannot" / "1_L.png")
    (tmp_path / "train.txt").write_text("train/1.png trainannot/1_L.png\n")
    assert len(camvid(tmp_path, "train", SHAPE)) == 1


def test_a_missing_file_is_named_with_its_line(tmp_path, write_camvid):
    write_camvid(tmp_path)
    (tmp_path / "trainannot" / "2.png").unlink()
    with pytest.raises(DataNotFound, match=r"line 3 of train\.txt.*trainannot/2\.png"):
        files(tmp_path, "train")


def test_a_list_names_no_file_outside_its_folder(tmp_path, write_camvid):
    write_camvid(tmp_path / "data")
    (tmp_path / "data" / "train.txt").write_text("train/0.png ../secret.png\n")
    with pytest.raises(ValueError, match=r"train\.txt:1: expected"):
        files(tmp_path / "data", "train")


@pytest.mark.parametrize("name", ["a.jpg", "b/c.jpg", "my image.jpg", "...jpg"])
def test_a_name_below_a_folder(name):
    assert inside(Path("data"), name) == Path("data") / name


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../a.jpg", "a/../../b", "..\\a", "a\0b", 7, None])
def test_a_name_that_leaves_its_folder(name):
    assert inside(Path("data"), name) is None


@pytest.mark.parametrize("written", ["a/b.png", "/far/away/a/b.png", "D:\\x\\a\\b.png"])
def test_listed_paths_are_resolved_by_their_last_two_parts(written):
    assert resolve(Path("data"), written) == Path("data/a/b.png")
