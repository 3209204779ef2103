from __future__ import annotations

import dataclasses

import pytest
import torch

from bench.data.examples import Examples

GOOD = Examples(
    images=torch.zeros(2, 3, 4, 4, dtype=torch.uint8),
    targets={"labels": torch.zeros(2, 4, 4, dtype=torch.uint8)},
    names=("a",),
    ignore=255,
    palette=((1, 2, 3),),
)


def test_counts_its_images():
    assert len(GOOD) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(2, 4, 4)}, "images are"),
        ({"targets": {"labels": torch.zeros(3, 4, 4)}}, "2 images, but 3 of target 'labels'"),
        ({"palette": ()}, "1 classes, but 0 colours"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(GOOD, **change)
