"""The dataset `folder`: what is read, how it is split, and forty mistakes, each an error that names file and fix."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.examples import IGNORE, DataNotFound
from bench.data.fingerprint import fingerprint
from bench.data.folder import files, folder
from bench.registry import LIVE, RegistryError

SHAPE = (3, 8, 12)
COLOURS = ((0, 0, 0), (128, 64, 128), (0, 128, 192))
PALETTE = ("#000000", "#804080", "0080C0")


def mask(number: int = 0) -> np.ndarray:
    """Labels (8, 12): 0, a column of 1, a row of 2, one void pixel."""
    labels = np.zeros((8, 12), np.uint8)
    labels[:, number % 12], labels[5], labels[0, 0] = 1, 2, IGNORE
    return labels


def own(home: Path, count: int = 5, *, lists: bool = True) -> Path:
    """A folder with images 0.png, 1.png, ..., image k of the grey level 10 k, and their masks."""
    for part in ("images", "masks"):
        (home / part).mkdir(parents=True)
    for k in range(count):
        Image.new("RGB", (12, 8), (10 * k,) * 3).save(home / "images" / f"{k}.png")
        Image.fromarray(mask(k)).save(home / "masks" / f"{k}.png")
    if lists:
        (home / "train.txt").write_text("0\n1.png\nimages/2.png\n")
        (home / "val.txt").write_text("3\n4\n")
    return home


def both(root: Path, **options) -> list:
    return [folder(root, split, SHAPE, **options) for split in ("train", "val")]


def level(examples) -> list[int]:
    return examples.images[:, 0, 4, 4].tolist()


def test_lists_images_and_masks_are_read(tmp_path):
    own(tmp_path / "mine")
    train, val = (folder(tmp_path, split, SHAPE, path="mine", classes=3) for split in ("train", "val"))
    assert (level(train), level(val)) == ([0, 10, 20], [30, 40])
    assert torch.equal(val.targets["labels"][0], torch.from_numpy(mask(3)))
    assert (train.names, train.ignore, train.publishable) == (("class 0", "class 1", "class 2"), IGNORE, False)
    assert len(set(train.palette)) == 3
    named = folder(tmp_path, "val", SHAPE, path="mine", classes=3, names=("a", "b", "c"), publish=True)
    assert (named.names, named.publishable) == (("a", "b", "c"), True)


def test_a_path_is_absolute_or_below_the_data_folder_or_the_current_one(tmp_path, monkeypatch):
    own(tmp_path / "project" / "mine")
    for root, path in ((None, str(tmp_path / "project" / "mine")), (tmp_path, "project/mine")):
        assert len(folder(root, "val", SHAPE, path=path, classes=3)) == 2
    monkeypatch.chdir(tmp_path / "project")
    for root in (None, tmp_path / "elsewhere"):
        assert len(folder(root, "val", SHAPE, path="mine", classes=3)) == 2


def test_a_fraction_splits_by_seed_and_name_without_overlap(tmp_path):
    own(tmp_path / "mine", 10, lists=False)

    def split(seed: int) -> dict[str, list[str]]:
        options = {"path": "mine", "val_fraction": 0.3, "split_seed": seed}
        return {s: [p.name for p in files(tmp_path, s, **options).images] for s in ("train", "val")}

    first = split(0)
    assert (len(first["train"]), len(first["val"])) == (7, 3)
    assert {*first["train"], *first["val"]} == {f"{k}.png" for k in range(10)}
    assert first == split(0)
    assert len({tuple(split(seed)["val"]) for seed in range(5)}) > 1


def test_masks_of_colours_of_other_first_values_and_with_a_suffix(tmp_path):
    own(tmp_path / "mine")
    expected = torch.from_numpy(np.stack([mask(3), mask(4)]))
    for path in (tmp_path / "mine" / "masks").iterdir():
        labels = np.asarray(Image.open(path))
        table = np.full((256, 3), 255, np.uint8)
        table[:3] = COLOURS
        (tmp_path / "mine" / "coloured").mkdir(exist_ok=True)
        (tmp_path / "mine" / "shifted").mkdir(exist_ok=True)
        Image.fromarray(table[labels]).save(tmp_path / "mine" / "coloured" / f"{path.stem}_mask.png")
        Image.fromarray(np.where(labels == IGNORE, 0, labels + 1).astype(np.uint8)).save(
            tmp_path / "mine" / "shifted" / path.name
        )
    options = {"path": "mine", "classes": 3}
    colours = {"masks": "coloured", "mask_suffix": "_mask", "palette": PALETTE, "void_palette": ("#ffffff",)}
    coloured = folder(tmp_path, "val", SHAPE, **options, **colours)
    assert torch.equal(coloured.targets["labels"], expected)
    assert coloured.palette == COLOURS
    shifted = folder(tmp_path, "val", SHAPE, **options, masks="shifted", first=1, void=(0,))
    assert torch.equal(shifted.targets["labels"], expected)


def test_images_in_folders_below_and_of_other_formats(tmp_path):
    home = own(tmp_path / "mine", 2, lists=False)
    (home / "images" / "town").mkdir()
    (home / "masks" / "town").mkdir()
    Image.fromarray(np.full((8, 12), 200 << 8, np.uint16)).save(home / "images" / "town" / "x.PNG")
    Image.fromarray(mask()).save(home / "masks" / "town" / "x.bmp")
    (home / "images" / ".hidden.png").write_bytes(b"")
    (home / "images" / "Thumbs.db").write_bytes(b"?")
    (home / "train.txt").write_text("0\ntown/x.PNG\n")
    (home / "val.txt").write_text("1\n")
    assert level(folder(tmp_path, "train", SHAPE, path="mine", classes=3)) == [0, 200]


def test_a_photograph_that_exif_turns_fits_its_mask_one_way(tmp_path):
    home = own(tmp_path / "mine", 2, lists=False)
    (home / "train.txt").write_text("0\n")
    (home / "val.txt").write_text("1\n")
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((12, 8, 3), np.uint8)
    pixels[:6] = 200
    Image.fromarray(pixels).save(home / "images" / "1.png", exif=exif)  # upright: 12 x 8, the right half light
    upright = folder(tmp_path, "val", SHAPE, path="mine", classes=3)
    assert upright.images[0, 0, 4].tolist() == [0] * 6 + [200] * 6
    Image.fromarray(np.zeros((12, 8), np.uint8)).save(home / "masks" / "1.png")  # drawn on the stored pixels
    stored = folder(tmp_path, "val", (3, 12, 8), path="mine", classes=3)
    assert stored.images[0, 0, :, 4].tolist() == [200] * 6 + [0] * 6


def test_the_fingerprint_follows_content_and_options_and_not_the_place(tmp_path):
    own(tmp_path / "a" / "mine")
    own(tmp_path / "b" / "mine")
    entry, values = LIVE.datasets.get("folder"), {"path": "mine", "classes": 3}

    def print_of(root: str, **more: object) -> str:
        return fingerprint(entry, tmp_path / root, "val", SHAPE, entry.resolve({**values, **more}))

    first = print_of("a")
    assert first == print_of("b") != print_of("a", void=[254])
    for name in ("images/3.png", "masks/3.png", "val.txt"):
        path = tmp_path / "a" / "mine" / name
        before = path.read_bytes()
        if name == "val.txt":
            path.write_text("3\n")
        else:
            Image.new("RGB" if "images" in name else "L", (12, 8), 1).save(path)
        assert print_of("a") != first, name
        path.write_bytes(before)
        assert print_of("a") == first


def saved(array: np.ndarray, **how) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, **{"format": "PNG", **how})
    return file.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 3
    return saved(np.zeros((8, 12, 3), np.uint8), exif=exif)


WITHOUT_LISTS = {"train.txt": None, "val.txt": None}
FRACTION = {"val_fraction": 0.4}
FILES = {  # what is written (None: deleted), the options, the file of the error, what it says
    "a mask with a label beyond the classes": ({}, {"classes": 2}, "masks/0.png", "holds 2, which is neither a class"),
    "several labels beyond": ({"masks/3.png": saved(mask() + 9)}, {}, "masks/3.png", r"holds 8, 9, 10, 11, which is"),
    "void that is not stated": ({}, {"void": ()}, "masks/0.png", r"holds 255, which .* \(classes: 3 .* 0 to 2, void: "),
    "another size": ({"masks/3.png": saved(mask()[:4])}, {}, "masks/3.png", r"it has 12 x 4 px, but its image .*12 x 8"),
    "a turned image": ({"images/3.png": turned()}, {}, "images/3.png", "EXIF .* save it upright"),
    "a colour mask without palette": (
        {"masks/3.png": saved(np.zeros((8, 12, 3), np.uint8))}, {}, "masks/3.png", "it holds colours: .*palette: \\['#",
    ),
    "an unknown colour": (
        {"masks/0.png": saved(np.full((8, 12, 3), 7, np.uint8))},
        {"palette": PALETTE}, "masks/0.png", "holds #070707, which is no colour of palette or void_palette",
    ),
    "a lossy mask": (
        {"masks/3.png": saved(mask(), format="JPEG")}, {}, "masks/3.png", "format JPEG are not exact: use PNG or BMP",
    ),
    "a mask of 16 bits": (
        {"masks/3.png": saved(mask().astype(np.uint16))}, {}, "masks/3.png", "one 8-bit channel, not of mode I;16",
    ),
    "a broken image": ({"images/3.png": b"<html>"}, {}, "images/3.png", "cannot be read as an image, it is none of"),
    "an empty image": ({"images/3.png": b""}, {}, "images/3.png", "it is empty: fetch it again"),
    "a broken mask": ({"masks/3.png": saved(mask())[:60]}, {}, "masks/3.png", "damaged or unusual"),
    "a transparent image": (
        {"images/3.png": saved(np.zeros((8, 12, 4), np.uint8))}, {}, "images/3.png", "transparent pixels",
    ),
    "an image without mask": ({"masks/3.png": None}, {}, "images/3.png", "it has no mask .*masks/3.png: add it"),
    "an image without mask, by fraction": (
        {**WITHOUT_LISTS, "masks/3.png": None}, FRACTION, "images/3.png", "it has no mask",
    ),
    "a mask without image": (
        {**WITHOUT_LISTS, "images/3.png": None}, FRACTION, "masks/3.png", "there is no image of this name in .*images",
    ),
    "two masks of one name": (
        {"masks/3.bmp": saved(mask(), format="BMP")}, {}, "masks/3.png", "3.bmp has the same name with another ending",
    ),
    "two images of one name": (
        {"images/3.bmp": saved(mask(), format="BMP")}, {}, "val.txt:1", "3.bmp and 3.png may be meant: write the end",
    ),
    "a listed image that is not there": ({"images/3.png": None}, {}, "val.txt:1", "there is no such image in .*: '3'"),
    "a path out of the folder": ({"val.txt": b"../x.png"}, {}, "val.txt:1", "expected the name of an image in"),
    "two columns": ({"val.txt": b"3.png 3.png"}, {}, "val.txt:1", "there is no such image in .*: '3.png 3.png'"),
    "an empty list": ({"val.txt": b"\n"}, {}, "val.txt", "the list is empty: write the name of an image"),
    "an image listed twice": ({"val.txt": b"3\n4\n3.png"}, {}, "val.txt:3", "line 1 lists this image too"),
    "an image in both lists": ({"val.txt": b"3\n0"}, {}, "val.txt:2", "train.txt:1 lists this image too, so that val"),
    "a list in another encoding": ({"val.txt": b"\xff3"}, {}, "val.txt:1", "save the list as UTF-8"),
    "one list": ({"val.txt": None}, {}, "val.txt", "there is no such list, but there is train.txt: write both"),
    "neither lists nor fraction": (WITHOUT_LISTS, {}, "", "no train.txt and val.txt: .* or state val_fraction: 0.2"),
    "lists and fraction": ({}, FRACTION, "train.txt", "by lists and by val_fraction: leave one of them out"),
    "a fraction that leaves nothing": (WITHOUT_LISTS, {"val_fraction": 0.05}, "images", "of 5 images leaves 5 for train"),
    "another name of the images": ({}, {"images": "pictures"}, "pictures", "there is no such folder"),
    "another name of the masks": ({}, {"masks": "labels"}, "labels", "there is no such folder"),
    "a suffix that no mask has": ({}, {"mask_suffix": "_m"}, "images/0.png", "it has no mask .*masks/0_m.png"),
    "no images": ({f"images/{k}.png": None for k in range(5)}, {}, "images", r"no images \(files that end with .png"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_mistake_in_the_files_names_the_file_and_the_fix(name, tmp_path):
    written, options, place, text = FILES[name]
    home = own(tmp_path / "mine")
    for path, content in written.items():
        (home / path).unlink() if content is None else (home / path).write_bytes(content)
    with pytest.raises(ValueError, match=text) as error:
        both(tmp_path, **{"path": "mine", "classes": 3, **options})
    assert str(error.value).startswith(f"{home / place}: ".replace("/: ", ": "))
    assert "\n" not in str(error.value)


OPTIONS = {
    "other names than classes": ({"names": ("a", "b")}, "names lists 2 classes, but classes is 3: state classes: 2"),
    "a name twice": ({"names": ("a", "b", "a")}, "names lists 'a' twice"),
    "other colours than classes": ({"palette": PALETTE[:2]}, "palette lists 2 colours, but classes is 3"),
    "no colour": ({"palette": ("red", *PALETTE[1:])}, "palette: 'red' is no colour: write it as '#804080'"),
    "a colour twice": ({"palette": (*PALETTE[:2], "#804080")}, "palette lists #804080, which is listed before"),
    "void that is a class": ({"void": (1,)}, "void lists 1, which is a class too .classes: 3 are the values 0 to 2"),
    "void beyond a byte": ({"void": (256,)}, "void lists 256; a mask has the values 0 to 255"),
    "classes beyond a byte": ({"first": 254}, "3 classes from the value 254 on need values up to 256"),
    "void colours alone": ({"void_palette": ("#ffffff",)}, "void_palette is stated without palette"),
    "no path": ({"path": " "}, "path is empty: state your folder"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_mistake_in_the_options_is_said_before_anything_is_read(name, tmp_path):
    options, text = OPTIONS[name]
    own(tmp_path / "mine")
    for call in (files, lambda *arguments, **axes: folder(*arguments, SHAPE, **axes)):
        with pytest.raises(ValueError, match=text):
            call(tmp_path, "val", **{"path": "mine", "classes": 3, **options})


def test_a_wrong_path_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataNotFound, match=f"looked for {tmp_path}/data/mime and {tmp_path}/mime\n.*train.txt"):
        files(tmp_path / "data", "val", path="mime")
    with pytest.raises(DataNotFound, match=f"no folder 'mime' in {tmp_path}.*no data folder given"):
        files(None, "val", path="mime")
    (tmp_path / "mime").write_text("")
    with pytest.raises(ValueError, match=f"{tmp_path}/mime: it is a file; path names the folder"):
        files(None, "val", path="mime")
    with pytest.raises(DataNotFound, match="not found, looked for"):
        files(None, "val", path="/" + 300 * "x")


@pytest.mark.parametrize("value", [{"classes": 1}, {"classes": "3"}, {"val_fraction": 2}, {"void": 255}, {"pth": "x"}])
def test_values_that_an_option_does_not_take_are_refused(value):
    with pytest.raises(RegistryError, match=next(iter(value))):
        LIVE.datasets.get("folder").resolve(value)
