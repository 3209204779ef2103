"""Masks of a person's own segmentation: a number or a colour for each class, read with their images."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.data.examples import IGNORE
from bench.data.images import (
    LABEL_FORMATS,
    Colour,
    Picture,
    Pixels,
    channels_first,
    converted,
    in_threads,
    label_pixels,
    picture,
    resized,
)

EVERY = {value: value for value in range(256)}
DEFAULT_VOID = (255,)
"""Where nothing else is stated; a class may have this number too."""
HEX = re.compile(r"#?([0-9a-fA-F]{6})")


@dataclass(frozen=True)
class Meaning:
    """What the pixels of a mask mean: `values` maps numbers to labels, or `colours` maps colours to labels.

    `classes` is how many classes there are; IGNORE is the label of void.
    """

    classes: int
    values: Mapping[int, int]
    colours: Mapping[Colour, int]


def by_number(classes: int, first: int, void: Sequence[int]) -> Meaning:
    """Masks of numbers: `first` is the number of the first class. Raises ValueError for numbers that do not fit."""
    last = first + classes - 1
    if last > 255:
        raise ValueError(f"{classes} classes from the value {first} on need values up to {last}; a mask has 0 to 255")
    for value in void:
        if not 0 <= value <= 255:
            raise ValueError(f"void lists {value}; a mask has the values 0 to 255")
        if first <= value <= last and void != DEFAULT_VOID:
            raise ValueError(
                f"void lists {value}, which is a class too (classes: {classes} are the values {first} to {last}): "
                "state another value, or first: the value of the first class"
            )
    return Meaning(classes, {**dict.fromkeys(void, IGNORE), **{first + k: k for k in range(classes)}}, {})


def by_colour(classes: int, palette: Sequence[str], void: Sequence[str]) -> Meaning:
    """Masks of colours: one for each class, as `#804080`. Raises ValueError for colours that do not fit."""
    if len(palette) != classes:
        raise ValueError(f"palette lists {len(palette)} colours, but classes is {classes}: state one for each class")
    labels: dict[Colour, int] = {}
    for axis, texts in (("palette", palette), ("void_palette", void)):
        for number, text in enumerate(texts):
            colour = parse_colour(text, axis)
            if colour in labels:
                raise ValueError(f"{axis} lists {text}, which is listed before: each class needs its own colour")
            labels[colour] = number if axis == "palette" else IGNORE
    return Meaning(classes, {}, labels)


def parse_colour(text: str, axis: str) -> Colour:
    """Red, green and blue of `#804080`. Raises ValueError for another text."""
    match = HEX.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{axis}: '{text}' is no colour: write it as '#804080', two hexadecimal digits a channel")
    red, green, blue = bytes.fromhex(match[1])
    return red, green, blue


def load_masked(
    images: Sequence[Path], masks: Sequence[Path], shape: tuple[int, int, int], meaning: Meaning
) -> tuple[Pixels, Pixels]:
    """Images uint8 (N, C, H, W), by antialiased bilinear interpolation, and labels uint8 (N, H, W), nearest pixel.

    Raises ValueError, with the file, for a mask of another size than its image or with values that mean nothing, and
    for a file that cannot be read.
    """
    read = partial(_pair, shape=shape, meaning=meaning)
    pairs = in_threads(read, [*zip(images, masks, strict=True)])
    return channels_first(np.stack([image for image, _ in pairs]), shape), np.stack([labels for _, labels in pairs])


def _pair(paths: tuple[Path, Path], shape: tuple[int, int, int], meaning: Meaning) -> tuple[Pixels, Pixels]:
    image, mask = picture(paths[0]), picture(paths[1])
    if image.turned != mask.turned and _fits_both_ways(image, mask):
        raise image.refuse(
            "EXIF says that the image is turned, and whether its mask is meant for the turned or the stored pixels is "
            "not stated: save it upright without that tag"
        )
    image, pixels = _as_drawn(image, mask), labels_of_mask(mask, meaning)
    if image.image.size != mask.image.size:
        sizes = ["{} x {} px".format(*each.image.size) for each in (mask, image)]
        raise mask.refuse(f"it has {sizes[0]}, but its image {paths[0]} has {sizes[1]}: each pixel needs a label")
    return resized(image, shape), nearest(pixels, shape)


def _fits_both_ways(image: Picture, mask: Picture) -> bool:
    """Whether the stored pixels of an image that EXIF turns have the size of the mask, and the upright ones too."""
    stored = picture(image.path, upright=False)
    return image.image.size == mask.image.size == stored.image.size


def _as_drawn(image: Picture, mask: Picture) -> Picture:
    """The image as its mask was drawn: upright, or as its pixels are stored where only these have the mask's size."""
    if not image.turned or image.image.size == mask.image.size:
        return image
    stored = picture(image.path, upright=False)
    return stored if stored.image.size == mask.image.size else image


def labels_of_mask(mask: Picture, meaning: Meaning) -> Pixels:
    """The labels (H, W) of a mask at its own size. Raises ValueError, with the file, for pixels that mean nothing."""
    if mask.format not in LABEL_FORMATS:
        raise mask.refuse(f"masks of format {mask.format} are not exact: use {' or '.join(LABEL_FORMATS)}")
    if meaning.colours:
        return _of_colours(mask, meaning)
    if mask.image.mode in ("RGB", "RGBA"):
        raise mask.refuse("it holds colours: state the colour of each class, palette: ['#804080', ...]")
    return _of_numbers(mask, meaning)


def _of_numbers(mask: Picture, meaning: Meaning) -> Pixels:
    values = label_pixels(mask, mask.image.size, EVERY)
    unknown = np.setdiff1d(values, [*meaning.values])
    if unknown.size:
        numbers = [value for value, label in meaning.values.items() if label != IGNORE]
        void = [value for value, label in meaning.values.items() if label == IGNORE]
        stated = f"classes: {meaning.classes} are the values {min(numbers)} to {max(numbers)}, void: {void}"
        listed = ", ".join(map(str, unknown[:8])) + (", ..." if unknown.size > 8 else "")
        raise mask.refuse(f"it holds {listed}, which is neither a class nor void ({stated})")
    return _table(meaning.values)[values]


def _table(values: Mapping[int, int]) -> Pixels:
    table = np.zeros(256, dtype=np.uint8)
    table[[*values]] = [*values.values()]
    return table


def _of_colours(mask: Picture, meaning: Meaning) -> Pixels:
    pixels = np.asarray(converted(mask, "RGB"), dtype=np.uint32)
    codes, where = np.unique(_codes(pixels), return_inverse=True)
    labels = {int(_codes(np.array(colour, np.uint32))): label for colour, label in meaning.colours.items()}
    unknown = [int(code) for code in codes if int(code) not in labels]
    if unknown:
        listed = ", ".join(f"#{code:06x}" for code in unknown[:4]) + (", ..." if len(unknown) > 4 else "")
        raise mask.refuse(f"it holds {listed}, which is no colour of palette or void_palette: list it there")
    table: Pixels = np.array([labels[int(code)] for code in codes], dtype=np.uint8)
    return table[where.reshape(pixels.shape[:2])]


def _codes(pixels: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Colours (..., 3) as numbers 0xRRGGBB."""
    return pixels[..., 0] << np.uint32(16) | pixels[..., 1] << np.uint32(8) | pixels[..., 2]


def nearest(labels: Pixels, shape: tuple[int, int, int]) -> Pixels:
    """Labels (H, W) at the size of `shape` (C, H, W), by the nearest pixel."""
    from PIL import Image

    size = (shape[2], shape[1])
    return np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
