"""DeconvNet against its paper and network file: layers, waist, switches."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from architectures.deconvnet import Waist, deconvnet
from bench.metrics.receptive_field import receptive_field
from bench.registry import RegistryError

SMALL: dict[str, Any] = {"width": 0.05, "fc_channels": 64, "classes": 3}


def on_meta(**axes: Any) -> nn.Module:
    with torch.device("meta"):
        return deconvnet(**axes).eval()


def network(seed: int = 0, **axes: Any) -> nn.Module:
    torch.manual_seed(seed)
    return deconvnet(**axes).eval()


def image(*size: int) -> Tensor:
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))


def test_parameters_split_as_in_the_network_file() -> None:
    """facts.csv: 134,261,909 of VGG's convolutions, fc6, fc7 and the score, 117,510,336 of the deconvolutions."""
    net = on_meta(norm="none")
    counts = {nn.Conv2d: 0, nn.ConvTranspose2d: 0}
    for module in net.modules():
        if type(module) in counts:
            counts[type(module)] += sum(p.numel() for p in module.parameters())
    assert list(counts.values()) == [134_261_909, 117_510_336]


def test_batch_norm_has_the_affine_maps_of_the_network_file() -> None:
    norms = [m for m in on_meta().modules() if isinstance(m, nn.BatchNorm2d)]
    assert sum(p.numel() for m in norms for p in m.parameters()) == 33_408


def test_an_image_of_224_px_passes_a_waist_of_one_cell() -> None:
    net, seen = on_meta(), []
    net.waist.convolutions.register_forward_hook(lambda m, i, output: seen.append(tuple(output.shape)))
    net(torch.empty(1, 3, 224, 224, device="meta"))
    net(torch.empty(1, 3, 320, 256, device="meta"))
    assert seen == [(1, 4096, 1, 1), (1, 4096, 4, 2)]


def test_the_decoder_narrows_as_the_encoder_widens() -> None:
    deconvolutions = [m for m in on_meta().stages.modules() if isinstance(m, nn.ConvTranspose2d)]
    outputs = [512, 512, 512, 512, 512, 256, 256, 256, 128, 128, 64, 64, 64]
    assert [m.out_channels for m in deconvolutions] == outputs


@pytest.mark.parametrize("padding", ["paper", "same"])
def test_field_of_fc7_is_that_of_the_classifier(padding: str) -> None:
    net = network(padding=padding, width=0.02, fc_channels=8, classes=2)
    assert receptive_field(net, (3, 224, 224), sink=net.receptive_field_layers["fc7"]).size == 404


@pytest.mark.parametrize("size", [(2, 3), (7, 7), (6, 9)])
def test_zeros_fill_a_map_up_to_the_window_and_are_cut_again(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    waist = Waist(4, 6, "none", same=False).eval()
    x = torch.randn(1, 4, *size)
    filled = torch.zeros(1, 4, max(size[0], 7), max(size[1], 7))
    top, left = ((n - s) // 2 for n, s in zip(filled.shape[2:], size, strict=True))
    filled[..., top : top + size[0], left : left + size[1]] = x
    expected = waist.deconvolution(waist.convolutions(filled))
    assert torch.equal(waist(x), expected[..., top : top + size[0], left : left + size[1]])


def test_unpooling_puts_values_where_the_maxima_were() -> None:
    """Only where the switches point can the first deconvolution's input differ from zero."""
    net, seen = network(**SMALL), []
    net.stages["stage1"].register_forward_hook(lambda m, inputs, output: seen.append(inputs[0]))
    net.trunk.stages["stage1"].register_forward_hook(lambda m, inputs, output: seen.append(output))
    net(image(65, 80))
    encoder, unpooled = seen
    windows = torch.nn.functional.max_pool2d(encoder, 2, ceil_mode=True)
    maxima = torch.nn.functional.interpolate(windows, scale_factor=2)[..., :65, :80] == encoder
    assert unpooled.shape == encoder.shape
    assert unpooled.count_nonzero() > 0
    assert not (unpooled.ne(0) & ~maxima).any()


@pytest.mark.parametrize("padding", ["paper", "same"])
@pytest.mark.parametrize("upsampling", ["unpooling", "deconvolution", "bilinear"])
def test_any_size_comes_out_again(upsampling: str, padding: str) -> None:
    net = on_meta(upsampling=upsampling, padding=padding, **SMALL)
    for size in [(64 + i, 131 - i) for i in range(0, 68, 11)]:
        assert net(torch.empty(1, 3, *size, device="meta")).shape == (1, 3, *size)


def test_layout_and_dtype_do_not_change_the_answer() -> None:
    net, x = network(**SMALL), image(65, 97)
    expected = net(x)
    moved = copy.deepcopy(net).to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert net(x).isfinite().all()
    assert copy.deepcopy(net).bfloat16()(x.bfloat16()).dtype == torch.bfloat16


def test_fake_tensors_pass() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        assert deconvnet(**SMALL).eval()(torch.empty(1, 3, 65, 97)).shape == (1, 3, 65, 97)


@pytest.mark.parametrize(
    ("backbone", "hint"), [("timm:resnet18", "switches of its 2x2 poolings"), ("vgg-16", "did you mean 'vgg16'")]
)
def test_another_backbone_is_refused_with_the_reason(backbone: str, hint: str) -> None:
    with pytest.raises(RegistryError, match=hint):
        on_meta(backbone=backbone)
