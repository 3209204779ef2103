"""CelebA: photographs of faces, aligned; cropped and resized. torchvision's loader reads and checks the lists."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np

from bench.data.examples import Examples
from bench.data.images import Picture, converted, in_threads, picture
from bench.data.levels import Pixels, quantised, stretched
from bench.data.lists import Line, inside, read_lines
from bench.data.locate import Files, integrity_named, not_found, refuse_missing
from bench.registry import Bounds, dataset

LICENCE = "non-commercial research only"
GET = "torchvision.datasets.CelebA(DATA, download=True), which makes the folder celeba with img_align_celeba and lists"
LISTS = (
    "list_eval_partition.txt", "list_attr_celeba.txt", "identity_CelebA.txt", "list_bbox_celeba.txt",
    "list_landmarks_align_celeba.txt",
)  # fmt: skip
PARTS = {"train": "0", "valid": "1", "test": "2"}
SIZE = (178, 218)
"""Width and height of the aligned photographs, px."""
CROP = 148
"""Side, in px, of the square in the middle of a photograph that holds the face (Larsen et al. 2016)."""
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

    Raises DataNotFound, and ValueError for a number of channels other than 3 or a file that cannot be read.
    """
    import torch
    from torchvision.datasets import CelebA

    if shape[0] != 3:
        raise ValueError(f"celeba has 3 channels, not {shape[0]}")
    listed = files(root, split, count=count)
    published = [(name, md5) for _, md5, name in CelebA.file_list if name in LISTS]
    with integrity_named(listed.folder, published, GET):
        loaded = CelebA(str(listed.folder.parent), split=split, target_type="attr", download=False)
    faces = np.stack(in_threads(lambda path: _face(picture(path), shape), listed.images))
    pixels = quantised(faces, levels)
    smiling = loaded.attr[: len(faces), loaded.attr_names.index(ATTRIBUTE)]
    return Examples(
        images=torch.from_numpy(stretched(pixels, levels)),
        targets={"pixels": torch.from_numpy(pixels), "labels": smiling.to(torch.uint8)},
        names=("not smiling", "smiling"),
        ignore=None,
        palette=((90, 90, 90), (230, 160, 40)),
    )


def _face(photograph: Picture, shape: tuple[int, int, int]) -> Pixels:
    """The middle square of a photograph as bytes (3, H, W), by antialiased bilinear interpolation."""
    from PIL import Image

    image = converted(photograph, "RGB")
    if image.size != SIZE:
        raise photograph.refuse("it has {} x {} px; the aligned faces have {} x {} px".format(*image.size, *SIZE))
    left, top = (image.width - CROP) // 2, (image.height - CROP) // 2
    square = image.crop((left, top, left + CROP, top + CROP))
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
    rows = [*map(_row, read_lines(lists[0]))]
    images = tuple(home / "img_align_celeba" / name for name, part in rows if part == PARTS[split])[:count]
    refuse_missing(f"celeba ({split})", images, LICENCE, GET)
    return Files(folder=home, lists=lists, images=images, labels=())


def _row(line: Line) -> tuple[str, str]:
    """The name of an image and the number of its split."""
    words = line.text.split()
    if len(words) != 2 or words[1] not in PARTS.values():
        raise line.refuse("expected the name of an image and the number of its split, 0 to 2")
    if inside(Path(), words[0]) is None:
        raise line.refuse("expected the name of an image below the folder")
    return words[0], words[1]
