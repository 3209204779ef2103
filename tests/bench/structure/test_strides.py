"""Strides of maps, and the phases that follow from them, for nets that are coarser than any classifier."""

from itertools import pairwise

import pytest
from torch import nn

from bench.metrics.receptive_field import receptive_field
from bench.structure.fields import ENLARGEMENTS
from bench.structure.strides import strides


def halving(times, *, padding=1):
    return [nn.Conv2d(1, 1, 3, 2, padding) for _ in range(times)]


@pytest.mark.parametrize("times", range(1, 9))
@pytest.mark.parametrize("side", [256, 300, 511])
def test_the_stride_of_a_chain_of_halvings_is_a_power_of_two(times, side):
    result = strides(nn.Sequential(*halving(times)), (1, side, side))
    assert (result.output, result.coarsest) == (2**times, 2**times)


@pytest.mark.parametrize(("steps", "stride"), [((3, 2, 2), 12), ((7, 4), 28), ((2, 2, 2, 2, 3), 48), ((7, 3, 2), 42)])
def test_other_strides_are_whole_numbers_too(steps, stride):
    net = nn.Sequential(*(nn.MaxPool2d(step, ceil_mode=True) for step in steps))
    assert strides(net, (1, 224, 200)).output == stride


@pytest.mark.parametrize("times", [7, 8])
def test_the_field_of_a_decoder_repeats_after_the_coarsest_stride(times):
    # a cell of the coarsest map sees 1 + 2 * (2^k - 1) px; every fine position lies between two cells, which
    # stand 2^k apart
    one, two = 1 + 2 * (2**times - 1), 1 + 2 * (2**times - 1) + 2**times
    for mode, size in (("nearest", one), ("bilinear", two)):
        net = nn.Sequential(*halving(times), nn.Upsample(scale_factor=2**times, mode=mode))
        phases = receptive_field(net, (1, 512, 512)).phases
        assert phases is not None
        assert [len(extents) for extents in phases.map] == [2**times, 2**times]
        assert (phases.minimum, phases.maximum) == (size, size)


def test_inputs_grow_by_multiples_of_the_strides_between_all_sizes_that_are_compared():
    sizes = (0, *ENLARGEMENTS)
    for grown in (b - a for a, b in pairwise(sizes)):
        assert [stride for stride in (256, 48, 42, 28, 12) if grown % stride] == []
