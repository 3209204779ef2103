"""What the datasets of poses share: examples with the targets that the task reads, and lengths that scale errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.data.examples import Examples
from bench.data.skeleton import UNKNOWN, colours, mirrored

LARGEST = 1e6
"""Px beyond which a coordinate is an error of the file."""

Floats = npt.NDArray[np.floating[Any]]
Flags = npt.NDArray[np.uint8]


def examples(
    images: npt.NDArray[np.uint8],
    joints: Floats,
    visible: Flags,
    names: Sequence[str],
    *,
    lengths: Mapping[str, Floats] | None = None,
    optimum: Mapping[str, float] | None = None,
    publishable: bool = False,
    left_out: Mapping[str, int] | None = None,
) -> Examples:
    """Examples of the task `pose` from images (N, C, H, W), joints (N, K, 2) in px, x first, and flags (N, K).

    Targets: `joints` float32, 0 where not annotated; `visible` uint8; `size` float32 (N, 2), width and height
    of the image; `mirror` uint8 (N, K), the joint that a mirror exchanges each with. `lengths` may add `torso` and
    `head`, float32 (N,), px, NaN where an image has none. The centre of the first pixel is (0, 0). `left_out`: see
    `Examples`.
    Raises ValueError for an annotated joint without a place within LARGEST, or names without their twins.
    """
    import torch

    annotated = visible != UNKNOWN
    refuse_unplaced(joints[annotated])
    count, _, height, width = images.shape
    targets = {
        "joints": np.where(annotated[..., None], joints, 0.0).astype(np.float32),
        "visible": visible.astype(np.uint8),
        "size": np.tile(np.array([width, height], np.float32), (count, 1)),
        "mirror": np.tile(np.array(mirrored(names), np.uint8), (count, 1)),
        **{name: length.astype(np.float32) for name, length in (lengths or {}).items()},
    }
    return Examples(
        images=torch.from_numpy(images),
        targets={name: torch.from_numpy(values) for name, values in targets.items()},
        names=tuple(names),
        ignore=None,
        palette=colours(names),
        optimum=optimum or {},
        publishable=publishable,
        left_out=left_out or {},
    )


def refuse_unplaced(places: Floats, subject: str = "an annotated joint") -> None:
    """Raises ValueError where one of these places of annotated joints is not finite, or beyond LARGEST."""
    if not np.isfinite(places).all():
        raise ValueError(f"{subject} has no finite place")
    if (np.abs(places) > LARGEST).any():
        raise ValueError(f"{subject} has a place beyond {LARGEST:,.0f} px")


def between(joints: Floats, visible: Flags, names: Sequence[str], ends: tuple[str, str]) -> Floats:
    """The distance (N,) of two joints in px; NaN where one of them is not annotated."""
    a, b = (names.index(end) for end in ends)
    annotated = (visible[:, a] != UNKNOWN) & (visible[:, b] != UNKNOWN)
    distance: Floats = np.where(annotated, np.linalg.norm(joints[:, a] - joints[:, b], axis=-1), np.nan)
    return distance
