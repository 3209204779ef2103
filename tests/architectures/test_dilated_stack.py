"""The probe: its field is what its rates say, and a pyramid alone makes it global."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from bench.metrics.receptive_field import receptive_field
from bench.registry.catalogue import declarations, live

STACK = live(declarations().architectures.get("dilated_stack"))
TABLE_1 = (3, 5, 9, 17, 33, 65, 67)
"""Fields of Yu & Koltun's context module behind each of its dilated layers."""


def network(**axes: Any) -> nn.Module:
    torch.manual_seed(0)
    return STACK.build(**{"width": 4, "classes": 2} | axes).eval()


@pytest.mark.parametrize(("layers", "size"), [*enumerate(TABLE_1, start=1)])
def test_fields_are_those_of_the_paper(layers: int, size: int) -> None:
    assert receptive_field(network(rates=(1, 1, 2, 4, 8, 16, 1)[:layers]), (3, 80, 80)).size == size


@pytest.mark.parametrize("rates", [(1, 1, 2, 2, 2), (1, 1, 2, 4, 9), (1, 1, 3, 6, 13)])
def test_the_field_is_a_full_square_about_its_pixel_that_reaches_the_sum_of_the_rates(rates: tuple[int, ...]) -> None:
    reach = sum(rates)
    field = receptive_field(network(rates=rates), (3, 64, 64), position=(30, 31))
    assert field.box == ((30 - reach, 31 + reach), (31 - reach, 32 + reach))
    assert field.density == 1.0


def test_a_pixel_beyond_the_field_changes_nothing_and_the_last_one_within_does() -> None:
    net, x = network(rates=(1, 1, 2), width=16), torch.randn(1, 3, 32, 32)
    changed = torch.stack([x[0]] * 2)
    changed[0, :, 16 - 5] += 1
    changed[1, :, 16 - 4] += 1
    with torch.inference_mode():
        before, (beyond, within) = net(x)[0, :, 16], net(changed)[:, :, 16]
    torch.testing.assert_close(beyond, before)
    assert (within - before).abs().max() > 1e-2


def test_rates_change_neither_parameters_nor_operations() -> None:
    sizes = {sum(p.numel() for p in network(rates=rates).parameters()) for rates in ((1, 1, 1), (1, 3, 9))}
    assert len(sizes) == 1


def test_levels_are_means_over_parts_of_the_image() -> None:
    net = network(bins=(1, 2), width=8)
    assert receptive_field(net, (3, 64, 64)).size is None
    assert net.levels.channels == 8 + 2 * 4
    x = torch.randn(1, 8, 12, 10)
    whole, quarters = (level.pool(x) for level in net.levels.levels)
    torch.testing.assert_close(whole[0, :, 0, 0], x.mean(dim=(2, 3))[0])
    torch.testing.assert_close(quarters[0, :, 1, 0], x[0, :, 6:, :5].mean(dim=(1, 2)))


def test_without_batch_norm_layers_have_biases_and_no_statistics() -> None:
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in network(norm="none").modules())
    assert all(m.bias is not None for m in network(norm="none").modules() if isinstance(m, nn.Conv2d))
