from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.examples import IGNORE, DataNotFound
from bench.data.voc import voc


@pytest.mark.parametrize("below", [".", "voc"])
@pytest.mark.parametrize("year", [2012, 2007])
def test_a_tree_in_the_devkits_layout_is_read(tmp_path, write_voc, below, year):
    write_voc(tmp_path / below, year)
    examples = voc(tmp_path, "val", (3, 20, 30), year=year)
    labels = examples.targets["labels"]
    assert examples.images.shape == (2, 3, 20, 30)
    assert labels.shape == (2, 20, 30)
    assert set(labels.unique().tolist()) == {15, IGNORE}
    assert (labels[0, :10, :10] == IGNORE).all()
    assert (labels[0, :, 10:] == 15).all()
    assert examples.names[15] == "person"
    assert examples.palette[15] == (192, 128, 128)
    assert len(examples.names) == len(set(examples.palette)) == 21
    colour = torch.tensor([200.0, 100.0, 50.0])[None, :, None, None]
    assert (examples.images.float() - colour).abs().max() < 8
    assert not examples.publishable


def test_missing_data_says_where_it_was_looked_for_and_how_to_get_it(tmp_path):
    with pytest.raises(DataNotFound) as error:
        voc(tmp_path, "val", (3, 20, 30))
    message = str(error.value)
    assert str(tmp_path / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation" / "val.txt") in message
    assert "licence: " in message
    assert "VOCSegmentation" in message
    assert len(message.splitlines()) == 2


def test_a_missing_image_is_named(tmp_path, write_voc):
    home = write_voc(tmp_path)
    (home / "JPEGImages" / "b.jpg").unlink()
    with pytest.raises(DataNotFound, match=r"JPEGImages/b\.jpg"):
        voc(tmp_path, "val", (3, 20, 30))


def test_labels_out_of_range_are_refused(tmp_path, write_voc):
    home = write_voc(tmp_path)
    Image.fromarray(np.full((20, 30), 21, dtype=np.uint8)).save(home / "SegmentationClass" / "a.png")
    with pytest.raises(ValueError, match=r"a\.png: 21 is no label"):
        voc(tmp_path, "val", (3, 20, 30))
