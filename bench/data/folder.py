"""A folder of your own for segmentation: images/ and masks/, with lists of the splits or a fraction for validation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from bench.data import own_folder
from bench.data.examples import IGNORE, Examples
from bench.data.locate import Files
from bench.data.masks import Meaning, by_colour, by_number, load_masked
from bench.registry import Bounds, dataset

GET = (
    "make a folder with images/ and masks/, a mask (PNG or BMP) of the same name for each image, and train.txt and "
    "val.txt or val_fraction; name the folder with path"
)


@dataset(
    task="segmentation", licence="that of your own files", source="your own folder", get=GET, requires={"classes": 2}
)
def folder(
    root: Path | None,
    split: str,
    shape: tuple[int, int, int],
    *,
    path: str = "folder",
    classes: Annotated[int, Bounds(2, 255)] = 2,
    names: tuple[str, ...] = (),
    first: Annotated[int, Bounds(0, 254)] = 0,
    void: tuple[int, ...] = (255,),
    palette: tuple[str, ...] = (),
    void_palette: tuple[str, ...] = (),
    images: str = "images",
    masks: str = "masks",
    mask_suffix: str = "",
    val_fraction: Annotated[float, Bounds(0, 1)] | None = None,
    split_seed: Annotated[int, Bounds(0, 4294967295)] = 0,
    publish: bool = False,
) -> Examples:
    """Your own images and masks: `classes` numbers from `first` on, or the colours of `palette`; `void` is not scored.

    `path` is relative to the data folder or the current one. `mask_suffix` follows an image's name in that of its mask
    (`_mask`). Without `val_fraction` the lists train.txt and val.txt state the splits. `publish` allows reports to show
    the images. Resized to `shape` (C, H, W). Raises DataNotFound, and ValueError with the file that does not fit.
    """
    import torch

    meaning = _meaning(classes, first, void, palette, void_palette)
    named = own_folder.class_names(names, classes)
    listed = files(
        root, split, path=path, images=images, masks=masks, mask_suffix=mask_suffix, val_fraction=val_fraction,
        split_seed=split_seed,
    )  # fmt: skip
    pixels, labels = load_masked(listed.images, listed.labels, shape, meaning)
    ordered = tuple(meaning.colours)[:classes]
    return Examples(
        images=torch.from_numpy(pixels),
        targets={"labels": torch.from_numpy(labels)},
        names=named,
        ignore=IGNORE,
        palette=ordered or own_folder.colours(classes),
        publishable=publish,
    )


def _meaning(
    classes: int, first: int, void: tuple[int, ...], palette: tuple[str, ...], void_palette: tuple[str, ...]
) -> Meaning:
    if palette:
        return by_colour(classes, palette, void_palette)
    if void_palette:
        raise ValueError("void_palette is stated without palette: state the colours of the classes, or use void")
    return by_number(classes, first, void)


def folders(root: Path) -> list[Path]:
    """Where a folder is searched that `path` names: below the data folder, then below the current one."""
    return own_folder.homes(root, "folder")


def files(
    root: Path | None,
    split: str,
    *,
    path: str = "folder",
    classes: int = 2,
    names: tuple[str, ...] = (),
    first: int = 0,
    void: tuple[int, ...] = (255,),
    palette: tuple[str, ...] = (),
    void_palette: tuple[str, ...] = (),
    images: str = "images",
    masks: str = "masks",
    mask_suffix: str = "",
    val_fraction: float | None = None,
    split_seed: int = 0,
    publish: bool = False,
) -> Files:
    """The lists, and the images and masks of a split. Raises DataNotFound, and ValueError as the loader."""
    _meaning(classes, first, void, palette, void_palette)
    own_folder.class_names(names, classes)
    home = own_folder.home("folder", root, split, path, GET)
    lists, chosen = own_folder.chosen(home, home / images, split, val_fraction, split_seed)
    paired = _masks(home / images, home / masks, mask_suffix, chosen, whole=not lists)
    return Files(folder=home, lists=lists, images=chosen, labels=paired)


def _masks(images: Path, masks: Path, suffix: str, chosen: tuple[Path, ...], whole: bool) -> tuple[Path, ...]:
    """The mask of each image. Raises ValueError for an image without mask; with `whole`, for a mask without image."""
    by_name = own_folder.by_stem(own_folder.images_in(masks), masks)
    if whole:
        everything = own_folder.by_stem(own_folder.images_in(images), images)
        alone = next((mask for name, mask in by_name.items() if name.removesuffix(suffix) not in everything), None)
        if alone is not None:
            raise ValueError(f"{alone}: there is no image of this name in {images}: add it, or leave the mask out")
    for image in chosen:
        name = f"{own_folder.stem(image, images)}{suffix}"
        if name not in by_name:
            raise ValueError(f"{image}: it has no mask {masks / name}.png: add it, or leave the image out")
    return tuple(by_name[f"{own_folder.stem(image, images)}{suffix}"] for image in chosen)
