"""CIFAR-10: 60,000 colour photographs in ten classes, 32 x 32 pixels, read through torchvision's loader."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np

from bench.data.examples import Examples
from bench.data.idx import PALETTE
from bench.data.levels import quantised, stretched
from bench.data.locate import Files, integrity_named, not_found
from bench.registry import Bounds, dataset

LICENCE = "none stated; free for research, to be cited"
GET = "torchvision.datasets.CIFAR10(DATA, download=True), which makes the folder cifar-10-batches-py"
BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}
NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataset(
    task="generation",
    licence=LICENCE,
    source="Krizhevsky 2009, Learning multiple layers of features from tiny images",
    get=GET,
    splits=("train", "test"),
    requires={"channels": 3, "levels": 256},
)
def cifar10(
    root: Path | None, split: str, shape: tuple[int, int, int], *, levels: Annotated[int, Bounds(2, 256)] = 256
) -> Examples:
    """Photographs in `levels` levels a channel.

    Raises DataNotFound, and ValueError for a shape other than (3, 32, 32) or a file that is not the published one.
    """
    import torch
    from torchvision.datasets import CIFAR10

    if shape != (3, 32, 32):
        raise ValueError(f"cifar10 has the shape [3, 32, 32], not {list(shape)}")
    folder = files(root, split).folder
    published = [*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], CIFAR10.meta["md5"])]
    with integrity_named(folder, published, GET):
        loaded = CIFAR10(str(folder.parent), train=split == "train", download=False)
    pixels = quantised(np.ascontiguousarray(loaded.data.transpose(0, 3, 1, 2)), levels)
    return Examples(
        images=torch.from_numpy(stretched(pixels, levels)),
        targets={"pixels": torch.from_numpy(pixels), "labels": torch.tensor(loaded.targets, dtype=torch.uint8)},
        names=NAMES,
        ignore=None,
        palette=PALETTE,
    )


def folders(root: Path) -> list[Path]:
    """The folders in which cifar-10-batches-py is searched: the data folder, and a folder of its own there."""
    return [root, root / "cifar10"]


def files(root: Path | None, split: str, *, levels: int = 256) -> Files:
    """The batches of a split, which hold the labels too. Raises DataNotFound, ValueError for an unknown split."""
    if split not in BATCHES:
        raise ValueError(f"cifar10 has the splits {' and '.join(BATCHES)}, not '{split}'")
    homes = [home / "cifar-10-batches-py" for home in folders(root)] if root else []
    for home in homes:
        batches = tuple(home / name for name in BATCHES[split])
        if all(path.is_file() for path in batches):
            return Files(folder=home, lists=(), images=batches, labels=())
    raise not_found(f"cifar10 ({split})", [home / BATCHES[split][0] for home in homes], LICENCE, GET)
