"""Datasets in torchvision's layout: what its own loader reads, missing files, files that it refuses."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data import oxford_pets as pets
from bench.data.examples import IGNORE, DataNotFound
from bench.data.torchvision_images import LAYOUTS, files, torchvision_images

torchvision = pytest.importorskip("torchvision.datasets")


def idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = bytes([0, 0, 8, array.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def kmnist(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28))
    for split in ("train", "t10k"):
        idx(tmp_path / "KMNIST" / "raw" / f"{split}-images-idx3-ubyte", images)
        idx(tmp_path / "KMNIST" / "raw" / f"{split}-labels-idx1-ubyte", np.arange(6))
    return tmp_path


def test_images_are_those_of_torchvisions_loader(kmnist):
    expected = torchvision.KMNIST(str(kmnist), train=False)
    loaded = torchvision_images(kmnist, "test", (1, 28, 28))
    assert torch.equal(loaded.images[:, 0], expected.data)
    assert loaded.targets["labels"].tolist() == list(range(6))
    assert loaded.names == tuple(expected.classes)
    two = torchvision_images(kmnist, "test", (1, 28, 28), levels=2)
    assert torch.equal(two.targets["pixels"][:, 0], (expected.data >= 128).to(torch.uint8))


def test_colour_images_come_channels_first(tmp_path, monkeypatch):
    monkeypatch.setattr(torchvision.CIFAR100, "_check_integrity", lambda self: True)
    data = np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)
    folder = tmp_path / "torchvision" / "cifar-100-python"
    folder.mkdir(parents=True)
    (folder / "test").write_bytes(pickle.dumps({"data": data, "fine_labels": [0, 1, 2, 99]}))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"n{k}" for k in range(100)]}))
    monkeypatch.setattr(torchvision.cifar, "check_integrity", lambda *a: True)
    loaded = torchvision_images(tmp_path, "test", (3, 32, 32), which="CIFAR100", channels=3)
    assert torch.equal(loaded.images, torch.from_numpy(data.reshape(4, 3, 32, 32)))
    assert (loaded.targets["labels"].tolist(), loaded.names[99]) == ([0, 1, 2, 99], "n99")


@pytest.mark.parametrize("which", LAYOUTS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_what_is_not_here_says_how_to_get_it(which, split, tmp_path):
    text = rf"^torchvision_images \({which}, {split}\): not found.*\n.*torchvision.datasets.{which}\(DATA, download=True\)$"
    with pytest.raises(DataNotFound, match=text):
        files(tmp_path, split, which=which)
    assert hasattr(torchvision, which)


def test_mistakes_are_named(kmnist):
    with pytest.raises(ValueError, match=r"KMNIST has images of the shape \[1, 28, 28\], not \[1, 32, 32\]"):
        torchvision_images(kmnist, "train", (1, 32, 32))
    with pytest.raises(ValueError, match=r"the shape \[3, 28, 28\] has 3 channels, but channels is 1"):
        torchvision_images(kmnist, "train", (3, 28, 28))
    with pytest.raises(ValueError, match="has the splits train and test, not 'val'"):
        files(kmnist, "val")
    (kmnist / "KMNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03")
    with pytest.raises(ValueError, match=f"^{kmnist}/KMNIST/raw: torchvision cannot read KMNIST here: "):
        torchvision_images(kmnist, "train", (1, 28, 28))


@pytest.fixture
def oxford(tmp_path):
    home = tmp_path / "oxford-iiit-pet"
    (home / "annotations" / "trimaps").mkdir(parents=True)
    (home / "images").mkdir()
    for k in range(4):
        Image.new("RGB", (12, 8), (20 * k,) * 3).save(home / "images" / f"cat_{k}.jpg")
        trimap = np.full((8, 12), 2, np.uint8)
        trimap[2:6, 2:9], trimap[2, 2:9] = 1, 3
        Image.fromarray(trimap).save(home / "annotations" / "trimaps" / f"cat_{k}.png")
    (home / "annotations" / "trainval.txt").write_text("cat_0 1 1 1\ncat_1 1 1 1\n")
    (home / "annotations" / "test.txt").write_text("cat_2 1 1 1\ncat_3 1 1 1\n")
    return tmp_path


def test_pets_are_the_images_of_torchvisions_loader(oxford):
    expected = torchvision.OxfordIIITPet(str(oxford), split="test", target_types="segmentation")
    for classes, border in ((2, IGNORE), (3, 2)):
        loaded = pets.oxford_pets(oxford, "test", (3, 8, 12), classes=classes)
        for k, (image, trimap) in enumerate(expected):
            assert torch.equal(loaded.images[k], torch.from_numpy(np.array(image)).permute(2, 0, 1))
            meaning = np.array([99, 1, 0, border])
            assert np.array_equal(loaded.targets["labels"][k].numpy(), meaning[np.array(trimap)])
        assert len(loaded) == len(expected)
        assert loaded.names == ("background", "pet", "border")[:classes]


def test_mistakes_in_pets_are_named(oxford):
    home = oxford / "oxford-iiit-pet"
    (home / "annotations" / "test.txt").write_text("cat_2 1 1\n")
    with pytest.raises(ValueError, match=r"test.txt:1: expected the name of an image and three numbers: 'cat_2 1 1'"):
        pets.files(oxford, "test")
    (home / "annotations" / "trimaps" / "cat_1.png").unlink()
    with pytest.raises(DataNotFound, match=r"looked for .*trimaps/cat_1.png"):
        pets.files(oxford, "train")
    Image.fromarray(np.zeros((8, 12), np.uint8)).save(home / "annotations" / "trimaps" / "cat_1.png")
    with pytest.raises(ValueError, match=r"cat_1.png: 0 is no label \(labels are 1 to 3\)"):
        pets.oxford_pets(oxford, "train", (3, 8, 12))
