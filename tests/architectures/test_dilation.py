"""The dilated front end and context module against their paper: counts, fields, borders, identity initialisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from architectures.dilation import CONTEXTS, DILATIONS, MARGIN, Context, FrontEnd, mirrored
from bench.metrics.receptive_field import receptive_field
from bench.registry import RegistryError
from bench.registry.catalogue import declarations, live

DILATION = live(declarations().architectures.get("dilation"))
SMALL: dict[str, Any] = {"width": 0.05, "fc_channels": 128, "classes": 3}
FIELDS = (3, 5, 9, 17, 33, 65, 67, 67)
"""In cells of the scores, behind each layer (Table 1 of the paper)."""


def on_meta(**axes: Any) -> nn.Module:
    with torch.device("meta"):
        return DILATION.build(**axes).eval()


def network(**axes: Any) -> nn.Module:
    torch.manual_seed(0)
    return DILATION.build(**SMALL | axes).eval()


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


# --- published numbers


def test_the_front_end_has_as_many_parameters_as_fcn_32s() -> None:
    assert count(on_meta(context="none")) == 134_346_581


@pytest.mark.parametrize("classes", [21, 11])
def test_the_basic_context_module_has_64_weights_for_each_pair_of_classes(classes: int) -> None:
    context = Context(CONTEXTS["basic"], classes, zeros_first=True, initial="identity")
    weights = sum(p.numel() for p in context.parameters() if p.ndim > 1)
    assert weights == 64 * classes**2
    assert count(context) == weights + 8 * classes


def test_the_large_context_module_has_the_channels_of_table_1() -> None:
    layers = [m for m in Context(CONTEXTS["large"], 21, True, "he").children() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels // 21 for m in layers] == [2, 2, 4, 8, 16, 32, 32, 1]
    assert [m.dilation[0] for m in layers][:-1] == list(DILATIONS) == [1, 1, 2, 4, 8, 16, 1]
    assert count(on_meta(context="large")) - count(on_meta(context="none")) == 15422 * 21**2 + 97 * 21


@pytest.mark.parametrize("context", ["basic", "large"])
@pytest.mark.parametrize("padding", ["paper", "same"])
def test_context_layers_see_the_cells_of_table_1(context: str, padding: str) -> None:
    net = on_meta(context=context, padding=padding, **SMALL)
    for layer, cells in enumerate(FIELDS, start=1):
        field = receptive_field(net, (3, 640, 640), source="front_end.score", sink=f"context.layer{layer}")
        assert field.box is not None
        (start, stop), _ = field.box
        assert stop - start == cells


@pytest.mark.parametrize("padding", ["paper", "same"])
def test_receptive_fields_in_pixels(padding: str) -> None:
    paths = receptive_field(on_meta(padding=padding, **SMALL), (3, 64, 64)).paths
    assert paths == {"front_end": 380} | {f"context{n}": 380 + 8 * (cells - 1) for n, cells in enumerate(FIELDS, 1)}


@pytest.mark.parametrize(("side", "cells"), [(900, 66), (884, 64)])
def test_the_released_input_makes_the_released_map(side: int, cells: int) -> None:
    front_end = on_meta(context="none", **SMALL).front_end
    assert front_end.layers(torch.empty(1, 3, side, side, device="meta")).shape[-2:] == (cells, cells)


def test_the_context_module_keeps_the_map() -> None:
    with torch.device("meta"):
        for zeros_first in (True, False):
            assert Context(CONTEXTS["basic"], 3, zeros_first, "he")(torch.empty(1, 3, 66, 9)).shape == (1, 3, 66, 9)


# --- borders and positions


@pytest.mark.parametrize(
    ("size", "before", "after"), [((5, 7), 3, (4, 2)), ((5, 7), 23, (19, 30)), ((2, 3), 9, (9, 9))]
)
def test_the_image_is_mirrored_as_often_as_it_takes(size: Any, before: int, after: Any) -> None:
    x = torch.arange(float(size[0] * size[1])).reshape(1, 1, *size)
    expected = np.pad(x[0, 0].numpy(), [(before, after[0]), (before, after[1])], mode="reflect")
    assert np.array_equal(mirrored(x, before, after)[0, 0].numpy(), expected)


def test_far_from_the_border_padding_makes_no_difference() -> None:
    """So a cell of the mirrored front end stands where the padded one's does: the margin is right."""
    nets = []
    for mirror in (True, False):
        torch.manual_seed(0)
        nets.append(FrontEnd(0.05, "none", 512, 0.0, 3, mirror).eval())
    image = torch.randn(1, 3, 461, 461)
    with torch.no_grad():
        paper, same = (net(image) for net in nets)
    assert paper.shape == same.shape == (1, 3, 58, 58)
    middle = slice(24, 34)  # 190 px to each side are inside the image
    torch.testing.assert_close(paper[..., middle, middle], same[..., middle, middle], rtol=1e-3, atol=1e-5)
    assert not torch.allclose(paper[..., :5, :5], same[..., :5, :5], rtol=1e-3, atol=1e-5)


def test_the_margin_is_that_of_the_field_around_a_cell_of_eight_pixels() -> None:
    assert 2 * MARGIN == 380 - 8


def test_cells_tile_the_image() -> None:
    """Cell i stands between its pixels 8i+3 and 8i+4: where the line through pixels 8i+4 and 8i+5 leads back to."""
    net = network(context="none")
    image = torch.randn(1, 3, 64, 72)
    with torch.no_grad():
        cells, pixels = net.front_end(image), net(image)
    rows = 1.5 * pixels[..., 4::8, :] - 0.5 * pixels[..., 5::8, :]
    torch.testing.assert_close(1.5 * rows[..., 4::8] - 0.5 * rows[..., 5::8], cells, rtol=1e-4, atol=1e-5)
    assert cells.std() > 0


# --- initialisation


def test_the_basic_module_starts_as_the_identity_of_what_is_positive() -> None:
    x = torch.randn(2, 5, 40, 31)
    for zeros_first in (True, False):
        torch.testing.assert_close(Context(CONTEXTS["basic"], 5, zeros_first, "identity")(x), x.relu())


def test_the_large_module_starts_near_the_identity_and_breaks_ties() -> None:
    torch.manual_seed(0)
    context = Context(CONTEXTS["large"], 3, True, "identity")
    x = torch.rand(1, 3, 12, 12)
    with torch.no_grad():
        out = context(x)
    # noise adds up from layer to layer, so correlation is what is left of the identity
    for channel in range(3):
        assert np.corrcoef(out[0, channel].ravel(), x[0, channel].ravel())[0, 1] > 0.5
    first = next(m for m in context.children() if isinstance(m, nn.Conv2d))
    assert not torch.equal(first.weight[0], first.weight[1])


def test_he_initialisation_is_another() -> None:
    x = torch.rand(1, 3, 12, 12)
    assert not torch.allclose(Context(CONTEXTS["basic"], 3, True, "he")(x), x, atol=0.1)


# --- backbones


@pytest.mark.parametrize(
    ("axes", "told"),
    [
        ({"backbone": "vgg61"}, "did you mean 'vgg16'"),
        ({"backbone": "timm:resnet18"}, "set 'padding' to same"),
        ({"backbone": "timm:resnet18", "padding": "same", "width": 0.5}, "leave 'width' at 1"),
    ],
)
def test_what_there_is_not_is_refused_in_words(axes: dict[str, Any], told: str) -> None:
    with pytest.raises(RegistryError, match=told):
        on_meta(**axes)


def test_a_timm_backbone_has_the_context_module_behind_it() -> None:
    net = on_meta(backbone="timm:resnet18", padding="same")
    assert net(torch.empty(1, 3, 65, 99, device="meta")).shape == (1, 21, 65, 99)
    assert net.context(torch.empty(1, 21, 9, 9, device="meta")).shape == (1, 21, 9, 9)
