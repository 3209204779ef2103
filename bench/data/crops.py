"""People cut out of photographs: a box of each, resized to the shape that is asked for, joints moved with it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.data.examples import Examples
from bench.data.images import MODES
from bench.data.people import Flags, Floats, between, examples, refuse_unplaced

GREY = 128
"""What lies outside a photograph."""
TORSO = ("left_shoulder", "right_hip")
HEAD = ("head_top", "neck")

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Person:
    """A person in an image file: `box` (left, top, right, bottom) in whole px, which may go beyond the image.

    `joints` (K, 2) in px of the file, x first, the centre of its first pixel at (0, 0); `visible` (K,) COCO's flags.
    `head` is the head's length in px of the file, NaN where nobody measured it.
    """

    image: Path
    box: Box
    joints: Floats
    visible: Flags
    head: float = float("nan")


def cropped(people: Sequence[Person], names: Sequence[str], shape: tuple[int, int, int]) -> Examples:
    """Every person's box resized to `shape` (C, H, W), antialiased; grey outside the photograph.

    `torso` is the distance from left shoulder to right hip, `head` the measured one, else that from head top to neck;
    in px of the result. Raises ValueError for nobody or a number of channels other than 1 and 3, OSError for an
    unreadable file.
    """
    channels, height, width = shape
    if channels not in MODES:
        raise ValueError(f"image files have 1 or 3 channels, not {channels}")
    if not people:
        raise ValueError("nobody in this split has an annotated joint")
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        images = np.stack([*pool.map(lambda person: _pixels(person, shape), people)])
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
    return examples(images, joints, visible, names, lengths=lengths)


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


def _pixels(person: Person, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    from PIL import Image

    channels, height, width = shape
    left, top, right, bottom = person.box
    with Image.open(person.image) as image:
        plain = image.convert(MODES[channels])
    canvas = Image.new(MODES[channels], (right - left, bottom - top), (GREY,) * channels if channels > 1 else GREY)
    canvas.paste(plain, (-left, -top))
    pixels = np.asarray(canvas.resize((width, height), Image.Resampling.BILINEAR))
    return np.ascontiguousarray(pixels.reshape(height, width, channels).transpose(2, 0, 1))
