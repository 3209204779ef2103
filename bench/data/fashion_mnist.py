"""Fashion-MNIST: 70,000 pictures of clothes in ten classes, 28 x 28 grey pixels, from IDX files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from bench.data.examples import Examples
from bench.data.idx import examples, idx_files
from bench.data.locate import Files
from bench.registry import Bounds, dataset

LICENCE = "MIT"
GET = (
    "apt-get install dataset-fashion-mnist on Debian, torchvision.datasets.FashionMNIST(DATA, download=True), or put "
    "the four files of github.com/zalandoresearch/fashion-mnist (data/fashion) under the data folder as fashion_mnist/"
)
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts the files."""
NAMES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


@dataset(
    task="generation",
    licence=LICENCE,
    source="Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747",
    get=GET,
    splits=("train", "test"),
    requires={"channels": 1, "levels": 2},
)
def fashion_mnist(
    root: Path | None,
    split: str,
    shape: tuple[int, int, int],
    *,
    levels: Annotated[int, Bounds(2, 256)] = 2,
    binarisation: Literal["static", "dynamic"] = "static",
) -> Examples:
    """Clothes in `levels` grey levels; two of them are thresholded at half, or drawn anew each time (`dynamic`).

    `shape` is (1, 28, 28); larger ones are padded with black. Raises DataNotFound, ValueError for another shape.
    """
    return replace(examples(files(root, split), split, shape, levels, binarisation, NAMES), publishable=True)


def folders(root: Path) -> list[Path]:
    """The folders in which the files are searched: a folder of its own, torchvision's layout, Debian's package."""
    return [root / "fashion_mnist", root / "fashion-mnist", root / "FashionMNIST" / "raw", DEBIAN]


def files(
    root: Path | None, split: str, *, levels: int = 2, binarisation: Literal["static", "dynamic"] = "static"
) -> Files:
    """The two files of a split, the same for all axes. Raises DataNotFound."""
    return idx_files("fashion_mnist", folders(root) if root else [DEBIAN], split, LICENCE, GET)
