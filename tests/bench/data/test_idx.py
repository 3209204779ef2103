"""MNIST and Fashion-MNIST from small IDX files; Fashion-MNIST itself where it is installed."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data import fashion_mnist as fashion
from bench.data.examples import DataNotFound
from bench.data.fingerprint import fingerprint
from bench.data.idx import padded, read_idx
from bench.data.levels import quantised, stretched
from bench.data.mnist import mnist
from bench.registry import LIVE
from bench.tasks.generation import Generation

SHAPE = (1, 28, 28)


def idx(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, dtype=">u4").tobytes() + array.tobytes()


@pytest.fixture
def digits(tmp_path):
    """Six images and labels in each split, plain in one and gzipped in the other; (folder, images)."""
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    home = tmp_path / "MNIST" / "raw"
    home.mkdir(parents=True)
    labels = np.arange(6, dtype=np.uint8)
    (home / "train-images-idx3-ubyte").write_bytes(idx(images))
    (home / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    (home / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images[::-1].copy())))
    (home / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels[::-1].copy())))
    return tmp_path, images


def test_reads_plain_and_gzipped_files(digits):
    root, images = digits
    train, test = (mnist(root, split, SHAPE, levels=256) for split in ("train", "test"))
    assert (train.images[:, 0].numpy() == images).all()
    assert (test.images[:, 0].numpy() == images[::-1]).all()
    assert test.targets["labels"].tolist() == [5, 4, 3, 2, 1, 0]
    assert not train.publishable


def test_levels_are_equal_bins_and_stretched_to_bytes(digits):
    root, images = digits
    for levels in (2, 8, 255):
        examples = mnist(root, "train", SHAPE, levels=levels)
        pixels = examples.targets["pixels"].numpy()[:, 0]
        assert (pixels == np.floor(images / 256 * levels)).all()
        assert (examples.images[:, 0].numpy() == np.round(pixels / (levels - 1) * 255)).all()
    assert ((mnist(root, "train", SHAPE).targets["pixels"][:, 0].numpy() == 1) == (images >= 128)).all()


def test_every_level_is_stretched_to_a_byte_of_its_own():
    for levels in (2, 3, 100, 256):
        every = np.arange(levels, dtype=np.uint8)
        assert len(set(stretched(every, levels))) == levels
        assert (quantised(stretched(every, 2), 2) == every).all() if levels == 2 else True


def test_dynamic_binarisation_draws_from_the_grey_levels(digits):
    root, images = digits
    train, test = (mnist(root, split, SHAPE, binarisation="dynamic") for split in ("train", "test"))
    assert (train.targets["intensity"][:, 0].numpy() == images).all()
    assert "intensity" not in test.targets
    assert set(np.unique(test.targets["pixels"].numpy())) == {0, 1}
    again = mnist(root, "test", SHAPE, binarisation="dynamic")
    assert torch.equal(again.images, test.images)
    draws = torch.Generator().manual_seed(0)
    mean = sum(Generation.augment(train.images, train.targets, draws)[1]["pixels"] for _ in range(200)) / 200
    assert (mean[:, 0].numpy() - images / 255).mean() == pytest.approx(0, abs=0.01)
    with pytest.raises(ValueError, match="2 levels, not 4"):
        mnist(root, "test", SHAPE, binarisation="dynamic", levels=4)


def test_larger_images_are_padded_and_others_refused():
    image = np.full((1, 28, 28), 7, dtype=np.uint8)
    large = padded(image, (1, 32, 33))
    assert large.shape == (1, 1, 32, 33)
    assert (large[0, 0, 2:30, 2:30] == 7).all()
    assert large.sum() == 7 * 28 * 28
    for shape in ((1, 27, 28), (3, 28, 28)):
        with pytest.raises(ValueError, match=r"\[1, 28, 28\]"):
            padded(image, shape)


def numbered():
    """Short names for the contents of files."""
    numbers = itertools.count(1)
    return lambda content: f"content{next(numbers)}"


WHOLE = idx(np.zeros((2, 28, 28), dtype=np.uint8))


@pytest.mark.parametrize(
    "content",
    [
        WHOLE[:-1],
        WHOLE + b"\0",
        WHOLE[:10],
        WHOLE[:3],
        b"",
        b"\0\0\x0d\x03" + WHOLE[4:],
        b"\0\0\x08\x00",
        b"\0\0\x08\xff" * 9,
    ],
    ids=numbered(),
)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_file_of_another_length_or_kind_is_refused(tmp_path, content, ending):
    path = tmp_path / f"x{ending}"
    path.write_bytes(gzip.compress(content) if ending else content)
    with pytest.raises(ValueError, match=rf"x{ending}: no IDX file of bytes, or cut short"):
        read_idx(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"plain text", gzip.compress(WHOLE)[:-9], gzip.compress(WHOLE)[:20], gzip.compress(WHOLE)[:-6] + b"\0" * 6],
    ids=numbered(),
)
def test_a_broken_gzip_file_is_named(tmp_path, content):
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.gz: no IDX file of bytes, or cut short"):
        read_idx(tmp_path / "x.gz")


def peak_of_reading(path: Path) -> int:
    """Bytes that a refusal to read the file takes at most."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=f"{path.name}: "):
            read_idx(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_gzip_file_is_not_inflated_beyond_what_its_header_states(tmp_path):
    for number, header in enumerate((idx(np.zeros((1, 28, 28), np.uint8)), b"\0\0\x08\x03" + b"\xff" * 12)):
        path = tmp_path / f"bomb{number}.gz"
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.write(header)
            for _ in range(64):
                file.write(b"\0" * (1 << 20))
        assert peak_of_reading(path) < 4 << 20


def test_images_and_labels_that_do_not_belong_together_are_refused_with_their_file(digits):
    root, _ = digits
    labels, images = (root / "MNIST" / "raw" / f"train-{part}-ubyte" for part in ("labels-idx1", "images-idx3"))
    for wrong, problem in (
        (np.arange(5), "for the 6 images of"),
        (np.arange(6) + 5, "10 is no label"),
        (np.zeros((6, 2)), "labels of shape"),
    ):
        labels.write_bytes(idx(wrong.astype(np.uint8)))
        with pytest.raises(ValueError, match=f"train-labels-idx1-ubyte: .*{problem}"):
            mnist(root, "train", SHAPE)
    images.write_bytes(idx(np.zeros((6, 30, 28), np.uint8)))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte: an array of shape \(6, 30, 28\)"):
        mnist(root, "train", SHAPE)


def test_what_is_missing_is_said_with_licence_and_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion, "DEBIAN", tmp_path / "debian")
    with pytest.raises(DataNotFound, match=r"(?s)debian.*licence: MIT.*dataset-fashion-mnist"):
        fashion.fashion_mnist(None, "train", SHAPE)
    with pytest.raises(DataNotFound, match="fashion_mnist"):
        fashion.files(tmp_path, "test")
    with pytest.raises(DataNotFound, match="no data folder given"):
        mnist(None, "train", SHAPE)
    with pytest.raises(ValueError, match="train and test, not 'val'"):
        mnist(tmp_path, "val", SHAPE)


def test_a_folder_of_ones_own_goes_before_the_package(tmp_path, monkeypatch):
    for name in ("own/fashion_mnist", "debian"):
        home = tmp_path / name
        home.mkdir(parents=True)
        for part, axes in (("images-idx3", (1, 28, 28)), ("labels-idx1", (1,))):
            (home / f"t10k-{part}-ubyte").write_bytes(idx(np.zeros(axes, dtype=np.uint8)))
    monkeypatch.setattr(fashion, "DEBIAN", tmp_path / "debian")
    assert fashion.files(tmp_path / "own", "test").folder == tmp_path / "own" / "fashion_mnist"
    assert fashion.files(tmp_path / "elsewhere", "test").folder == tmp_path / "debian"


def test_how_pixels_are_made_is_in_the_key(digits):
    root, _ = digits
    entry, ways = LIVE.datasets.get("mnist"), [{"levels": 2}, {"levels": 3}, {"binarisation": "dynamic"}]
    assert len({fingerprint(entry, root, "test", SHAPE, axes) for axes in ways}) == 3


@pytest.mark.skipif(not Path(fashion.DEBIAN).is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_package_of_debian_holds_the_test_set():
    examples = fashion.fashion_mnist(None, "test", SHAPE)
    assert examples.images.shape == (10000, 1, 28, 28)
    assert np.bincount(examples.targets["labels"]).tolist() == [1000] * 10


def test_pictures_of_fashion_mnist_may_be_shown(digits):
    """Its licence is MIT."""
    root, _ = digits
    (root / "MNIST").rename(root / "FashionMNIST")
    assert fashion.fashion_mnist(root, "train", SHAPE, levels=256).publishable
