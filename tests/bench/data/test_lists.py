"""Lists of files in encodings and with names that occur in practice."""

from __future__ import annotations

import os
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


@pytest.mark.parametrize(
    "again", ["train/0.png trainannot/0.png", "train/0.png trainannot/2.png", " train/0.png\ttrainannot/0.png "]
)
def test_an_image_that_is_listed_twice_is_refused_by_line(tmp_path, write_camvid, again):
    write_camvid(tmp_path, line="{split}/{name}.png {split}annot/{name}.png")
    (tmp_path / "train.txt").write_text(f"train/0.png trainannot/0.png\n\n{again}\n")
    with pytest.raises(ValueError, match=r"train\.txt:3: line 1 lists this image too: 'train/0\.png\s"):
        files(tmp_path, "train")


def test_so_is_an_image_of_voc(tmp_path, write_voc):
    home = write_voc(tmp_path)
    (home / "ImageSets" / "Segmentation" / "val.txt").write_text("a\nb\na\n")
    with pytest.raises(ValueError, match=r"val\.txt:3: line 1 lists this image too: 'a'"):
        voc(tmp_path, "val", SHAPE)


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_only_line_feeds_and_carriage_returns_end_a_line(tmp_path, end):
    (tmp_path / "a.txt").write_bytes(f"a{end}b\r\nc\rd\n".encode())
    lines = read_lines(tmp_path / "a.txt")
    assert [(line.number, line.text) for line in lines] == [(1, f"a{end}b"), (2, "c"), (3, "d")]


def test_a_list_beyond_the_limit_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(5 << 30)
    with pytest.raises(ValueError, match=r"a\.txt: it has 5,368,709,120 bytes; at most 67,108,864 are read"):
        read_lines(tmp_path / "a.txt")


def test_a_long_line_is_quoted_in_part(tmp_path):
    (tmp_path / "train.txt").write_text("a " * 3000)
    with pytest.raises(ValueError, match=r"train\.txt:1: expected an image .*: '(a )+\.\.\.'$") as caught:
        files(tmp_path, "train")
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize("length", [300, 5000])
def test_a_name_longer_than_a_file_system_allows_is_no_file(tmp_path, write_camvid, length):
    write_camvid(tmp_path)
    (tmp_path / "train.txt").write_text(f"train/{'a' * length}.png trainannot/0.png\n")
    with pytest.raises(DataNotFound, match=r"line 1 of train\.txt\): not found, looked for .*train/aaa") as caught:
        files(tmp_path, "train")
    assert len(str(caught.value)) < 1200


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (_folder, "it is a folder"),
        (_pipe, "it is no regular file"),
        (_device, "it is no regular file"),
        (_loop, "it is a link to nothing"),
    ],
)
@pytest.mark.parametrize("name", ["train.txt", "train/1.png", "trainannot/2.png"])
def test_what_is_no_file_is_not_opened_and_said(tmp_path, write_camvid, name, make, what):
    """Reading a pipe would wait for ever, and a device has no end."""
    write_camvid(tmp_path)
    (tmp_path / name).unlink()
    make(tmp_path / name)
    with pytest.raises(DataNotFound, match=rf"looked for .*{name} \({what}\)"):
        files(tmp_path, "train")
