"""Image and label files read into arrays of one size, by a pool of threads (Pillow releases the lock).

Only the formats named here are decoded, all of them by Pillow itself, so no file can start another program. A file that
cannot be read exactly as it was meant is refused: every error names the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image

Pixels = npt.NDArray[np.uint8]
MODES = {1: "L", 3: "RGB"}
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""Formats of images."""
LABEL_FORMATS = ("PNG", "BMP")
"""Formats of label files: lossless, and with one way to store a small integer. GIF is none of them: programs that write
it number the colours anew."""
MOST_PIXELS = 64_000_000
"""Pixels of the largest image that is decoded."""
ORIENTATION = 0x0112
"""EXIF's tag of how a picture is turned; 1 is upright."""
PNG_START, PNG_BIT_DEPTH = b"\x89PNG\r\n\x1a\n", 24
"""The first bytes of a PNG file, and the place of its bit depth."""

Colour = tuple[int, int, int]
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Picture:
    """A decoded image file. `turned`: EXIF says that its pixels are not stored upright."""

    path: Path
    image: Image.Image
    format: str
    turned: bool

    def refuse(self, problem: str) -> ValueError:
        """The error of this file."""
        return ValueError(f"{self.path}: {problem}")


def load_images(paths: Sequence[Path], shape: tuple[int, int, int]) -> Pixels:
    """Images resized to (C, H, W) by antialiased bilinear interpolation: uint8 (N, C, H, W).

    Raises ValueError for a number of channels other than 1 and 3, and for a file that cannot be read.
    """
    _mode_of(shape)
    return channels_first(np.stack(in_threads(lambda path: resized(picture(path), shape), paths)), shape)


def load_pairs(
    images: Sequence[Path],
    labels: Sequence[Path],
    shape: tuple[int, int, int],
    meaning: Mapping[int, int],
    colours: Mapping[int, Colour] | None = None,
) -> tuple[Pixels, Pixels]:
    """Images uint8 (N, C, H, W) as `load_images` reads them, and their labels uint8 (N, H, W), by the nearest pixel.

    `meaning` maps the values that a label file may hold to labels; `colours` are those that the dataset's own palette
    gives to values. Raises ValueError, with the file, where an image and its label file differ in size, a label file
    holds another value, is not one of whole numbers or has a palette that was numbered anew, or a file cannot be read.
    """
    _mode_of(shape)
    read = partial(_pair, shape=shape, meaning=meaning, colours=colours or {})
    pairs = in_threads(read, [*zip(images, labels, strict=True)])
    return channels_first(np.stack([image for image, _ in pairs]), shape), np.stack([label for _, label in pairs])


def channels_first(images: Pixels, shape: tuple[int, int, int]) -> Pixels:
    """Images (N, H, W) or (N, H, W, C) as (N, C, H, W)."""
    channels, height, width = shape
    return np.ascontiguousarray(images.reshape(len(images), height, width, channels).transpose(0, 3, 1, 2))


def in_threads(read: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """`read` of every item, in order; raises the error of the first item that has one."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(read, items))


def picture(path: Path, formats: tuple[str, ...] = FORMATS, upright: bool = True) -> Picture:
    """The only image of a file, decoded, and turned upright or (`upright` false) as its pixels are stored.

    Raises ValueError, with the file, where it cannot be read.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=formats) as image:
            _refuse_size_and_frames(image)
            turned = image.getexif().get(ORIENTATION, 1) != 1
            pixels = ImageOps.exif_transpose(image) if upright else image.copy()
            return Picture(path, pixels, image.format or "", turned)
    except Exception as error:  # decoders raise errors of many types for broken files
        raise ValueError(f"{path}: cannot be read as an image, {_reason(path, error, formats)}") from error


class UnreadError(ValueError):
    """An image of a kind that is not read."""


def _refuse_size_and_frames(image: Image.Image) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise UnreadError(f"it has {image.width} x {image.height} pixels; at most {MOST_PIXELS:,} are decoded")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a camera's JPEG with a preview behind the photograph
        raise UnreadError(f"it holds {frames} images, and which one is meant is not stated: save one")


def _reason(path: Path, error: Exception, formats: tuple[str, ...]) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnreadError):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if path.is_file() and path.stat().st_size == 0:
        return "it is empty: fetch it again"
    if isinstance(error, UnidentifiedImageError):
        return f"it is none of {', '.join(formats)}: convert it"
    return f"it is damaged or unusual: {error}"


def resized(picture: Picture, shape: tuple[int, int, int]) -> Pixels:
    """The pixels (H, W) or (H, W, 3) at the size of `shape` (C, H, W)."""
    from PIL import Image

    size = (shape[2], shape[1])
    return np.asarray(converted(picture, _mode_of(shape)).resize(size, Image.Resampling.BILINEAR))


def converted(picture: Picture, mode: str) -> Image.Image:
    """The image in the mode `L` or `RGB`. 16-bit levels keep their high byte.

    Raises ValueError for pixels whose range is not stated (32-bit, float) and for transparent ones.
    """
    from PIL import Image

    image = picture.image
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert(mode)
    if image.mode in ("I", "F"):
        raise picture.refuse(f"pixels of mode {image.mode} have no stated range: save it with 8 or 16 bits a channel")
    if _is_transparent(image):
        raise picture.refuse("it has transparent pixels, whose colour is not stated: save it without transparency")
    try:
        return image.convert(mode)
    except ValueError as error:
        raise picture.refuse(f"mode {image.mode} cannot be converted to {mode}: {error}") from error


def _is_transparent(image: Image.Image) -> bool:
    if "transparency" not in image.info and image.mode not in ("RGBA", "LA", "PA", "RGBa", "La"):
        return False
    lowest, _ = image.convert("RGBA").getchannel("A").getextrema()
    return bool(lowest < 255)  # type: ignore[operator]


def _pair(
    paths: tuple[Path, Path], shape: tuple[int, int, int], meaning: Mapping[int, int], colours: Mapping[int, Colour]
) -> tuple[Pixels, Pixels]:
    image, labels = picture(paths[0]), picture(paths[1])
    if image.image.size != labels.image.size:
        sizes = ["{} x {} px".format(*each.image.size) for each in (labels, image)]
        raise labels.refuse(f"it has {sizes[0]}, but its image {paths[0]} has {sizes[1]}: each pixel needs a label")
    pixels = label_pixels(labels, (shape[2], shape[1]), meaning)
    _refuse_renumbered(labels, colours)
    return resized(image, shape), pixels


def _refuse_renumbered(picture: Picture, colours: Mapping[int, Colour]) -> None:
    """Raises ValueError where the palette of a label file gives an index that it uses the colour of another label.

    A program that leaves unused colours out numbers the others anew. That shows where the palette is one of grey levels
    that differ from their indices, or has colours of the dataset's own at other places.
    """
    if picture.image.mode != "P":
        return
    levels = picture.image.getpalette("RGB") or []
    palette = [*zip(levels[::3], levels[1::3], levels[2::3], strict=True)]
    is_grey = all(red == green == blue for red, green, blue in palette)
    values = {(level,) * 3: level for level in range(256)} if is_grey else {c: v for v, c in colours.items()}
    for index in np.flatnonzero(picture.image.histogram()):
        colour = palette[index] if index < len(palette) else None
        if colour in values and values[colour] != index:
            raise picture.refuse(
                f"its palette gives index {index} the colour of label {values[colour]}, so that either may be meant: "
                "save the labels as grey levels"
            )


def label_pixels(picture: Picture, size: tuple[int, int], meaning: Mapping[int, int]) -> Pixels:
    """The labels of a file at `size` (width, height), by the nearest pixel: uint8 (H, W).

    Raises ValueError for a lossy format, more than one channel of 8 bits, or a value that `meaning` lacks.
    """
    from PIL import Image

    image = picture.image
    if image.mode not in ("1", "L", "P"):
        raise picture.refuse(f"labels are pictures of one 8-bit channel, not of mode {image.mode}")
    if picture.format not in LABEL_FORMATS:
        raise picture.refuse(f"labels of format {picture.format} are not exact: use {', '.join(LABEL_FORMATS)}")
    grey = image.convert("L") if image.mode == "1" else image
    values: npt.NDArray[Any] = np.asarray(grey.resize(size, Image.Resampling.NEAREST)) // _step_of(picture)
    unknown = np.setdiff1d(values, list(meaning))
    if unknown.size:
        raise picture.refuse(f"{unknown[0]} is no label (labels are {min(meaning)} to {max(meaning)})")
    table = np.zeros(256, dtype=np.uint8)
    table[list(meaning)] = list(meaning.values())
    labels: Pixels = table[values]
    return labels


def _step_of(picture: Picture) -> int:
    """What Pillow multiplies grey levels by: it stretches those of less than 8 bits to 0 to 255."""
    if picture.image.mode == "1":
        return 255
    if picture.image.mode == "P" or picture.format != "PNG":
        return 1
    with picture.path.open("rb") as file:
        bits = file.read(PNG_BIT_DEPTH + 1)[PNG_BIT_DEPTH]
    return 255 // (2**bits - 1) if bits < 8 else 1


def _mode_of(shape: tuple[int, int, int]) -> str:
    if shape[0] not in MODES:
        raise ValueError(f"image files have 1 or 3 channels, not {shape[0]}")
    return MODES[shape[0]]
