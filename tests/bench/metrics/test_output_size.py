"""The size of the output, and why there is none."""

import pytest
from torch import nn

from bench.hardware.subject import Subject
from bench.metrics.output_size import output_size
from bench.registry.errors import DoesNotApplyError


def test_height_and_the_whole_shape_of_one_image():
    reading = output_size(Subject(lambda: nn.Conv2d(3, 5, 3, stride=2), (3, 11, 21), batch=4))
    assert (reading.value, reading.detail) == (5, {"shape": [5, 5, 10], "width": 10})


def test_logits_have_no_height():
    logits = Subject(lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 7)), (3, 2, 2))
    with pytest.raises(DoesNotApplyError, match=r"^an output of shape \[7\] has no height$"):
        output_size(logits)
