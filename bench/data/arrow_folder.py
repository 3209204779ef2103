"""Datasets of the library Hugging Face `datasets` that were saved to disk: their files, and rows with pictures.

The library is the extra `huggingface`, imported where rows are read. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.data import own_folder
from bench.data.images import LABEL_FORMATS, Picture
from bench.data.locate import Files

GET = (
    "datasets.load_dataset(NAME).save_to_disk(FOLDER) with the library Hugging Face datasets; name the folder with path"
)
EXTRA = "pip install 'fovbench[huggingface]'"

Row = Mapping[str, Any]


def saved_files(dataset: str, root: Path | None, split: str, path: str, names: Mapping[str, str]) -> Files:
    """The files of a split of a saved DatasetDict; `names` maps train and val to the names of its splits.

    Raises DataNotFound, and ValueError where the split is not there or holds no Arrow file.
    """
    home = own_folder.home(dataset, root, split, path, GET)
    folder = home / names[split]
    arrow = tuple(sorted(folder.glob("*.arrow")))
    if not arrow:
        present = ", ".join(sorted(each.name for each in home.iterdir() if each.is_dir())) or "no folders"
        raise ValueError(f"{folder}: no Arrow files; {home.name} has {present}: state {split}_split, or save it again")
    return Files(folder=home, lists=tuple(sorted(folder.glob("*.json"))), images=arrow, labels=())


def rows(folder: Path) -> Sequence[Row]:
    """The rows of a split. Raises ValueError where the extra is missing or the library cannot read them."""
    try:
        from datasets import load_from_disk
    except ImportError:
        raise ValueError(f"{folder}: reading it needs Hugging Face datasets: {EXTRA}") from None
    try:
        loaded: Sequence[Row] = load_from_disk(str(folder))
    except Exception as error:  # the library raises errors of many types for broken files
        raise ValueError(f"{folder}: Hugging Face datasets cannot read it: {error}; save it again") from error
    return loaded


def pictures(table: Sequence[Row], column: str, folder: Path) -> Iterator[Picture]:
    """The picture in a column of each row. Raises ValueError, with folder and row, where it is none."""
    from PIL import Image

    for number in range(len(table)):
        row = table[number]
        if column not in row:
            raise ValueError(f"{folder}: there is no column '{column}' (columns are {', '.join(row)})")
        place, image = folder / f"row {number}, {column}", row[column]
        if not isinstance(image, Image.Image):
            raise ValueError(f"{place}: it is a {type(image).__name__}, not a picture: name the column of pictures")
        # An array has no bit depth that would have to be read from its file, as a PNG has.
        lossless = image.format in (None, *LABEL_FORMATS)
        yield Picture(place, image, "BMP" if lossless else str(image.format), turned=False)
