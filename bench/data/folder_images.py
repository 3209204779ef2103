"""A folder of your own images for generation: images anywhere below it, with lists of the splits or a fraction."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from bench.data import own_folder
from bench.data.examples import Examples
from bench.data.images import MODES, Picture, channels_first, converted, in_threads, picture
from bench.data.levels import Pixels, quantised, stretched
from bench.data.locate import Files
from bench.registry import Bounds, dataset

GET = (
    "put your images into a folder (folders below it count too), with train.txt and val.txt in it, or state "
    "val_fraction; name the folder with path"
)

Fit = Literal["crop", "stretch"]


@dataset(
    task="generation",
    licence="that of your own files",
    source="your own folder",
    get=GET,
    requires={"channels": 3, "levels": 256},
)
def folder_images(
    root: Path | None,
    split: str,
    shape: tuple[int, int, int],
    *,
    path: str = "folder_images",
    channels: Literal[3, 1] = 3,
    levels: Annotated[int, Bounds(2, 256)] = 256,
    fit: Fit = "crop",
    val_fraction: Annotated[float, Bounds(0, 1)] | None = None,
    split_seed: Annotated[int, Bounds(0, 4294967295)] = 0,
    publish: bool = False,
) -> Examples:
    """Your own images in `levels` levels a channel; they have no labels.

    `path` is relative to the data folder or the current one. `fit`: an image of other proportions than `shape`
    (C, H, W) loses its margins (`crop`) or is stretched; then it is resized. Without `val_fraction` the lists train.txt
    and val.txt state the splits. `publish` allows reports to show the images. Raises DataNotFound, and ValueError with
    the file that does not fit.
    """
    import torch

    if shape[0] != channels:
        raise ValueError(f"the shape {list(shape)} has {shape[0]} channels, but channels is {channels}")
    listed = files(root, split, path=path, val_fraction=val_fraction, split_seed=split_seed)
    read = in_threads(lambda image: _fitted(picture(image), shape, fit), listed.images)
    pixels = quantised(channels_first(np.stack(read), shape), levels)
    return Examples(
        images=torch.from_numpy(stretched(pixels, levels)),
        targets={"pixels": torch.from_numpy(pixels)},
        names=(),
        ignore=None,
        palette=(),
        publishable=publish,
    )


def _fitted(photograph: Picture, shape: tuple[int, int, int], fit: Fit) -> Pixels:
    """The pixels (H, W) or (H, W, 3) at the size of `shape`, by antialiased bilinear interpolation."""
    from PIL import Image, ImageOps

    channels, height, width = shape
    image = converted(photograph, MODES[channels])
    if fit == "stretch":
        return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    return np.asarray(ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR))


def folders(root: Path) -> list[Path]:
    """Where a folder is searched that `path` names: below the data folder, then below the current one."""
    return own_folder.homes(root, "folder_images")


def files(
    root: Path | None,
    split: str,
    *,
    path: str = "folder_images",
    channels: int = 3,
    levels: int = 256,
    fit: Fit = "crop",
    val_fraction: float | None = None,
    split_seed: int = 0,
    publish: bool = False,
) -> Files:
    """The list, and the images of a split. Raises DataNotFound, ValueError."""
    home = own_folder.home("folder_images", root, split, path, GET)
    lists, images = own_folder.chosen(home, home, split, val_fraction, split_seed)
    return Files(folder=home, lists=lists, images=images, labels=())
