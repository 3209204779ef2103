"""People cut out of photographs: a box of each, resized to the requested shape, with its joints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bench.data.examples import Examples
from bench.data.images import MODES, MOST_PIXELS, Picture, channels_first, converted, in_threads, picture
from bench.data.people import Flags, Floats, between, examples, refuse_unplaced

GREY = 128
"""The level of what lies outside a photograph."""
TORSO = ("left_shoulder", "right_hip")
HEAD = ("head_top", "neck")
OUTSIDE = "people whose box is outside the image"

if TYPE_CHECKING:
    from PIL import Image

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Person:
    """A person in an image file: `box` (left, top, right, bottom) in whole px, which may go beyond the image.

    `joints` (K, 2) in px of the file, x first, the centre of its first pixel at (0, 0); `visible` (K,) COCO's flags.
    `head` is the head's length in px of the file, NaN where nobody measured it. `size` is the width and height that
    the annotation states for the image. `source` names file and annotation, for errors.
    """

    image: Path
    box: Box
    joints: Floats
    visible: Flags
    head: float = float("nan")
    size: tuple[int, int] | None = None
    source: str = ""


def cropped(
    people: Sequence[Person],
    names: Sequence[str],
    shape: tuple[int, int, int],
    left_out: Mapping[str, int] | None = None,
    source: Path | None = None,
) -> Examples:
    """Every person's box resized to `shape` (C, H, W), antialiased; grey outside the photograph.

    `torso` is the distance from left shoulder to right hip, `head` the measured one, else that from head top to neck;
    in px of the result. `left_out` counts the people that are not among them, by reason; those whose box is outside the
    photograph are added. `source` is the annotation file. Raises ValueError for nobody, a number of channels other than
    1 and 3, a file that cannot be read, or one that does not fit its annotation.
    """
    channels, height, width = shape
    if channels not in MODES:
        raise ValueError(f"image files have 1 or 3 channels, not {channels}")
    crops = in_threads(lambda person: _pixels(person, shape), people)
    inside = [(person, pixels) for person, pixels in zip(people, crops, strict=True) if pixels is not None]
    if len(inside) < len(people):
        left_out = {**(left_out or {}), OUTSIDE: len(people) - len(inside)}
    if not inside:
        counts = "".join(f"; left out: {count} ({reason})" for reason, count in (left_out or {}).items() if count)
        raise ValueError(f"{source or 'people'}: nobody in this split has an annotated joint{counts}")
    people = [person for person, _ in inside]
    images = channels_first(np.stack([pixels for _, pixels in inside]), shape)
    boxes = np.array([person.box for person in people], dtype=np.float64)
    scale = np.array([width, height]) / (boxes[:, 2:] - boxes[:, :2])
    joints = (np.stack([p.joints for p in people]) + 0.5 - boxes[:, None, :2]) * scale[:, None] - 0.5
    visible = np.stack([person.visible for person in people]).astype(np.uint8)
    heads = np.array([person.head for person in people]) * np.sqrt(scale.prod(axis=1))
    lengths = {"torso": between(joints, visible, names, TORSO)}
    if np.isfinite(heads).any():
        lengths["head"] = heads
    elif set(HEAD) <= set(names):
        lengths["head"] = between(joints, visible, names, HEAD)
    return examples(images, joints, visible, names, lengths=lengths, left_out=left_out)


def around(places: npt.NDArray[Any], shape: tuple[int, int, int], margin: float = 1.25) -> Box:
    """The least box of the shape's proportions about all `places` (k, 2), `margin` times as large, in whole px.

    Raises ValueError for a place that is not finite.
    """
    refuse_unplaced(places)
    low, high = places.min(axis=0), places.max(axis=0)
    return centred((low + high) / 2, high - low, shape, margin)


def centred(centre: npt.NDArray[Any], extent: npt.NDArray[Any], shape: tuple[int, int, int], margin: float) -> Box:
    """The least box of the shape's proportions about `centre` for `extent` (width, height), `margin` times as large."""
    _, height, width = shape
    unit = max(float(extent[0]) / width, float(extent[1]) / height, 1 / min(width, height)) * margin
    half = np.array([width, height]) * unit / 2
    left, top = (int(v) for v in np.floor(centre + 0.5 - half))
    return left, top, left + max(1, round(2 * half[0])), top + max(1, round(2 * half[1]))


def _pixels(person: Person, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8] | None:
    """The box of a person (H, W) or (H, W, 3); None where it is outside the photograph."""
    from PIL import Image

    channels, height, width = shape
    left, top, right, bottom = person.box
    if (right - left) * (bottom - top) > MOST_PIXELS:
        raise ValueError(f"{person.source or person.image}: a box of {right - left} x {bottom - top} px is too large")
    plain = _photograph(person, MODES[channels])
    if right <= 0 or bottom <= 0 or left >= plain.width or top >= plain.height:
        return None
    canvas = Image.new(MODES[channels], (right - left, bottom - top), (GREY,) * channels if channels > 1 else GREY)
    canvas.paste(plain, (-left, -top))
    return np.asarray(canvas.resize((width, height), Image.Resampling.BILINEAR))


def _photograph(person: Person, mode: str) -> Image.Image:
    """The image file of a person. Raises ValueError where its joints cannot be meant for these pixels."""
    photograph = picture(person.image)
    if photograph.turned:
        photograph = _as_annotated(person, photograph)
    if person.size is not None and photograph.image.size != person.size:
        sizes = ["{} x {} px".format(*size) for size in (photograph.image.size, person.size)]
        raise photograph.refuse(f"it has {sizes[0]}, but {person.source} is of an image of {sizes[1]}")
    return converted(photograph, mode)


def _as_annotated(person: Person, upright: Picture) -> Picture:
    """Of a photograph that EXIF turns, the orientation whose size the annotation states. Raises ValueError for none."""
    either = (upright, picture(person.image, upright=False))
    fitting = [each for each in either if each.image.size == person.size]
    if len(fitting) != 1:
        raise upright.refuse(
            "EXIF says that the image is turned, and whether its joints are meant for the turned or the stored pixels "
            "is not stated: save it upright without that tag"
        )
    return fitting[0]
