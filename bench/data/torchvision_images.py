"""Image datasets of torchvision that are already on disk, for generation: read by torchvision's own loaders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from bench.data import own_folder
from bench.data.examples import Examples
from bench.data.levels import Pixels, quantised, stretched
from bench.data.locate import Files, is_file, not_found
from bench.registry import Bounds, dataset

LICENCE = "that of the dataset; torchvision's documentation names its source"
GET = "torchvision.datasets.NAME(DATA, download=True), with NAME as the option `which` has it"
SPLITS = ("train", "test")
Which = Literal["FashionMNIST", "MNIST", "KMNIST", "CIFAR10", "CIFAR100", "SVHN", "STL10", "USPS"]


@dataclass(frozen=True)
class _Layout:
    """Where torchvision puts the files of each split below its root, and how its loader is asked for a split."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    by: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: {"train": {"train": True}, "test": {"train": False}}
    )


def _idx(folder: str) -> _Layout:
    parts = ("images-idx3-ubyte", "labels-idx1-ubyte")
    train, test = (tuple(f"{folder}/raw/{split}-{part}" for part in parts) for split in ("train", "t10k"))
    return _Layout(train, test)


_BY_SPLIT = {split: {"split": split} for split in SPLITS}
_STL10 = {s: tuple(f"stl10_binary/{s}_{part}.bin" for part in ("X", "y")) for s in SPLITS}
LAYOUTS: Mapping[str, _Layout] = {
    **{name: _idx(name) for name in ("FashionMNIST", "MNIST", "KMNIST")},
    "CIFAR10": _Layout(
        tuple(f"cifar-10-batches-py/data_batch_{k}" for k in range(1, 6)), ("cifar-10-batches-py/test_batch",)
    ),
    "CIFAR100": _Layout(("cifar-100-python/train",), ("cifar-100-python/test",)),
    "SVHN": _Layout(("train_32x32.mat",), ("test_32x32.mat",), _BY_SPLIT),
    "STL10": _Layout(_STL10["train"], _STL10["test"], _BY_SPLIT),
    "USPS": _Layout(("usps.bz2",), ("usps.t.bz2",)),
}


@dataset(
    task="generation",
    licence=LICENCE,
    source="torchvision.datasets",
    get=GET,
    splits=("train", "test"),
    requires={"channels": 1, "levels": 256},
)
def torchvision_images(
    root: Path | None,
    split: str,
    shape: tuple[int, int, int],
    *,
    which: Which = "KMNIST",
    channels: Literal[1, 3] = 1,
    levels: Annotated[int, Bounds(2, 256)] = 256,
) -> Examples:
    """Images and labels of one of torchvision's datasets, `which`, in `levels` levels a channel; nothing is downloaded.

    `shape` is that of its images, and `channels` their channels. Raises DataNotFound, and ValueError for another shape
    or files that torchvision's loader refuses.
    """
    import torch

    if shape[0] != channels:
        raise ValueError(f"the shape {list(shape)} has {shape[0]} channels, but channels is {channels}")
    loaded = _loaded(files(root, split, which=which), split, which)
    images = _channels_first(np.asarray(loaded.data))
    if images.shape[1:] != shape:
        raise ValueError(f"{which} has images of the shape {list(images.shape[1:])}, not {list(shape)}")
    labels = np.asarray(loaded.labels if hasattr(loaded, "labels") else loaded.targets)
    names = tuple(getattr(loaded, "classes", ())) or tuple(f"class {k}" for k in range(int(labels.max()) + 1))
    pixels = quantised(images, levels)
    return Examples(
        images=torch.from_numpy(stretched(pixels, levels)),
        targets={"pixels": torch.from_numpy(pixels), "labels": torch.from_numpy(labels.astype(np.uint8))},
        names=names,
        ignore=None,
        palette=own_folder.colours(len(names)),
    )


def _loaded(listed: Files, split: str, which: str) -> Any:
    from torchvision import datasets

    try:
        return getattr(datasets, which)(str(listed.folder), download=False, **LAYOUTS[which].by[split])
    except Exception as error:  # loaders raise errors of many types for broken files
        problem = f"torchvision cannot read {which} here: {error or type(error).__name__}"
        raise ValueError(f"{listed.images[0].parent}: {problem}. To get it: {GET}") from error


def _channels_first(images: Pixels) -> Pixels:
    """Images (N, H, W), (N, H, W, 3) or (N, 3, H, W) as (N, C, H, W)."""
    if images.ndim == 3:
        return images[:, None]
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if images.shape[-1] == 3 else images


def folders(root: Path) -> list[Path]:
    """The folders that may be torchvision's root: the data folder, and a folder of its own there."""
    return [root, root / "torchvision"]


def files(root: Path | None, split: str, *, which: str = "KMNIST", channels: int = 1, levels: int = 256) -> Files:
    """The files of a split, which hold the labels too. Raises DataNotFound, ValueError for an unknown split."""
    if split not in SPLITS:
        raise ValueError(f"torchvision_images has the splits {' and '.join(SPLITS)}, not '{split}'")
    below = LAYOUTS[which].train if split == "train" else LAYOUTS[which].test
    homes = folders(root) if root else []
    for home in homes:
        images = tuple(home / name for name in below)
        if all(map(is_file, images)):
            return Files(folder=home, lists=(), images=images, labels=())
    get = GET.replace("NAME(", f"{which}(").partition(", with")[0]
    raise not_found(f"torchvision_images ({which}, {split})", [home / below[0] for home in homes], LICENCE, get)
