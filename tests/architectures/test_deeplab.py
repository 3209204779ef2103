"""DeepLab v1 to v3+ against their papers: counts, fields of view, rates and strides, positions, gridding."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from architectures.deeplab import field_of_view
from architectures.deeplabv3 import rates_at
from architectures.layers.atrous import BatchNorm, TimmTrunk, upsampled
from architectures.layers.resnet import LAYOUTS, UNITS, ResNet, steps
from bench.metrics.conventions import CONVENTIONS
from bench.metrics.receptive_field import receptive_field
from bench.registry import Fact, RegistryError
from bench.registry.catalogue import declarations, live
from bench.structure.costs import costs
from bench.structure.tape import record
from bench.sweep.verify import judged

FAMILIES = {name: live(declarations().architectures.get(name)) for name in ("deeplab", "deeplabv3")}
NARROW: dict[str, Any] = {"width": 0.02, "classes": 3}
SMALL: dict[str, dict[str, Any]] = {
    "deeplab": {"width": 0.125, "fc_channels": 128, "classes": 3},
    "deeplabv3": {"width": 0.125, "backbone": "resnet26", "classes": 3},
}


def on_meta(family: str, **axes: Any) -> nn.Module:
    with torch.device("meta"):
        return FAMILIES[family].build(**axes).eval()


def network(family: str, **axes: Any) -> nn.Module:
    torch.manual_seed(0)
    return FAMILIES[family].build(**SMALL[family] | axes).eval()


# --- published numbers


def facts(quantity: str) -> list[Any]:
    of = [(name, f) for name, entry in FAMILIES.items() for f in entry.facts if f.quantity == quantity]
    return [pytest.param(name, f, id=f"{name} {f.value} {f.when} {f.convention}") for name, f in of]


@pytest.mark.parametrize(("family", "fact"), facts("params"))
def test_parameter_counts_are_the_published_ones(family: str, fact: Fact) -> None:
    count = sum(p.numel() for p in on_meta(family, **fact.when).parameters())
    assert judged(fact, count)[0] == "reproduced"


SPACE_TO_BATCH = [
    ({}, 81.02, 76.05),
    ({"output_stride": 8, "decoder": 2}, 297.92, 273.99),
    ({"output_stride": 32}, 52.43, 51.41),
    ({"decoder": 2, "multi_grid": (1, 1, 1)}, 101.28, 97.81),
]


@pytest.mark.parametrize(("axes", "published", "plain"), SPACE_TO_BATCH, ids=str)
def test_multiply_adds_of_v3_plus_come_within_its_table_by_the_convention_only(
    axes: dict[str, Any], published: float, plain: float
) -> None:
    tape = record(on_meta("deeplabv3", **axes), (1, 3, 513, 513))
    assert costs(tape).macs / 1e9 == pytest.approx(plain, abs=0.005)
    assert CONVENTIONS["space_to_batch_gmacs"](tape) == pytest.approx(published, rel=0.004)
    assert published / plain > 1.015


@pytest.mark.parametrize(("kernel", "rate", "field"), [(7, 4, 224), (4, 4, 128), (4, 8, 224), (3, 12, 224)], ids=str)
def test_the_field_of_view_is_that_of_table_2(kernel: int, rate: int, field: int) -> None:
    assert field_of_view(kernel, rate) == field


def field_by_hand(kernel: int, rate: int, average: bool) -> int:
    """Kernel, stride and rate of every layer of the released network, in their order."""
    layers = [*[(3, 1, 1)] * 2, (3, 2, 1), *[(3, 1, 1)] * 2, (3, 2, 1), *[(3, 1, 1)] * 3, (3, 2, 1)]
    layers += [*[(3, 1, 1)] * 3, (3, 1, 1), *[(3, 1, 2)] * 3, (3, 1, 1), (3, 1, 1) if average else (1, 1, 1)]
    field, jump = 1, 1
    for size, stride, spread in [*layers, (kernel, 1, rate)]:
        field, jump = field + (size - 1) * spread * jump, jump * stride
    return field


@pytest.mark.parametrize(
    ("kernel", "rate", "average", "field"),
    [
        (7, 4, False, 419),
        (4, 4, False, 323),
        (4, 8, False, 419),
        (3, 12, True, 435),
        (3, 12, False, 419),
        (5, 3, 0, 323),
    ],
)
def test_receptive_fields_of_table_2_are_not_its_fields_of_view(
    kernel: int, rate: int, average: bool, field: int
) -> None:
    net = on_meta("deeplab", kernel=kernel, rates=(rate,), average=bool(average), fc_channels=64, **NARROW)
    found = receptive_field(net, (3, 64, 64))
    assert found.size == field == field_by_hand(kernel, rate, bool(average)) > field_of_view(kernel, rate)
    assert found.exact


@pytest.mark.parametrize(("size", "cells"), [(321, 41), (306, 40), (320, 41), (65, 9)])
def test_321_pixels_make_41_cells(size: int, cells: int) -> None:
    net = on_meta("deeplab", **NARROW)
    assert net.trunk(torch.empty(1, 3, size, size, device="meta")).shape[-2:] == (cells, cells)


# --- gridding: which cells of its input a layer of several rates looks at


def seen(net: nn.Module, source: str, sink: str, size: int) -> tuple[int, float]:
    """(side of the box of cells that are looked at, their fraction of it), in the middle."""
    field = receptive_field(net, (3, size, size), source=source, sink=sink)
    assert field.box is not None
    (start, stop), _ = field.box
    return stop - start, field.density


@pytest.mark.parametrize(
    ("rates", "cells", "taps"),
    [((12,), 25, 9), ((6, 12, 18, 24), 49, 33), ((2, 4, 8, 12), 25, 33), ((1,), 3, 9), ((2, 4), 9, 17)],
)
def test_an_atrous_fc6_looks_at_a_grid(rates: tuple[int, ...], cells: int, taps: int) -> None:
    net = on_meta("deeplab", rates=rates, average=False, **NARROW)
    assert seen(net, "trunk", "head", 481) == (cells, pytest.approx(taps / cells**2))


def test_aspp_of_v3_has_the_centre_once_and_eight_taps_for_each_rate() -> None:
    net = on_meta("deeplabv3", backbone="resnet26", image_pooling=False, **NARROW)
    assert seen(net, "trunk.blocks.3", "aspp", 801) == (37, pytest.approx(25 / 37**2))


@pytest.mark.parametrize(("grid", "cells", "met"), [((1, 1, 1), 13, 7), ((1, 2, 4), 29, 15), ((1, 2, 1), 17, 9)])
def test_a_block_of_rate_two_sees_every_other_cell_whatever_its_multi_grid(
    grid: tuple[int, ...], cells: int, met: int
) -> None:
    net = on_meta("deeplabv3", backbone="resnet50", multi_grid=grid, aspp=False, **NARROW)
    assert seen(net, "trunk.blocks.2", "trunk.blocks.3", 801) == (cells, pytest.approx((met / cells) ** 2))


# --- strides and rates of the ResNet


def rates_of(layout: str, output_stride: int, grid: tuple[int, ...] = (1,)) -> list[list[int]]:
    return [[s.rate for s in block] for block in steps(UNITS["resnet50"], LAYOUTS[layout], output_stride, grid)]


def test_rates_at_output_stride_8_by_layout() -> None:
    assert rates_of("slim", 8, (1, 2, 4)) == [[1] * 3, [1] * 4, [2] * 6, [4, 8, 16]]
    assert rates_of("torchvision", 8) == [[1] * 3, [1] * 4, [1, *[2] * 5], [2, 4, 4]]
    assert rates_of("caffe", 8) == rates_of("dilated", 8) == [[1] * 3, [1] * 4, [2] * 6, [4] * 3]
    assert rates_of("slim", 16, (1, 2, 4)) == [[1] * 3, [1] * 4, [1] * 6, [2, 4, 8]]
    assert rates_of("slim", 32) == [[1] * 3, [1] * 4, [1] * 6, [1] * 3]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("output_stride", "blocks"), [(8, 4), (16, 4), (32, 4), (64, 5), (256, 7), (8, 6)])
def test_maps_have_the_strides_that_they_say(layout: Any, output_stride: int, blocks: int) -> None:
    axes: dict[str, Any] = {"layout": layout, "stem": "7x7", "width": 0.02}
    with torch.device("meta"):
        trunk = ResNet("resnet26", output_stride=output_stride, blocks=blocks, **axes)
        low, middle, deepest = trunk(torch.empty(1, 3, 513, 257))
    for x, stride in ((low, 4), (middle, trunk.middle_stride), (deepest, output_stride)):
        assert tuple(x.shape[-2:]) == (math.ceil(513 / stride), math.ceil(257 / stride))
    assert [x.shape[1] for x in (low, middle, deepest)] == list(trunk.channels)


def test_four_blocks_have_no_output_stride_64() -> None:
    with pytest.raises(RegistryError, match="four blocks have output stride 32"):
        on_meta("deeplabv3", output_stride=64)
    with pytest.raises(RegistryError, match="4 blocks have output stride 32 at most"):
        steps(UNITS["resnet50"], LAYOUTS["slim"], 64)


def test_rates_keep_their_reach_at_another_output_stride() -> None:
    assert rates_at(16, (6, 12, 18)) == (6, 12, 18)
    assert rates_at(8, (6, 12, 18)) == (12, 24, 36)
    assert rates_at(32, (6, 12, 18)) == (3, 6, 9)
    assert rates_at(32, (1, 5)) == (1, 3)


@pytest.mark.parametrize(
    ("layout", "output_stride", "field"),
    [("torchvision", 32, 427), ("torchvision", 8, 427), ("dilated", 8, 475), ("slim", 32, 483)],
)
def test_receptive_fields_of_resnet_50(layout: str, output_stride: int, field: int) -> None:
    axes = {"backbone": "resnet50", "stem": "7x7", "layout": layout, "output_stride": output_stride}
    net = on_meta("deeplabv3", multi_grid=(1,), image_pooling=False, **axes, **NARROW)
    assert receptive_field(net, (3, 64, 64)).paths["encoder"] == field


def test_image_pooling_makes_the_field_global() -> None:
    axes: dict[str, Any] = {"backbone": "resnet26", **NARROW}
    with_pooling = receptive_field(on_meta("deeplabv3", **axes), (3, 96, 96))
    assert with_pooling.box == ((0, 96), (0, 96))
    assert with_pooling.paths["scores"] is None
    without = receptive_field(on_meta("deeplabv3", image_pooling=False, **axes), (3, 96, 96))
    assert without.paths["scores"] == without.paths["encoder"] + 2 * 18 * 16


# --- positions


@pytest.mark.parametrize("stride", [1, 4, 8, 16])
@pytest.mark.parametrize("size", [(65, 64), (70, 129), (81, 97)])
def test_scores_are_put_back_to_where_their_cells_stand(stride: int, size: tuple[int, int]) -> None:
    cells = [math.ceil(n / stride) for n in size]
    x = torch.randn(1, 2, *cells, generator=torch.Generator().manual_seed(0))
    whole = upsampled(x, stride, size)
    assert tuple(whole.shape[-2:]) == size
    torch.testing.assert_close(whole[..., ::stride, ::stride], x, rtol=0, atol=1e-5)
    last = stride * (cells[0] - 1)
    assert torch.equal(whole[..., last:, :], whole[..., last : last + 1, :].expand_as(whole[..., last:, :]))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_image_moved_by_a_stride_moves_its_scores(family: str) -> None:
    """By 16 px here, away from the border: cells are where they are said to be, at odd sizes too."""
    narrow = {"width": 0.05, "rates": (1,), "dropout": 0.0, "classes": 3}
    more = {"backbone": "resnet26", "image_pooling": False, "multi_grid": (1,)} if family == "deeplabv3" else {}
    net = network(family, **narrow | more)
    image = torch.randn(1, 3, 673, 65)
    moved = F.pad(image, [0, 0, 16, 0])[..., :673, :]
    with torch.no_grad():
        there, here = net(image), net(moved)
    middle = slice(330, 350)
    torch.testing.assert_close(here[..., 346:366, :], there[..., middle, :], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(here[..., middle, :], there[..., middle, :], rtol=1e-3, atol=1e-4)


# --- training


def test_batch_norm_of_a_single_value_takes_its_running_statistics() -> None:
    ours, theirs = BatchNorm(4).train(), nn.BatchNorm2d(4).train()
    x = torch.randn(3, 4, 2, 2)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    single = torch.randn(1, 4, 1, 1)
    torch.testing.assert_close(ours(single), theirs.eval()(single))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        theirs.train()(single)


def test_one_image_is_a_batch() -> None:
    net = network("deeplabv3").train()
    net(torch.randn(1, 3, 64, 64)).square().mean().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


# --- backbones


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_100", "convnext_atto"])
@pytest.mark.parametrize("output_stride", [8, 16])
def test_timm_networks_are_made_atrous(name: str, output_stride: int) -> None:
    with torch.device("meta"):
        trunk = TimmTrunk(name, output_stride)
        low, middle, deepest = trunk(torch.empty(1, 3, 128, 160))
    assert tuple(deepest.shape) == (1, trunk.channels[2], 128 // output_stride, 160 // output_stride)
    assert tuple(middle.shape[-2:]) == (128 // trunk.middle_stride, 160 // trunk.middle_stride)
    assert low is not None
    assert tuple(low.shape) == (1, trunk.channels[0], 32, 40)


@pytest.mark.parametrize(
    ("family", "axes", "told"),
    [
        ("deeplab", {"backbone": "vgg19"}, "did you mean 'vgg16'"),
        ("deeplab", {"backbone": "timm:resnet5O"}, "did you mean 'timm:resnet50'"),
        ("deeplab", {"backbone": "timm:resnet18", "width": 0.5}, "leave 'width' at 1"),
        ("deeplab", {"backbone": "timm:vit_tiny_patch16_224"}, "output stride 8"),
        ("deeplab", {"rates": ()}, "at least one"),
        ("deeplabv3", {"backbone": "resnet5"}, "did you mean 'resnet"),
        ("deeplabv3", {"backbone": "timm:resnet18"}, r"set 'multi_grid' to \[1\]"),
        ("deeplabv3", {"multi_grid": ()}, "at least one"),
    ],
)
def test_what_there_is_not_is_refused_in_words(family: str, axes: dict[str, Any], told: str) -> None:
    with pytest.raises(RegistryError, match=told):
        on_meta(family, **axes)


def test_a_timm_backbone_serves_v3_plus() -> None:
    net = on_meta("deeplabv3", backbone="timm:resnet18", multi_grid=(1,), decoder=2)
    assert net(torch.empty(2, 3, 65, 99, device="meta")).shape == (2, 21, 65, 99)
