"""PSPNet against its paper and network file: counts, levels, pooling, reduction, the auxiliary loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from architectures.pspnet import VOID, Pyramid
from bench.data.examples import IGNORE
from bench.metrics.conventions import CONVENTIONS
from bench.metrics.receptive_field import receptive_field
from bench.registry import Fact, RegistryError
from bench.registry.catalogue import declarations, live
from bench.structure.costs import costs
from bench.structure.tape import record
from bench.sweep.verify import judged
from bench.tasks.segmentation import Segmentation

PSPNET = live(declarations().architectures.get("pspnet"))
SMALL: dict[str, Any] = {"width": 0.125, "backbone": "resnet26", "classes": 3}
MMSEG = {"stem": "32-32-64", "layout": "torchvision"}


def on_meta(**axes: Any) -> nn.Module:
    with torch.device("meta"):
        return PSPNET.build(**axes).eval()


def network(**axes: Any) -> nn.Module:
    torch.manual_seed(0)
    return PSPNET.build(**SMALL | axes)


# --- published numbers


@pytest.mark.parametrize("fact", [f for f in PSPNET.facts if f.quantity == "params"], ids=lambda f: f"{f.value}")
def test_parameter_counts_are_the_published_ones(fact: Fact) -> None:
    count = sum(p.numel() for p in on_meta(**fact.when).parameters())
    assert judged(fact, count)[0] == "reproduced"


def test_the_network_file_has_its_strides_at_the_1x1_convolutions() -> None:
    """What a 3x3 costs more: conv3_1's first 1x1, 256 to 128 channels, on 119x119 in place of 60x60 cells."""
    macs = {layout: costs(record(on_meta(layout=layout), (1, 3, 473, 473))).macs for layout in ("caffe", "dilated")}
    assert round(macs["caffe"] / 1e9, 2) == 161.53
    assert macs["dilated"] - macs["caffe"] == 256 * 128 * (119**2 - 60**2)


def test_mmseg_s_count_is_reproduced_to_its_last_digit_by_its_counter() -> None:
    tape = record(on_meta(classes=19, **MMSEG), (1, 3, 1024, 2048))
    assert round(CONVENTIONS["mmcv_gflops"](tape), 2) == 1429.68
    assert round(costs(tape).macs / 1e9, 2) == 1426.22


@pytest.mark.parametrize(("layout", "field"), [("caffe", 487), ("dilated", 479), ("torchvision", 431)])
def test_receptive_fields_of_the_trunk(layout: str, field: int) -> None:
    net = on_meta(layout=layout, width=0.02, classes=3, bins=())
    found = receptive_field(net, (3, 64, 64))
    assert found.paths["encoder"] == field
    assert found.size == field + 2 * 8  # the 3x3 of the head


# --- the pyramid


def sizes(net: nn.Module, x: Tensor) -> dict[str, tuple[int, ...]]:
    """The shapes of what every module of the pyramid gives."""
    found: dict[str, tuple[int, ...]] = {}
    for name, module in net.named_modules():
        module.register_forward_hook(lambda m, i, o, name=name: found.update({name: tuple(o.shape[1:])}))
    net(x)
    return found


def test_60x60_cells_become_four_levels_of_512_channels_and_4096_in_all() -> None:
    found = sizes(on_meta().pyramid, torch.empty(1, 2048, 60, 60, device="meta"))
    assert [found[f"levels.{n}.pool"] for n in range(4)] == [(2048, b, b) for b in (1, 2, 3, 6)]
    assert [found[f"levels.{n}"] for n in range(4)] == [(512, 60, 60)] * 4
    assert found[""] == (4096, 60, 60)


@pytest.mark.parametrize(("size", "cells"), [(473, 60), (713, 90)])
def test_published_inputs_make_published_maps(size: int, cells: int) -> None:
    trunk = on_meta(width=0.02).trunk
    assert trunk(torch.empty(1, 3, size, size, device="meta"))[-1].shape[-2:] == (cells, cells)


@pytest.mark.parametrize(
    ("bins", "reduction", "channels"),
    [((), True, 64), ((1,), True, 128), ((1, 2), True, 128), ((1, 2, 3, 6), True, 128), ((1, 2, 3, 6), False, 320)],
)
def test_channels_with_and_without_reduction(bins: tuple[int, ...], reduction: bool, channels: int) -> None:
    pyramid = Pyramid(64, bins, "average", reduction).eval()
    assert pyramid.channels == channels
    assert pyramid(torch.randn(2, 64, 9, 7)).shape == (2, channels, 9, 7)
    assert sum(1 for _ in pyramid.parameters()) == (3 * len(bins) if reduction else 0)


def test_the_dimension_reduction_is_not_neutral_in_parameters() -> None:
    count = {r: sum(p.numel() for p in on_meta(reduction=r).parameters()) for r in (True, False)}
    assert count[False] - count[True] == 9 * 512 * (5 - 2) * 2048 - 4 * (2048 * 512 + 2 * 512)


@pytest.mark.parametrize(("pooling", "expected"), [("average", [0.0, 1.5]), ("max", [0.0, 3.0])])
def test_a_level_of_one_bin_is_the_mean_or_the_maximum_of_the_map(pooling: Any, expected: list[float]) -> None:
    x = torch.zeros(1, 2, 2, 4)
    x[0, 1, :, 2:] = 3.0
    level = Pyramid(2, (1,), pooling, False)(x)[0, 2:]
    assert torch.equal(level, torch.tensor(expected)[:, None, None].expand(2, 2, 4))


def test_as_many_bins_as_cells_repeat_the_map() -> None:
    x = torch.randn(1, 3, 6, 6)
    torch.testing.assert_close(Pyramid(3, (6,), "average", False)(x), torch.cat([x, x], 1))


@pytest.mark.parametrize(("bins", "reaches_all"), [((), False), ((1,), True), ((1, 2, 3, 6), True)])
def test_one_bin_makes_the_field_global(bins: tuple[int, ...], reaches_all: bool) -> None:
    net = on_meta(bins=bins, **SMALL | {"width": 0.02})
    field = receptive_field(net, (3, 1200, 1200), sink="head", position=(75, 75))
    assert (field.box == ((0, 1200), (0, 1200))) == reaches_all


# --- the auxiliary loss


def labels(*size: int) -> Tensor:
    found = torch.randint(0, 3, size, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    found[0, :9] = VOID
    return found


def test_the_loss_is_that_of_the_task_plus_0_4_times_the_second_head_s() -> None:
    net, truth = network().train(), {"labels": labels(2, 64, 72)}
    outputs = net(torch.randn(2, 3, 64, 72))
    assert {name: tuple(o.shape) for name, o in outputs.items()} == {"out": (2, 3, 64, 72), "aux": (2, 3, 64, 72)}
    known = truth["labels"] != IGNORE
    main, second = (
        F.cross_entropy(outputs[k].permute(0, 2, 3, 1)[known], truth["labels"][known].long()) for k in ("out", "aux")
    )
    torch.testing.assert_close(net.loss(outputs, truth), main + 0.4 * second, rtol=1e-5, atol=0)
    torch.testing.assert_close(Segmentation.loss(outputs, truth), main, rtol=1e-5, atol=0)
    torch.testing.assert_close(net.loss(outputs["out"], truth), main, rtol=1e-5, atol=0)


def test_no_labelled_pixel_costs_nothing() -> None:
    net = network()
    outputs = {"out": torch.randn(1, 3, 4, 4), "aux": torch.randn(1, 3, 4, 4)}
    assert net.loss(outputs, {"labels": torch.full((1, 4, 4), VOID)}) == 0


def test_the_second_head_does_not_run_in_evaluation_and_changes_nothing_there() -> None:
    x = torch.randn(1, 3, 64, 72)
    net = network().eval()
    ran: list[int] = []
    net.auxiliary.register_forward_hook(lambda *_: ran.append(1))
    with torch.no_grad():
        logits = net(x)
    assert logits.shape == (1, 3, 64, 72)
    assert ran == []
    plain = network(auxiliary=0.0).eval()
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if not k.startswith("auxiliary")})
    with torch.no_grad():
        assert torch.equal(plain(x), logits)


def test_without_weight_there_is_no_second_head_and_the_task_owns_the_loss() -> None:
    net = network(auxiliary=0.0).train()
    assert not hasattr(net, "loss")
    assert isinstance(net(torch.randn(2, 3, 64, 64)), Tensor)


@pytest.mark.parametrize("axes", [{}, {"bins": (), "layout": "slim"}, {"reduction": False, "pooling": "max"}], ids=str)
def test_one_image_is_a_batch(axes: dict[str, Any]) -> None:
    net = network(**axes).train()
    net.loss(net(torch.randn(1, 3, 65, 64)), {"labels": labels(1, 65, 64)}).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


# --- backbones


def test_a_timm_backbone_has_its_second_head_on_the_map_before_the_last() -> None:
    net = on_meta(backbone="timm:resnet18").train()
    outputs = net(torch.empty(2, 3, 65, 99, device="meta"))
    assert {o.shape for o in outputs.values()} == {(2, 150, 65, 99)}
    assert net.auxiliary.conv.in_channels == 256


@pytest.mark.parametrize(
    ("axes", "told"),
    [({"backbone": "resnet500"}, "did you mean"), ({"backbone": "timm:resnet18", "width": 0.5}, "leave 'width' at 1")],
)
def test_what_there_is_not_is_refused_in_words(axes: dict[str, Any], told: str) -> None:
    with pytest.raises(RegistryError, match=told):
        on_meta(**axes)
