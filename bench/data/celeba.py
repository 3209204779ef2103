"""CelebA: photographs of faces, aligned, read through torchvision's loader; cropped and resized."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np

from bench.data.examples import Examples
from bench.data.levels import Pixels, quantised, stretched
from bench.data.locate import Files, not_found
from bench.registry import Bounds, dataset

LICENCE = "non-commercial research only"
GET = "torchvision.datasets.CelebA(DATA, download=True), which makes the folder celeba with img_align_celeba and lists"
LISTS = (
    "list_eval_partition.txt", "list_attr_celeba.txt", "identity_CelebA.txt", "list_bbox_celeba.txt",
    "list_landmarks_align_celeba.txt",
)  # fmt: skip
PARTS = {"train": "0", "valid": "1", "test": "2"}
CROP = 148
"""Px of the square from the middle of the 178 x 218 px of a file: the face (Larsen et al. 2016)."""
ATTRIBUTE = "Smiling"


@dataset(
    task="generation",
    licence=LICENCE,
    source="Liu, Luo, Wang & Tang 2015, ICCV",
    get=GET,
    splits=("train", "valid", "test"),
    requires={"channels": 3, "levels": 256},
)
def celeba(
    root: Path | None,
    split: str,
    shape: tuple[int, int, int],
    *,
    levels: Annotated[int, Bounds(2, 256)] = 256,
    count: Annotated[int, Bounds(1, 200000)] = 20000,
) -> Examples:
    """The first `count` faces of a split: the middle square, resized to `shape` (3, H, W); labels: smiling or not.

    Raises DataNotFound, ValueError for a number of channels other than 3.
    """
    import torch
    from torchvision.datasets import CelebA

    if shape[0] != 3:
        raise ValueError(f"celeba has 3 channels, not {shape[0]}")
    loaded = CelebA(str(files(root, split).folder.parent), split=split, target_type="attr", download=False)
    chosen = range(min(count, len(loaded)))
    pixels = quantised(np.stack([_face(loaded[i][0], shape) for i in chosen]), levels)
    smiling = loaded.attr[: len(chosen), loaded.attr_names.index(ATTRIBUTE)]
    return Examples(
        images=torch.from_numpy(stretched(pixels, levels)),
        targets={"pixels": torch.from_numpy(pixels), "labels": smiling.to(torch.uint8)},
        names=("not smiling", "smiling"),
        ignore=None,
        palette=((90, 90, 90), (230, 160, 40)),
    )


def _face(picture: Any, shape: tuple[int, int, int]) -> Pixels:
    """A PIL image's middle square as bytes (3, H, W), by antialiased bilinear interpolation."""
    from PIL import Image

    left, top = (picture.width - CROP) // 2, (picture.height - CROP) // 2
    square = picture.crop((left, top, left + CROP, top + CROP))
    resized = square.resize((shape[2], shape[1]), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.uint8).transpose(2, 0, 1)


def folders(root: Path) -> list[Path]:
    """Where the folder `celeba` lies."""
    return [root]


def files(root: Path | None, split: str, *, levels: int = 256, count: int = 20000) -> Files:
    """The lists, and the pictures of a split in their order. Raises DataNotFound, ValueError for an unknown split."""
    if split not in PARTS:
        raise ValueError(f"celeba has the splits {', '.join(PARTS)}, not '{split}'")
    home = root / "celeba" if root else Path()
    lists = tuple(home / name for name in LISTS)
    missing = [path for path in lists if not path.is_file()]
    if root is None or missing:
        raise not_found(f"celeba ({split})", missing[:1] if root else [], LICENCE, GET)
    rows = [line.split() for line in lists[0].read_text(encoding="utf-8").splitlines() if line.strip()]
    names = [name for name, part in rows if part == PARTS[split]][:count]
    images = tuple(home / "img_align_celeba" / name for name in names)
    absent = [path for path in images if not path.is_file()]
    if absent:
        raise not_found(f"celeba ({split})", absent[:1], LICENCE, GET)
    return Files(folder=home, lists=lists, images=images, labels=())
