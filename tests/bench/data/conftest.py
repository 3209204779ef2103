"""Tiny trees in the layouts of CamVid and VOC."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.data.examples import IGNORE

sys.path.insert(0, str(Path(__file__).parent))  # for `annotated`, which several tests share

HERE = "{split}/{name}.png {split}annot/{name}.png"


def tiny_camvid(folder: Path, split: str = "train", line: str = HERE, count: int = 3) -> None:
    rng = np.random.default_rng(count)
    for kind in (split, f"{split}annot"):
        (folder / kind).mkdir(parents=True)
    lines = []
    for i in range(count):
        labels = np.kron((np.arange(12) + i) % 12, np.ones((10, 4))).astype(np.uint8)
        Image.fromarray(rng.integers(0, 256, (10, 48, 3), dtype=np.uint8)).save(folder / split / f"{i}.png")
        Image.fromarray(labels).save(folder / f"{split}annot" / f"{i}.png")
        lines.append(line.format(split=split, name=i))
    (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")


def tiny_voc(root: Path, year: int = 2012) -> Path:
    home = root / "VOCdevkit" / f"VOC{year}"
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (home / part).mkdir(parents=True)
    (home / "ImageSets" / "Segmentation" / "val.txt").write_text("a\nb\n")
    for name, size in (("a", (30, 20)), ("b", (20, 40))):
        Image.new("RGB", size, (200, 100, 50)).save(home / "JPEGImages" / f"{name}.jpg", quality=95)
        labels = Image.fromarray(np.full(size[::-1], 15, dtype=np.uint8)).convert("P")
        labels.putdata([15] * (size[0] * size[1]))
        labels.paste(IGNORE, (0, 0, 10, 10))
        labels.save(home / "SegmentationClass" / f"{name}.png")
    return home


@pytest.fixture
def write_camvid():
    return tiny_camvid


@pytest.fixture
def write_voc():
    return tiny_voc
