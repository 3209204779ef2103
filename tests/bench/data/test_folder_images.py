"""The dataset `folder_images`: images are cropped or stretched to the shape, split, and refused with their name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.folder_images import files, folder_images

SHAPE = (3, 8, 8)


@pytest.fixture
def home(tmp_path):
    """Images 0.png to 4.png of 16 x 8 px: the outer quarters light, the middle dark by number; one of 8 x 8 below."""
    (tmp_path / "mine" / "more").mkdir(parents=True)
    for k in range(5):
        pixels = np.full((8, 16, 3), 250, np.uint8)
        pixels[:, 4:12] = 10 * k
        Image.fromarray(pixels).save(tmp_path / "mine" / f"{k}.png")
    Image.new("RGB", (8, 8), (100, 150, 200)).save(tmp_path / "mine" / "more" / "x.jpg", quality=100)
    return tmp_path / "mine"


def test_images_are_cropped_or_stretched_and_quantised(home):
    (home / "train.txt").write_text("1\n4\n")
    (home / "val.txt").write_text("more/x\n")
    cropped = folder_images(home.parent, "train", SHAPE, path="mine")
    assert cropped.images.unique().tolist() == [10, 40]
    assert torch.equal(cropped.images, cropped.targets["pixels"])
    stretched = folder_images(home.parent, "train", SHAPE, path="mine", fit="stretch")
    assert stretched.images[0, 0, 4, [0, 4, 7]].tolist() == [250, 10, 250]
    two = folder_images(home.parent, "val", SHAPE, path="mine", levels=2)
    assert two.targets["pixels"][0, :, 0, 0].tolist() == [0, 1, 1]
    assert two.images[0, :, 0, 0].tolist() == [0, 255, 255]
    grey = folder_images(home.parent, "train", (1, 8, 8), path="mine", channels=1, publish=True)
    assert (grey.images.shape, grey.publishable, grey.names) == ((2, 1, 8, 8), True, ())


def test_a_fraction_counts_images_of_folders_below(home):
    split = {s: files(home.parent, s, path="mine", val_fraction=0.5).images for s in ("train", "val")}
    assert {s: len(images) for s, images in split.items()} == {"train": 3, "val": 3}
    assert len({*split["train"], *split["val"]}) == 6


def test_mistakes_name_the_file_and_the_fix(home):
    options = {"path": "mine", "val_fraction": 0.5}
    with pytest.raises(ValueError, match=r"the shape \[1, 8, 8\] has 1 channels, but channels is 3"):
        folder_images(home.parent, "train", (1, 8, 8), **options)
    for name in ("0.png", "more/x.jpg"):
        content = (home / name).read_bytes()
        (home / name).write_bytes(content[:60])
        with pytest.raises(ValueError, match=f"^{home / name}: cannot be read as an image"):
            [folder_images(home.parent, split, SHAPE, **options) for split in ("train", "val")]
        (home / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"^{home}: no train.txt and val.txt: .* or state val_fraction: 0.2"):
        files(home.parent, "train", path="mine")
    for image in home.rglob("*.*"):
        image.unlink()
    with pytest.raises(ValueError, match=rf"^{home}: no images \(files that end with .png"):
        files(home.parent, "train", **options)
