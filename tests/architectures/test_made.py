from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from autoregressive import before, images, reached
from torch import nn

from architectures.made import made
from bench.hardware.subject import Subject
from bench.metrics.blind_spot import blind_spot
from bench.metrics.receptive_field import receptive_field
from bench.structure.costs import costs
from bench.structure.tape import record

ORDERS = ("rows", "columns", "backwards", "random")
KINDS = [{"order": order, "direct": direct} for order, direct in itertools.product(ORDERS, (False, True))]


def network(**axes: Any) -> Any:
    torch.manual_seed(0)
    net = made(**{"width": 0.2, "size": 4, **axes}).double().eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.5)
    return net


@pytest.mark.parametrize("head", ["categorical", "logistic_mixture"])
@pytest.mark.parametrize("axes", KINDS, ids=str)
def test_probabilities_of_all_images_sum_to_one(axes: dict[str, Any], head: str) -> None:
    for levels, channels, size in ((2, 1, 3), (3, 2, 2)):
        net = network(levels=levels, channels=channels, size=size, head=head, components=2, **axes)
        with torch.no_grad():
            found = net.log_likelihood(images(levels, channels, size, size))
        assert found.exp().std() > 1e-3 / len(found)
        assert float(found.exp().sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("axes", KINDS, ids=str)
def test_a_pixel_changes_all_that_comes_after_it_and_nothing_else(axes: dict[str, Any]) -> None:
    net = network(channels=2, **axes)
    assert torch.equal(reached(net, 2, 4, 4), before(net, 2, 4, 4))


def test_few_hidden_units_miss_pixels_unless_there_are_direct_connections() -> None:
    net = network(width=0.02, direct=False)
    found, due = reached(net, 1, 4, 4), before(net, 1, 4, 4)
    assert not (found & ~due).any()
    assert found.sum() < due.sum()
    assert torch.equal(reached(network(width=0.02), 1, 4, 4), due)


@pytest.mark.parametrize("axes", [{}, {"direct": False, "width": 0.02}], ids=str)
def test_the_blind_spot_is_what_trial_finds(axes: dict[str, Any]) -> None:
    net = network(order="random", **axes)
    last = int(net.conditioning_order(4, 4).argmax())
    seen = int(reached(net, 1, 4, 4)[:, last].sum())
    field = receptive_field(net, (1, 4, 4), position=divmod(last, 4))
    assert field.exact
    assert int(field.mask.sum()) == seen
    assert blind_spot(Subject(lambda: net, (1, 4, 4), dtype="float64")).value == (15 - seen) / 15


@pytest.mark.parametrize(
    "axes", [*KINDS, {"layers": 3, "levels": 3, "channels": 2, "head": "logistic_mixture"}], ids=str
)
def test_samples_with_memory_are_those_without(axes: dict[str, Any]) -> None:
    net = network(**axes)
    kept, naive = (draw(4, torch.Generator().manual_seed(2)) for draw in (net.sample, net.sample_naively))
    assert kept.dtype == torch.uint8
    assert torch.equal(kept, naive)
    assert kept.any()


def test_half_of_the_connections_are_live() -> None:
    """Of D x D direct ones, D (D - 1) / 2."""
    counted = costs(record(made(size=8, levels=2).direct, (1, 64)))
    assert (counted.macs, counted.live) == (64 * 128, 2 * 64 * 63 // 2)


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="state its size"):
        made()(torch.zeros(1, 1, 32, 32))
