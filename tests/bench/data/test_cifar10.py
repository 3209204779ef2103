"""CIFAR-10 from small batches in torchvision's layout."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from bench.data.cifar10 import BATCHES, cifar10
from bench.data.examples import DataNotFound

SHAPE = (3, 32, 32)


@pytest.fixture
def root(tmp_path, monkeypatch):
    import torchvision.datasets.cifar as theirs

    home = tmp_path / "cifar10" / "cifar-10-batches-py"
    home.mkdir(parents=True)
    for split, names in BATCHES.items():
        for number, name in enumerate(names):
            data = np.full((2, 3072), 50 * number + (split == "test"), dtype=np.uint8)
            data[0, :1024] = 255  # red
            (home / name).write_bytes(pickle.dumps({"data": data, "labels": [number, 9]}))
    (home / "batches.meta").write_bytes(pickle.dumps({"label_names": [str(n) for n in range(10)]}))
    monkeypatch.setattr(theirs, "check_integrity", lambda path, md5=None: True)
    return tmp_path


def test_reads_all_batches_in_order(root):
    train, test = cifar10(root, "train", SHAPE), cifar10(root, "test", SHAPE)
    assert train.images.shape == (10, *SHAPE)
    assert train.images[1::2, 0, 0, 0].tolist() == [0, 50, 100, 150, 200]
    assert train.targets["labels"].tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]
    assert (test.images[0, 0] == 255).all()
    assert (test.images[0, 1:] == 1).all()


def test_levels_are_named_by_an_axis(root):
    examples = cifar10(root, "train", SHAPE, levels=4)
    assert examples.targets["pixels"][1::2, 0, 0, 0].tolist() == [0, 0, 1, 2, 3]
    assert examples.images[1::2, 0, 0, 0].tolist() == [0, 0, 85, 170, 255]


def test_refuses_what_it_does_not_have(root, tmp_path):
    with pytest.raises(ValueError, match=r"\[3, 32, 32\]"):
        cifar10(root, "train", (3, 64, 64))
    with pytest.raises(DataNotFound, match="download=True"):
        cifar10(tmp_path / "none", "train", SHAPE)
    with pytest.raises(ValueError, match="'val'"):
        cifar10(root, "val", SHAPE)


def test_a_batch_that_is_not_the_published_one_is_named_and_never_unpickled(root, monkeypatch):
    import torchvision.datasets.cifar as theirs
    from torchvision.datasets.utils import check_integrity

    monkeypatch.setattr(theirs, "check_integrity", check_integrity)
    monkeypatch.setattr(theirs.pickle, "load", lambda *file, **how: pytest.fail("a foreign pickle was loaded"))
    with pytest.raises(ValueError, match=r"data_batch_1: missing, cut short or changed: its MD5 is not the published"):
        cifar10(root, "train", SHAPE)
