"""Images and masks of a dataset that Hugging Face `datasets` saved to disk (extra `huggingface`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np

from bench.data import own_folder
from bench.data.arrow_folder import Row, pictures, rows, saved_files
from bench.data.examples import IGNORE, Examples
from bench.data.images import Picture, Pixels, channels_first, resized
from bench.data.locate import Files
from bench.data.masks import Meaning, by_number, labels_of_mask, nearest
from bench.registry import Bounds, dataset


@dataset(
    task="segmentation",
    licence="that of the dataset",
    source="your own folder, saved by Hugging Face datasets",
    get="datasets.load_dataset(NAME).save_to_disk(FOLDER), where the extra huggingface is installed; name it with path",
    requires={"classes": 2},
)
def huggingface_segmentation(
    root: Path | None,
    split: str,
    shape: tuple[int, int, int],
    *,
    path: str = "huggingface",
    classes: Annotated[int, Bounds(2, 255)] = 2,
    names: tuple[str, ...] = (),
    first: Annotated[int, Bounds(0, 254)] = 0,
    void: tuple[int, ...] = (255,),
    image: str = "image",
    mask: str = "annotation",
    train_split: str = "train",
    val_split: str = "validation",
    publish: bool = False,
) -> Examples:
    """Images and masks in the columns `image` and `mask` of a saved DatasetDict.

    `path`, `classes`, `names`, `first`, `void` and `publish` as of the dataset `folder`. Resized to `shape` (C, H, W).
    Raises DataNotFound, and ValueError with the row that does not fit, or where the extra is missing.
    """
    import torch

    listed = files(root, split, path=path, train_split=train_split, val_split=val_split)
    named, meaning = own_folder.class_names(names, classes), by_number(classes, first, void)
    folder = listed.images[0].parent
    images, labels = read(rows(folder), folder, (image, mask), shape, meaning)
    return Examples(
        images=torch.from_numpy(images),
        targets={"labels": torch.from_numpy(labels)},
        names=named,
        ignore=IGNORE,
        palette=own_folder.colours(classes),
        publishable=publish,
    )


def read(
    table: Sequence[Row], folder: Path, columns: tuple[str, str], shape: tuple[int, int, int], meaning: Meaning
) -> tuple[Pixels, Pixels]:
    """Images uint8 (N, C, H, W) and labels uint8 (N, H, W) of rows with pictures; `columns` are image and mask.

    Raises ValueError, with the row, for a mask of another size than its image or with values that mean nothing.
    """
    pairs = [*zip(*(pictures(table, column, folder) for column in columns), strict=True)]
    if not pairs:
        raise ValueError(f"{folder}: it has no rows")
    for photograph, mask in pairs:
        _refuse_size(photograph, mask)
    images = np.stack([resized(photograph, shape) for photograph, _ in pairs])
    labels = np.stack([nearest(labels_of_mask(mask, meaning), shape) for _, mask in pairs])
    return channels_first(images, shape), labels


def _refuse_size(photograph: Picture, mask: Picture) -> None:
    if photograph.image.size != mask.image.size:
        sizes = ["{} x {} px".format(*each.image.size) for each in (mask, photograph)]
        raise mask.refuse(f"it has {sizes[0]}, but its image has {sizes[1]}: each pixel needs a label")


def folders(root: Path) -> list[Path]:
    """Where a folder is searched that `path` names: below the data folder, then below the current one."""
    return own_folder.homes(root, "huggingface")


def files(
    root: Path | None,
    split: str,
    *,
    path: str = "huggingface",
    classes: int = 2,
    names: tuple[str, ...] = (),
    first: int = 0,
    void: tuple[int, ...] = (255,),
    image: str = "image",
    mask: str = "annotation",
    train_split: str = "train",
    val_split: str = "validation",
    publish: bool = False,
) -> Files:
    """The Arrow and JSON files of a split. Raises DataNotFound, ValueError."""
    by_number(classes, first, void)
    own_folder.class_names(names, classes)
    return saved_files("huggingface_segmentation", root, split, path, {"train": train_split, "val": val_split})
