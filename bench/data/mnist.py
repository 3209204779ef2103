"""MNIST: 70,000 handwritten digits, 28 x 28 grey pixels, from IDX files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from bench.data.examples import Examples
from bench.data.idx import examples, idx_files
from bench.data.locate import Files
from bench.registry import Bounds, dataset

LICENCE = "CC BY-SA 3.0"
GET = (
    "torchvision.datasets.MNIST(DATA, download=True), or put the four IDX files of LeCun, Cortes & Burges under the "
    "data folder as mnist/"
)


@dataset(
    task="generation",
    licence=LICENCE,
    source="LeCun, Bottou, Bengio & Haffner 1998, Proceedings of the IEEE 86(11)",
    get=GET,
    splits=("train", "test"),
    requires={"channels": 1, "levels": 2},
)
def mnist(
    root: Path | None,
    split: str,
    shape: tuple[int, int, int],
    *,
    levels: Annotated[int, Bounds(2, 256)] = 2,
    binarisation: Literal["static", "dynamic"] = "static",
) -> Examples:
    """Digits in `levels` grey levels; two of them are thresholded at half, or drawn anew each time (`dynamic`).

    `static` is neither Larochelle's fixed binarisation nor a drawing. `shape` is (1, 28, 28); larger ones are padded
    with black. Raises DataNotFound, ValueError for another shape.
    """
    return examples(files(root, split), split, shape, levels, binarisation, tuple("0123456789"))


def folders(root: Path) -> list[Path]:
    """The folders in which the files are searched: a folder of its own, or torchvision's layout."""
    return [root / "mnist", root / "MNIST" / "raw"]


def files(
    root: Path | None, split: str, *, levels: int = 2, binarisation: Literal["static", "dynamic"] = "static"
) -> Files:
    """The two files of a split, the same for all axes. Raises DataNotFound."""
    return idx_files("mnist", folders(root) if root else [], split, LICENCE, GET)
