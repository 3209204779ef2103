"""The FCN family against its paper: counts, positions, receptive fields, and the classifier it came from."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from arithmetic import bf16_output_tolerance
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from architectures.fcn import BilinearUpsampling, bilinear_kernel, cropped, fcn, load_classifier
from architectures.layers.classifiers import BACKBONES, Inception, convolutionalise, window_classifier
from bench.metrics.receptive_field import receptive_field
from bench.registry import LIVE, Fact, RegistryError

FCN = LIVE.architectures.get("fcn")
SMALL: dict[str, Any] = {"width": 0.05, "fc_channels": 128, "classes": 3}
SAME: dict[str, Any] = SMALL | {"padding": "same"}


def on_meta(**axes: Any) -> nn.Module:
    with torch.device("meta"):
        return FCN.build(**axes).eval()


def network(seed: int = 0, **axes: Any) -> nn.Module:
    torch.manual_seed(seed)
    return FCN.build(**axes).eval()


def image(*size: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1), dtype=dtype)


def shapes(net: nn.Module, *size: int) -> dict[str, tuple[int, ...]]:
    """The side lengths of what every module named a score gives, recorded on the meta device."""
    seen: dict[str, tuple[int, ...]] = {}

    def recorder(name: str) -> Any:
        return lambda module, inputs, output: seen.update({name: tuple(output.shape[-2:])})

    for name, module in net.named_modules():
        if name.endswith("score"):
            module.register_forward_hook(recorder(name))
    net(torch.empty(1, 3, *size, device="meta"))
    return seen


# --- published numbers


def facts(*quantities: str) -> list[Any]:
    chosen = [f for f in FCN.facts if f.quantity.split("/")[0] in quantities and not f.disputed]
    return [pytest.param(f, id=" ".join(map(str, (f.quantity, f.value, *f.when.values())))) for f in chosen]


def agrees(measured: float, fact: Fact) -> bool:
    return (measured if fact.digits is None else round(measured / fact.scale, fact.digits)) == fact.value


@pytest.mark.parametrize("fact", facts("params"))
def test_parameter_counts_are_the_published_ones(fact: Fact) -> None:
    net = on_meta(**fact.when)
    counted = net.buffers() if fact.quantity == "params/buffers" else net.parameters()
    assert agrees(sum(t.numel() for t in counted), fact)


@pytest.mark.parametrize("fact", facts("macs"))
def test_macs_are_the_known_ones(fact: Fact) -> None:
    with FlopCounterMode(display=False) as counter:
        on_meta(**fact.when)(torch.empty(1, *fact.shape, device="meta"))
    assert agrees(counter.get_total_flops() / 2, fact)


@pytest.mark.parametrize(("stride", "weights"), [(32, 1_806_336), (16, 458_640), (8, 127_008)])
def test_deconvolutions_have_the_weights_of_the_network_files_and_only_learned_ones_count(
    stride: int, weights: int
) -> None:
    count = {
        how: sum(p.numel() for p in on_meta(stride=stride, upsampling=how).parameters()) for how in ("fixed", "learned")
    }
    assert count["learned"] - count["fixed"] == weights


@pytest.mark.parametrize(("backbone", "layers"), [("alexnet", 8), ("vgg16", 16), ("googlenet", 22)])
def test_number_of_layers_on_the_longest_path(backbone: str, layers: int) -> None:
    net = on_meta(backbone=backbone, stride=32)
    convolutions = sum(isinstance(layer, nn.Conv2d) for layer in net.encoder)
    inceptions = sum(isinstance(layer, Inception) for layer in net.encoder)
    assert convolutions + 2 * inceptions + 1 == layers  # + 1: the score layer


def test_blob_shapes_and_crop_offsets_of_the_network_files() -> None:
    """500x500 with pad 100; shapes from facts.csv, offsets from the Crop layers of the published files."""
    net = on_meta(stride=8)
    assert shapes(net, 500, 500) == {
        "score": (16, 16),
        "fuse_pool4.score": (44, 44),
        "fuse_pool4.upscore": (34, 34),
        "fuse_pool3.score": (88, 88),
        "fuse_pool3.upscore": (70, 70),
        "upscore": (568, 568),
    }
    assert (net.fuse_pool4.cells, net.fuse_pool3.cells, net.border) == (-5, -9, 31)
    net = on_meta(stride=16)
    assert shapes(net, 500, 500)["upscore"] == (560, 560)
    assert (net.fuse_pool4.cells, net.border) == (-5, 27)
    assert on_meta(stride=32).border == 19


def test_alexnet_has_the_odd_kernel_of_the_network_file() -> None:
    net = on_meta(backbone="alexnet", stride=32)
    assert (net.upscore.weight.shape[-1], net.border) == (63, 18)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_scores_have_stride_32(backbone: str) -> None:
    assert [grid.stride for grid in on_meta(backbone=backbone).encoder.grids] == [8, 16, 32]


# --- receptive fields, by gradients that can neither cancel nor die: all weights positive, no ReLU, no LRN,
# average instead of maximum over the same windows


def positive(net: nn.Module) -> nn.Module:
    for name, module in list(net.named_modules()):
        parent = net.get_submodule(name.rpartition(".")[0])
        if isinstance(module, nn.MaxPool2d):
            average = nn.AvgPool2d(module.kernel_size, module.stride, module.padding, ceil_mode=True)
            setattr(parent, name.rpartition(".")[2], average)
        if isinstance(module, (nn.ReLU, nn.LocalResponseNorm)):
            setattr(parent, name.rpartition(".")[2], nn.Identity())
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
    return net.double()


def field_of(net: nn.Module, tap: str, side: int) -> tuple[int, int]:
    kept: list[Tensor] = []
    net.get_submodule(tap).register_forward_hook(lambda module, inputs, output: kept.append(output))
    x = torch.ones(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    net(x)
    middle = kept[0].shape[-1] // 2
    (gradient,) = torch.autograd.grad(kept[0][0, 0, middle, middle], x)
    reached = gradient[0].sum(0) > 0
    return int(reached.any(1).sum()), int(reached.any(0).sum())


@pytest.mark.parametrize("fact", facts("receptive_field"))
def test_receptive_fields_are_the_published_ones(fact: Fact) -> None:
    net = positive(network(**fact.when, width=0.01, fc_channels=100, classes=2))
    tap = net.receptive_field_taps[fact.quantity.partition("/")[2] or "score"]
    assert field_of(net, tap, side=int(fact.value) + 160) == (fact.value, fact.value)


@pytest.mark.parametrize("fact", facts("receptive_field"))
def test_the_harness_finds_the_same_receptive_fields(fact: Fact) -> None:
    field = receptive_field(network(**fact.when, width=0.01, fc_channels=100, classes=2), (3, 224, 224))
    part = fact.quantity.partition("/")[2]
    assert (field.paths[part] if part else field.size) == fact.value


def test_taps_name_the_score_layers_there_are() -> None:
    assert set(on_meta(stride=32).receptive_field_taps) == {"score"}
    assert set(on_meta(stride=16).receptive_field_taps) == {"score", "pool4"}
    assert set(on_meta(stride=8, skips="pool4").receptive_field_taps) == {"score", "pool4"}
    assert set(on_meta(stride=8, skips=False).receptive_field_taps) == {"score"}
    net = on_meta()
    assert {k: type(net.get_submodule(v)) for k, v in net.receptive_field_taps.items()} == dict.fromkeys(
        ("score", "pool4", "pool3"), nn.Conv2d
    )


# --- the converted net is the sliding window


def without_padding(classifier: nn.Sequential) -> nn.Sequential:
    bare = copy.deepcopy(classifier)
    for module in bare.modules():
        if isinstance(module, nn.Conv2d):
            module.padding = (0, 0)
    return bare


@pytest.mark.parametrize(("backbone", "field"), [("vgg16", 404), ("alexnet", 355)])
def test_converted_net_is_the_sliding_window_classifier_at_every_position(backbone: str, field: int) -> None:
    """One pass over an image against the classifier on every window, a window being a cell's receptive field.

    The trunk pads inside: at the rim of a window cut out of an image the classifier would see zeros where the
    dense net sees neighbours. Both compute the same where neither touches that padding. So the classifier's
    copy has none, and looks at windows as wide as the receptive field, which it shrinks to exactly the map
    that its linear layers take; the dense net is compared at all cells whose field lies within the image as
    the first convolution sees it: 100 px of zeros around, beyond which the inner padding begins.
    """
    torch.manual_seed(0)
    classifier = window_classifier(backbone=backbone, **SMALL).double().eval()
    net = network(seed=9, backbone=backbone, stride=32, **SMALL).double()
    load_classifier(net, classifier)
    x = image(290, 330, dtype=torch.float64)
    seen = F.pad(x, [100] * 4)
    with torch.no_grad():
        dense = net.score(net.encoder(x)[2])[0]
        sliding, compared = without_padding(classifier), 0
        for row, column in torch.cartesian_prod(*map(torch.arange, dense.shape[1:])).tolist():
            grid = net.encoder.grids[2]
            top, left = (int(grid.offset + grid.stride * i - (field - 1) / 2) + 100 for i in (row, column))
            if min(top, left) >= 0 and top + field <= seen.shape[2] and left + field <= seen.shape[3]:
                window = seen[:, :, top : top + field, left : left + field]
                torch.testing.assert_close(dense[:, row, column], sliding(window)[0], rtol=1e-10, atol=1e-12)
                compared += 1
    assert compared >= 6
    assert dense.std(dim=(1, 2)).min() > 1e-3  # positions differ, so equal by accident they are not


@pytest.mark.parametrize("backbone", [name for name, b in BACKBONES.items() if b.window])
def test_conversion_keeps_the_classifier_on_its_own_window(backbone: str) -> None:
    torch.manual_seed(0)
    classifier = window_classifier(backbone=backbone, **SMALL).double().eval()
    x = image(BACKBONES[backbone].window, BACKBONES[backbone].window, dtype=torch.float64)
    dense = convolutionalise(classifier)
    with torch.no_grad():
        torch.testing.assert_close(dense(x)[:, :, 0, 0], classifier(x))
        assert dense(F.pad(x, [0, 64, 0, 32])).shape == (1, 3, 2, 3)


def test_the_full_size_classifier_has_the_published_parameters_too() -> None:
    """VGG-16 as published has 138,357,544 with 1000 classes."""
    with torch.device("meta"):
        assert sum(p.numel() for p in window_classifier(classes=1000).parameters()) == 138_357_544


def test_conversion_refuses_what_is_no_square_map() -> None:
    with pytest.raises(ValueError, match="no square map"):
        convolutionalise(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6, 2)))


def test_unknown_window_classifier_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'googlenet_average'"):
        window_classifier(backbone="googlenet")


# --- upsampling and fusing


@pytest.mark.parametrize(("factor", "kernel"), [(2, 4), (8, 16), (32, 64)])
def test_upsampling_starts_as_bilinear_interpolation(factor: int, kernel: int) -> None:
    coarse = torch.randn(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    ours = BilinearUpsampling(3, factor, kernel, learned=False)(coarse)
    inner = factor // 2 + factor // 2  # kernel overhang, then the rim where interpolation repeats the edge
    theirs = F.interpolate(coarse, scale_factor=factor, mode="bilinear", align_corners=False)
    cut = slice(factor // 2, -(factor // 2))
    torch.testing.assert_close(ours[..., inner:-inner, inner:-inner], theirs[..., cut, cut])


def test_odd_kernel_keeps_the_samples_and_joins_them_linearly() -> None:
    line = bilinear_kernel(2, factor=4, kernel=7)[0, 0, 3]
    assert line.tolist() == [0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25]
    assert bilinear_kernel(2, factor=4, kernel=7)[0, 1].count_nonzero() == 0


def test_without_skips_nothing_else_changes() -> None:
    """The same weights with the skip scores at zero give the same output: bit by bit."""
    whole, bare = network(**SAME), network(seed=5, skips=False, **SAME)
    left_out = bare.load_state_dict(
        {k: v for k, v in whole.state_dict().items() if k in bare.state_dict()}
    ).missing_keys
    assert left_out == []
    x = image(97, 130)
    assert not torch.equal(whole(x), bare(x))
    for name in ("fuse_pool4.score", "fuse_pool3.score"):
        for p in whole.get_submodule(name).parameters():
            nn.init.zeros_(p)
    assert torch.equal(whole(x), bare(x))


def test_pool4_alone_is_the_net_whose_pool3_scores_are_zero() -> None:
    whole, partial = network(**SAME), network(seed=5, skips="pool4", **SAME)
    partial.load_state_dict({k: v for k, v in whole.state_dict().items() if k in partial.state_dict()})
    for p in whole.fuse_pool3.score.parameters():
        nn.init.zeros_(p)
    assert torch.equal(whole(image(96, 64)), partial(image(96, 64)))


def test_scores_of_a_skip_are_added_as_they_are() -> None:
    fusion = network(**SAME).fuse_pool4
    nn.init.zeros_(fusion.score.weight)
    nn.init.constant_(fusion.score.bias, 3.0)
    coarse, skip = torch.randn(1, 3, 2, 3), torch.randn(1, fusion.score.in_channels, 4, 6)
    torch.testing.assert_close(fusion(coarse, skip), fusion.upscore(coarse)[..., 1:5, 1:7] + 3)


def test_fixed_and_learned_upsampling_start_equal_and_exchange_states() -> None:
    fixed, learned = network(**SAME), network(seed=5, upsampling="learned", **SAME)
    learned.load_state_dict(fixed.state_dict())
    assert torch.equal(fixed(image(96, 64)), learned(image(96, 64)))
    assert {n for n, _ in learned.named_parameters()} - {n for n, _ in fixed.named_parameters()} == {
        "fuse_pool4.upscore.weight",
        "fuse_pool3.upscore.weight",
        "upscore.weight",
    }


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_maps_are_placed_without_a_shift(stride: int) -> None:
    """With mirror-symmetric kernels a mirrored image gives mirrored scores, if no crop is off by a cell."""
    net = network(stride=stride, **SAME).double()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = (module.weight.data + module.weight.data.flip(-1)) / 2
            module.weight.data = (module.weight.data + module.weight.data.flip(-2)) / 2
    x = image(96, 64, dtype=torch.float64)
    torch.testing.assert_close(net(x.flip(-1, -2)), net(x).flip(-1, -2))


# --- any size, any axis value


SIZES = [(64, 64), (65, 97), (120, 160), (71, 333), *((64 + i, 131 - i) for i in range(68))]


@pytest.mark.parametrize("padding", ["paper", "same"])
@pytest.mark.parametrize("stride", [32, 16, 8])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_output_has_the_size_of_the_input(backbone: str, stride: int, padding: str) -> None:
    net = on_meta(backbone=backbone, stride=stride, padding=padding)
    for size in SIZES:
        assert net(torch.empty(2, 3, *size, device="meta")).shape == (2, 21, *size)


def test_scores_reach_every_pixel() -> None:
    """A constant positive score makes every pixel positive: nothing is cut from beyond the upsampled map."""
    for backbone in BACKBONES:
        for padding in ("paper", "same"):
            net = network(backbone=backbone, stride=32, padding=padding, **SMALL)
            nn.init.zeros_(net.score.weight)
            nn.init.ones_(net.score.bias)
            assert net(torch.zeros(1, 3, 75, 70)).min() > 0, (backbone, padding)


@pytest.mark.parametrize(("start", "height", "width"), [(-1, 2, 2), (0, 5, 2), (3, 2, 2), (0, 0, 2)])
def test_a_crop_never_comes_out_smaller_than_asked(start: int, height: int, width: int) -> None:
    with pytest.raises(ValueError, match="not in a map of"):
        cropped(torch.zeros(1, 1, 4, 4), start, height, width)


def axis_values() -> list[Any]:
    chosen = [(a.name, v) for a in FCN.axes for v in a.choices]
    chosen += [("backbone", b) for b in BACKBONES]
    chosen += [("width", 0.01), ("width", 1.5), ("fc_channels", 2), ("dropout", 0.0), ("classes", 1)]
    return [pytest.param(*c, id=f"{c[0]}-{c[1]}") for c in chosen]


@pytest.mark.parametrize(("axis", "value"), axis_values())
def test_every_axis_value_builds_from_the_default_variant(axis: str, value: Any) -> None:
    classes = value if axis == "classes" else 21
    assert on_meta(**{axis: value})(torch.empty(1, 3, 70, 64, device="meta")).shape == (1, classes, 70, 64)


def test_a_choice_of_skips_at_stride_32_is_refused() -> None:
    with pytest.raises(RegistryError, match="nothing to fuse"):
        FCN.build(stride=32, skips="pool4")


# --- training and keeping


TRAINED = [
    {},
    {"norm": "batch"},
    {"stride": 32},
    {"skips": False},
    {"skips": "pool4", "upsampling": "learned"},
    {"backbone": "alexnet"},
    {"backbone": "googlenet", "norm": "batch"},
    {"backbone": "googlenet_average"},
]


@pytest.mark.parametrize("axes", TRAINED, ids=str)
def test_one_step_reaches_every_parameter(axes: dict[str, Any]) -> None:
    net = network(**SAME | {"width": 0.125} | axes).train()
    x, labels = torch.randn(2, 3, 96, 96), torch.randint(0, 3, (2, 96, 96))
    F.cross_entropy(net(x), labels).backward()
    idle = [n for n, p in net.named_parameters() if p.grad is None or p.grad.count_nonzero() == 0]
    assert idle == []


def test_a_state_survives_saving_and_evaluation_is_deterministic(tmp_path: Any) -> None:
    first, second = network(norm="batch", **SAME), network(seed=7, norm="batch", **SAME)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    x = image(64, 90)
    assert torch.equal(first(x), second(x))
    assert torch.equal(first(x), first(x))


def test_layout_and_dtype_do_not_change_the_answer() -> None:
    net, x = network(norm="batch", **SAME), image(65, 97)
    expected = net(x)
    moved = copy.deepcopy(net).to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        low = net(x).float()
    assert (low - expected).norm() < bf16_output_tolerance(net) * expected.norm()
    assert copy.deepcopy(net).bfloat16()(x.bfloat16()).dtype == torch.bfloat16


def test_fake_tensors_pass() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        assert fcn(**SAME)(torch.empty(1, 3, 65, 97)).shape == (1, 3, 65, 97)


# --- backbones by name


@pytest.mark.parametrize(
    ("backbone", "hint"),
    [
        ("vgg", "did you mean 'vgg16'"),
        ("zzz", "alexnet, vgg16, googlenet, googlenet_average, timm:NAME"),
        ("timm:resnet5O", "did you mean 'timm:resnet50'"),
        ("timm:vit_tiny_patch16_224", r"strides \[16, 16, 16\]"),
    ],
)
def test_unknown_backbones_are_refused_with_what_exists(backbone: str, hint: str) -> None:
    with pytest.raises(RegistryError, match=hint):
        on_meta(backbone=backbone)


@pytest.mark.parametrize(
    ("axis", "value", "own"), [("width", 0.5, 1), ("fc_channels", 512, 4096), ("norm", "batch", "none")]
)
def test_axes_that_a_timm_network_has_no_use_for_are_refused(axis: str, value: object, own: object) -> None:
    with pytest.raises(RegistryError, match=f"leave '{axis}' at {own}$"):
        on_meta(**{"backbone": "timm:resnet18", axis: value})


@pytest.mark.parametrize("padding", ["paper", "same"])
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "efficientnet_lite0", "convnext_tiny"])
def test_timm_networks_serve_as_encoders(name: str, padding: str) -> None:
    net = on_meta(backbone=f"timm:{name}", padding=padding)
    for size in [(64, 64), (65, 97), (120, 160), (101, 333)]:
        assert net(torch.empty(2, 3, *size, device="meta")).shape == (2, 21, *size)


def test_timm_maps_that_come_channels_last_are_turned() -> None:
    net = on_meta(backbone="timm:swin_tiny_patch4_window7_224", padding="same")
    assert net(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 21, 224, 224)


def test_one_step_reaches_every_parameter_of_a_timm_encoder() -> None:
    """Reaches, if only with zeros: timm starts the last norm of every residual branch at zero."""
    net = network(backbone="timm:resnet18", padding="same", classes=3).train()
    F.cross_entropy(net(torch.randn(2, 3, 64, 64)), torch.randint(0, 3, (2, 64, 64))).backward()
    assert [n for n, p in net.named_parameters() if p.grad is None] == []
