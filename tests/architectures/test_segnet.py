"""SegNet and SegNet-Basic against their paper: layers, context, the variants of Table 1; ways to upsample."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from architectures.layers.decoding import Deconvolution, Pool, Unpooling, he_initialise_transposed
from architectures.segnet import segnet, segnet_basic
from bench.metrics.receptive_field import receptive_field
from bench.registry import RegistryError

SMALL: dict[str, Any] = {"width": 0.05, "classes": 3}
DECODERS = ["segnet", "encoder_addition", "single_channel", "bilinear", "fcn", "fcn_no_addition"]
DECODERS += ["fcn_no_reduction", "fcn_no_addition_no_reduction"]
BUILDERS = {"segnet": segnet, "segnet_basic": segnet_basic}


def on_meta(builder: Any, **axes: Any) -> nn.Module:
    with torch.device("meta"):
        return builder(**axes).eval()


def network(builder: Any, seed: int = 0, **axes: Any) -> nn.Module:
    torch.manual_seed(seed)
    return builder(**axes).eval()


def image(*size: int) -> Tensor:
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))


def weights(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


# --- the ways to upsample


@pytest.mark.parametrize("size", [(8, 8), (9, 11), (7, 10)])
def test_unpooling_keeps_the_maxima_and_nothing_else(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)) + 1
    pooled, switches = Pool(keep_switches=True)(x)
    back = Unpooling()(pooled, switches, size)
    assert torch.equal(back[back != 0], x[back != 0])
    assert back.count_nonzero() == pooled.numel()
    assert torch.equal(Pool(keep_switches=True)(back)[0], pooled)


def test_unpooling_without_switches_is_refused() -> None:
    pooled, switches = Pool(keep_switches=False)(torch.zeros(1, 1, 4, 4))
    with pytest.raises(ValueError, match="needs the switches"):
        Unpooling()(pooled, switches, (4, 4))


@pytest.mark.parametrize("kernel", [4, 8])
@pytest.mark.parametrize("size", [(10, 12), (9, 11)])
def test_a_learned_deconvolution_starts_as_bilinear_interpolation(kernel: int, size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    ours = Deconvolution(3, kernel)(x, None, size)
    theirs = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)[..., : size[0], : size[1]]
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours[..., 1:8, 1:10], theirs[..., 1:8, 1:10])  # at the rim zeros join in


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (7, 1), (2, 2)])
def test_transposed_convolutions_keep_the_variance_that_relu_halves(kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose2d(64, 64, kernel, stride)
    he_initialise_transposed(layer)
    inner = layer(torch.randn(4, 64, 24, 24)).detach()[..., kernel:-kernel, kernel:-kernel]
    assert 1.7 < float(inner.var()) < 2.3


# --- SegNet


def test_batch_norm_has_the_affine_maps_of_the_network_file() -> None:
    norms = [m for m in on_meta(segnet).modules() if isinstance(m, nn.BatchNorm2d)]
    assert sum(p.numel() for m in norms for p in m.parameters()) == 15_872


def test_upsampling_is_the_only_difference() -> None:
    """A learned 4x4 deconvolution of each stage's channels, 16 (512 + 512 + 256 + 128 + 64 squared), beside it."""
    count = {how: weights(on_meta(segnet, upsampling=how)) for how in ("unpooling", "bilinear", "deconvolution")}
    assert count["unpooling"] == count["bilinear"]
    assert count["deconvolution"] - count["bilinear"] == 16 * (2 * 512**2 + 256**2 + 128**2 + 64**2)


@pytest.mark.parametrize(("backbone", "layers"), [("vgg11", 16), ("vgg13", 20), ("vgg16", 26), ("vgg19", 32)])
def test_the_decoder_mirrors_the_encoder(backbone: str, layers: int) -> None:
    assert sum(isinstance(m, nn.Conv2d) for m in on_meta(segnet, backbone=backbone).modules()) == layers


@pytest.mark.parametrize(
    ("backbone", "hint"), [("timm:resnet18", "switches of its 2x2 poolings"), ("vgg-16", "did you mean 'vgg16'")]
)
def test_another_backbone_is_refused_with_the_reason(backbone: str, hint: str) -> None:
    with pytest.raises(RegistryError, match=hint):
        on_meta(segnet, backbone=backbone)


# --- SegNet-Basic


@pytest.mark.parametrize(("kernel", "context"), [(7, 106), (5, 76), (3, 46)])
def test_the_context_of_the_deepest_map_is_the_published_one(kernel: int, context: int) -> None:
    """106 px with 7x7; by hand 1 + (kernel - 1 + 1)(1 + 2 + 4 + 8) = 1 + 15 kernel for the other kernels."""
    net = network(segnet_basic, kernel=kernel, **SMALL)
    assert context == 1 + 15 * kernel
    assert receptive_field(net, (3, 64, 64), sink=net.receptive_field_layers["context"]).size == context


def test_the_harness_prints_the_context_beside_the_field_of_the_output() -> None:
    from bench.hardware.subject import Subject
    from bench.metrics.receptive_field import measured

    reading = measured(Subject(lambda: segnet_basic(**SMALL), (3, 96, 96)))
    assert reading.detail["context"] == 106
    assert reading.value > 106


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_no_layer_has_a_bias(norm: str) -> None:
    for decoder in DECODERS:
        convolutions = [m for m in on_meta(segnet_basic, decoder=decoder, norm=norm).modules() if hasattr(m, "bias")]
        assert all(m.bias is None for m in convolutions if not isinstance(m, nn.BatchNorm2d)), decoder


def test_an_addition_is_what_it_says() -> None:
    """The same weights without the sum give the network of the next row of Table 1."""
    for added, bare in (("encoder_addition", "segnet"), ("fcn_no_reduction", "fcn_no_addition_no_reduction")):
        one, other = (network(segnet_basic, decoder=d, **SMALL) for d in (added, bare))
        other.load_state_dict(one.state_dict())
        x = image(64, 80)
        assert not torch.equal(one(x), other(x))
        for stage in one.decoder:
            stage.added = ""
        assert torch.equal(one(x), other(x))


def test_single_channel_decoders_don_t_mix_channels() -> None:
    stages = network(segnet_basic, decoder="single_channel", **SMALL).decoder
    assert all(stage.convolution.conv.groups == stage.convolution.conv.in_channels > 1 for stage in stages)


# --- any size, any layout


@pytest.mark.parametrize(
    ("family", "axes"),
    [("segnet", {"upsampling": u}) for u in ("unpooling", "deconvolution", "bilinear")]
    + [("segnet_basic", {"decoder": d}) for d in DECODERS],
    ids=str,
)
def test_any_size_comes_out_again(family: str, axes: dict[str, Any]) -> None:
    net = on_meta(BUILDERS[family], **SMALL, **axes)
    for size in [(64 + i, 131 - i) for i in range(0, 68, 11)]:
        assert net(torch.empty(1, 3, *size, device="meta")).shape == (1, 3, *size)


@pytest.mark.parametrize("family", BUILDERS)
def test_layout_and_dtype_do_not_change_the_answer(family: str) -> None:
    net, x = network(BUILDERS[family], **SMALL), image(65, 97)
    expected = net(x)
    moved = copy.deepcopy(net).to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        assert net(x).isfinite().all()
    assert copy.deepcopy(net).bfloat16()(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("family", BUILDERS)
def test_fake_tensors_pass(family: str) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        assert BUILDERS[family](**SMALL).eval()(torch.empty(1, 3, 65, 97)).shape == (1, 3, 65, 97)
