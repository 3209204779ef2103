"""U-Net against its paper: the sizes of Fig. 1 layer by layer, the overlap-tile strategy, its counts."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from arithmetic import bf16_output_tolerance
from torch import Tensor, nn

from architectures.unet import mirrored, unet
from bench.metrics.receptive_field import receptive_field
from bench.registry import RegistryError

SMALL: dict[str, Any] = {"width": 0.05, "classes": 3}
VALID: dict[str, Any] = SMALL | {"padding": "valid"}


def on_meta(**axes: Any) -> nn.Module:
    with torch.device("meta"):
        return unet(**axes).eval()


def network(seed: int = 0, **axes: Any) -> nn.Module:
    torch.manual_seed(seed)
    return unet(**axes).eval()


def image(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1), dtype=dtype)


def sizes(net: nn.Module, kind: type[nn.Module], channels: int, *size: int) -> list[tuple[int, ...]]:
    """(channels, height) of what every layer of this kind gives, in the order they run."""
    seen: list[tuple[int, ...]] = []
    for module in net.modules():
        if isinstance(module, kind):
            module.register_forward_hook(lambda m, i, output: seen.append(tuple(output.shape[1:3])))
    net(torch.empty(1, channels, *size, device="meta"))
    return seen


# --- Fig. 1

FIG_1 = [(64, 570), (64, 568), (128, 282), (128, 280), (256, 138), (256, 136), (512, 66), (512, 64)]
FIG_1 += [(1024, 30), (1024, 28), (512, 54), (512, 52), (256, 102), (256, 100), (128, 198), (128, 196)]
FIG_1 += [(64, 390), (64, 388), (2, 388)]


def test_maps_have_the_sizes_of_figure_1() -> None:
    net = on_meta(padding="valid", border="cut", channels=1, classes=2)
    assert sizes(net, nn.Conv2d, 1, 572, 572) == FIG_1
    assert sizes(net, nn.ConvTranspose2d, 1, 572, 572) == [(512, 56), (256, 104), (128, 200), (64, 392)]


def test_an_image_of_388_px_is_mirrored_to_the_tile_of_572() -> None:
    net = on_meta(padding="valid", channels=1, classes=2)
    assert sizes(net, nn.Conv2d, 1, 388, 388) == FIG_1


@pytest.mark.parametrize(("skip", "params"), [("concat", 31_030_658), ("sum", 27_897_218), ("none", 27_897_218)])
def test_a_sum_costs_the_weights_of_the_joined_half(skip: str, params: int) -> None:
    """Left out: 3x3 weights from the skip's c channels to c, at c = 64, 128, 256, 512: 9 * 348,160 = 3,133,440."""
    assert 31_030_658 - 9 * (64**2 + 128**2 + 256**2 + 512**2) == 27_897_218
    assert sum(p.numel() for p in on_meta(skip=skip, channels=1, classes=2).parameters()) == params


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_field_of_the_deepest_map_follows_the_layers(depth: int) -> None:
    """Two 3x3 convolutions add 4 cells of stride 2^l at level l, each pooling one cell of the level above."""
    by_hand = 1 + sum(4 * 2**level for level in range(depth + 1)) + sum(2**level for level in range(depth))
    net = network(depth=depth, width=0.02, classes=2)
    assert receptive_field(net, (3, 64, 64), sink=net.receptive_field_layers["deepest"]).size == by_hand


# --- the overlap-tile strategy


def reflected(i: int, n: int) -> int:
    """Where position i of an endless mirror pattern of period 2(n - 1) lies in 0..n-1."""
    i %= 2 * (n - 1)
    return min(i, 2 * (n - 1) - i)


@pytest.mark.parametrize(("height", "width"), [(9, 5), (3, 2), (20, 31)])
@pytest.mark.parametrize(("before", "after"), [(0, (0, 0)), (4, (1, 0)), (7, (30, 2)), (25, (26, 40))])
def test_mirroring_goes_on_for_as_long_as_it_takes(
    height: int, width: int, before: int, after: tuple[int, int]
) -> None:
    x = torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width)
    rows = [reflected(i, height) for i in range(-before, height + after[0])]
    columns = [reflected(i, width) for i in range(-before, width + after[1])]
    assert torch.equal(mirrored(x, before, after), x[..., rows, :][..., columns])


def test_what_has_no_inside_cannot_be_mirrored() -> None:
    with pytest.raises(ValueError, match="nothing to be mirrored"):
        mirrored(torch.zeros(1, 1, 1, 5), 1, (1, 1))


def next_even(side: int, depth: int) -> int:
    """Pixels to add until every pooling has an even size, the paper's condition on a tile; found by trying."""

    def even(n: int) -> bool:
        for _ in range(depth):
            if n % 2:
                return False
            n = (n - 4) // 2
        return True

    return next(more for more in range(2**depth) if even(side + more))


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_the_mirrored_output_is_the_cut_one_of_the_mirrored_image(depth: int) -> None:
    whole, cut = (network(border=border, depth=depth, **VALID) for border in ("mirror", "cut"))
    x = image(71, 90)
    tile = mirrored(x, whole.margin, [whole.margin + next_even(n + 2 * whole.margin, depth) for n in (71, 90)])
    assert torch.equal(whole(x), cut(tile)[..., :71, :90])


@pytest.mark.parametrize("skip", ["none", "sum", "concat"])
def test_an_output_pixel_of_a_tile_is_the_same_wherever_the_tile_is_cut(skip: str) -> None:
    """Seamless: two tiles that overlap agree where both are defined, if they are cut on the grid of the poolings."""
    net = network(border="cut", skip=skip, depth=3, **VALID).double()
    x = image(156, 156, dtype=torch.float64)
    whole, part = net(x), net(x[..., 16:, 32:])
    assert part.shape[-2:] == (whole.shape[-2] - 16, whole.shape[-1] - 32)
    torch.testing.assert_close(part, whole[..., 16:, 32:], rtol=1e-9, atol=1e-12)
    assert whole.std() > 1e-3


@pytest.mark.parametrize("depth", [1, 4, 6])
def test_any_size_comes_out_again(depth: int) -> None:
    for padding in ("same", "valid"):
        net = on_meta(padding=padding, depth=depth, **SMALL)
        for size in [(64 + i, 131 - i) for i in range(0, 68, 7)]:
            assert net(torch.empty(1, 3, *size, device="meta")).shape == (1, 3, *size)


# --- the axes


def test_a_padded_network_has_no_border_to_treat() -> None:
    x = image(70, 65)
    assert torch.equal(network(border="mirror", **SMALL)(x), network(border="cut", **SMALL)(x))


@pytest.mark.parametrize("skip", ["sum", "none"])
def test_without_what_it_carries_a_skip_changes_nothing(skip: str) -> None:
    """Concatenation whose weights of the skip are zero, and a sum with a map of zeros, are a net without skips."""
    joined, bare = network(skip="concat" if skip == "none" else skip, **SMALL), network(seed=3, skip="none", **SMALL)
    weights = joined.state_dict()
    for name, weight in bare.state_dict().items():
        if weights[name].shape == weight.shape:
            bare.get_parameter(name).data.copy_(weights[name])
        else:
            outputs = weight.shape[1]
            bare.get_parameter(name).data.copy_(weights[name][:, -outputs:])
            joined.get_parameter(name).data[:, :-outputs] = 0
    x = image(64, 80)
    if skip == "sum":
        assert not torch.equal(joined(x), bare(x))
        for stage in joined.expansions:
            stage.match = Zero()
    torch.testing.assert_close(joined(x), bare(x))


class Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_layout_and_dtype_do_not_change_the_answer(padding: str) -> None:
    net, x = network(norm="batch", padding=padding, **SMALL), image(65, 97)
    expected = net(x)
    moved = copy.deepcopy(net).to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        low = net(x).float()
    assert (low - expected).norm() < bf16_output_tolerance(net) * expected.norm()
    assert copy.deepcopy(net).bfloat16()(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_fake_tensors_pass(padding: str) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        assert unet(padding=padding, **SMALL)(torch.empty(1, 3, 65, 97)).shape == (1, 3, 65, 97)


# --- encoders of timm


@pytest.mark.parametrize("name", ["resnet18", "convnext_femto", "mobilenetv3_small_050", "vgg11", "hrnet_w18_small"])
@pytest.mark.parametrize("axes", [{}, {"depth": 5}, {"skip": "sum"}], ids=str)
def test_timm_networks_serve_as_encoders(name: str, axes: dict[str, Any]) -> None:
    net = on_meta(backbone=f"timm:{name}", **axes)
    for size in [(64, 64), (65, 97)]:
        assert net(torch.empty(2, 3, *size, device="meta")).shape == (2, 21, *size)


@pytest.mark.parametrize(("name", "depth"), [("resnet18", 4), ("mobilenetv3_small_050", 4), ("convnext_femto", 5)])
def test_one_step_reaches_every_parameter_of_a_timm_encoder(name: str, depth: int) -> None:
    """Reaches, if only with zeros: timm starts the last norm of every residual branch of a ResNet at zero."""
    net = network(backbone=f"timm:{name}", depth=depth, **SMALL).train()
    net(torch.randn(2, 3, 64, 64)).square().sum().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []


def test_levels_that_an_encoder_has_no_map_of_have_no_skip() -> None:
    net = on_meta(backbone="timm:convnext_femto", depth=5)
    assert [stage.skip for stage in net.expansions] == ["concat", "concat", "concat", "none", "none"]


@pytest.mark.parametrize(
    ("axes", "hint"),
    [
        ({"backbone": "timm:resnet18", "padding": "valid"}, "take padding=same"),
        ({"backbone": "timm:resnet1B"}, "did you mean 'timm:resnet18'"),
        ({"backbone": "timm:vit_tiny_patch16_224", "depth": 5}, r"strides \[16.*\], not 32"),
        ({"backbone": "resnet18"}, "there is: unet, timm:NAME"),
    ],
    ids=str,
)
def test_backbones_that_cannot_serve_are_refused_with_the_reason(axes: dict[str, Any], hint: str) -> None:
    with pytest.raises(RegistryError, match=hint):
        on_meta(**axes)
