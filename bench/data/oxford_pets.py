"""Oxford-IIIT Pet: cats and dogs with their outlines, in the folder that torchvision's loader makes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from bench.data.examples import IGNORE, Examples
from bench.data.images import load_pairs
from bench.data.lists import Line, inside, read_lines, refuse_repeated
from bench.data.locate import Files, not_found, present, refuse_missing
from bench.registry import dataset

LICENCE = "CC BY-SA 4.0"
GET = "torchvision.datasets.OxfordIIITPet(DATA, download=True), which makes the folder oxford-iiit-pet"
LISTS = {"train": "trainval.txt", "test": "test.txt"}
PET, BACKGROUND, BORDER = 1, 2, 3
"""The values of a trimap."""
NAMES = ("background", "pet", "border")
PALETTE = ((60, 70, 80), (230, 159, 0), (240, 228, 66))


@dataset(
    task="segmentation",
    licence=LICENCE,
    source="Parkhi et al. 2012, CVPR",
    get=GET,
    splits=("train", "test"),
    requires={"classes": 2},
)
def oxford_pets(root: Path | None, split: str, shape: tuple[int, int, int], *, classes: Literal[2, 3] = 2) -> Examples:
    """Pet and background; the border is not scored, or with 3 `classes` a class. Resized to `shape` (C, H, W).

    The split train is the published trainval. Raises DataNotFound, and ValueError for a trimap with other values than
    1 to 3 or of another size than its image, and for a file that cannot be read.
    """
    import torch

    listed = files(root, split)
    meaning = {BACKGROUND: 0, PET: 1, BORDER: 2 if classes == 3 else IGNORE}
    images, labels = load_pairs(listed.images, listed.labels, shape, meaning)
    return Examples(
        images=torch.from_numpy(images),
        targets={"labels": torch.from_numpy(labels)},
        names=NAMES[:classes],
        ignore=IGNORE,
        palette=PALETTE[:classes],
    )


def folders(root: Path) -> list[Path]:
    """Where the folder oxford-iiit-pet lies: the data folder, and a folder of torchvision's there."""
    return [root, root / "torchvision"]


def files(root: Path | None, split: str, *, classes: int = 2) -> Files:
    """The list, images and trimaps of a split. Raises DataNotFound, ValueError for an unknown split or a wrong line."""
    if split not in LISTS:
        raise ValueError(f"oxford_pets has the splits {' and '.join(LISTS)}, not '{split}'")
    homes = [home / "oxford-iiit-pet" for home in folders(root)] if root else []
    candidates = [home / "annotations" / LISTS[split] for home in homes]
    path = present(candidates)
    if path is None:
        raise not_found(f"oxford_pets ({split})", candidates, LICENCE, GET)
    home, lines = path.parents[1], read_lines(path)
    if not lines:
        raise ValueError(f"{path}: the list is empty: expected the name of an image on every line")
    names = [_name(line) for line in lines]
    images = tuple(home / "images" / f"{name}.jpg" for name in names)
    labels = tuple(home / "annotations" / "trimaps" / f"{name}.png" for name in names)
    refuse_missing(f"oxford_pets ({split})", (*images, *labels), LICENCE, GET)
    refuse_repeated(lines, images)
    return Files(folder=home, lists=(path,), images=images, labels=labels)


def _name(line: Line) -> str:
    """The first of the four entries of a line: name, class, species, breed."""
    name = line.text.split()[0]
    if len(line.text.split()) != 4 or inside(Path(), name) is None:
        raise line.refuse("expected the name of an image and three numbers")
    return name
