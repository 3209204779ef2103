"""Counts as a reader gets them: whole numbers, for one input."""

from __future__ import annotations

import pytest
from torch import nn

from bench.hardware.subject import Subject
from bench.metrics.flops import flops
from bench.metrics.macs import macs
from bench.structure.costs import per_input


@pytest.mark.parametrize("batch", [1, 4])
def test_counts_are_whole_numbers_for_one_input(batch: int) -> None:
    subject = Subject(lambda: nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU()), (3, 8, 8), batch)
    products = 6 * 6 * 5 * 3 * 9
    for reading, expected in ((macs(subject), products), (flops(subject), 2 * products + 2 * 6 * 6 * 5)):
        assert reading.value == expected
        assert isinstance(reading.value, int)
        assert all(isinstance(n, int) for n in reading.detail["operators"].values())


def test_a_count_that_the_batch_does_not_divide_stays_a_fraction() -> None:
    assert per_input(7, 2) == 3.5
