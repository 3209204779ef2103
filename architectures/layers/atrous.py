"""Blocks that families with atrous convolutions share: the convolution, norms, upsampling, VGG-16 and timm trunks.

Positions: behind layers of odd kernels with padding (kernel-1)/2 * rate, cell i of a map of stride s stands at
pixel s*i of the image. `upsampled` puts the scores of such a map back to where they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from architectures.layers.blocks import Norm
from architectures.layers.pretrained import check_timm, timm_encoder
from bench.registry import RegistryError, suggestion

VGG16 = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
"""Simonyan & Zisserman 2015, configuration D: (convolutions, channels) of the stages."""


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that takes its running statistics where a channel has one value, which has no variance.

    So a network that pools to 1x1 can be trained on a single image; torch's own norm raises ValueError there.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


def atrous_convolution(
    name: str,
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    rate: int = 1,
    padded: bool = True,
    norm: Norm = "batch",
    bias: bool | None = None,
) -> dict[str, nn.Module]:
    """Convolution, norm, ReLU as `name`, `name_norm`, `name_relu`: (N, inputs, H, W) -> (N, outputs, ..).

    `padded` ones keep ceil(size / stride); where kernel and rate need an odd number of zeros, the odd one
    stands behind (`name_pad`). `bias` is by default there where no norm is.
    """
    zeros = rate * (kernel - 1) if padded else 0
    layers: dict[str, nn.Module] = {}
    if zeros % 2:
        layers[f"{name}_pad"] = nn.ZeroPad2d((zeros // 2, zeros // 2 + 1, zeros // 2, zeros // 2 + 1))
    padding = 0 if zeros % 2 else zeros // 2
    bias = norm == "none" if bias is None else bias
    layers[name] = nn.Conv2d(inputs, outputs, kernel, stride, padding, rate, bias=bias)
    if norm == "batch":
        layers[f"{name}_norm"] = BatchNorm(outputs)
    return layers | {f"{name}_relu": nn.ReLU(inplace=True)}


def upsampled(x: Tensor, stride: int, size: Sequence[int]) -> Tensor:
    """Maps whose cell i stands at pixel stride*i, bilinear at every pixel: (N, C, h, w) -> (N, C, *size).

    Between cells as Caffe's Interp layer does (zoom factor `stride`); at sizes that are no multiple of the
    stride plus one, cut, or continued with the last cell's values where there is no cell behind a pixel.
    """
    spanned = [stride * (n - 1) + 1 for n in x.shape[-2:]]
    if stride > 1:
        x = F.interpolate(x, size=spanned, mode="bilinear", align_corners=True)
    missing = [max(n - s, 0) for n, s in zip(size, spanned, strict=True)]
    if any(missing):
        x = F.pad(x, [0, missing[1], 0, missing[0]], mode="replicate")
    return x[..., : size[0], : size[1]]


def vgg16(
    size: Callable[[int], int],
    norm: Norm,
    *,
    pools: Mapping[int, nn.Module],
    rates: Sequence[int] = (1, 1, 1, 1, 1),
    padded: bool = True,
) -> dict[str, nn.Module]:
    """The thirteen convolutions of VGG-16 with a rate for each stage, and a pooling behind those in `pools`.

    `size` gives the channels in place of VGG's own.
    """
    layers: dict[str, nn.Module] = {}
    inputs = 3
    for stage, ((count, channels), rate) in enumerate(zip(VGG16, rates, strict=True), start=1):
        for number in range(1, count + 1):
            name, outputs = f"conv{stage}_{number}", size(channels)
            layers |= atrous_convolution(name, inputs, outputs, 3, rate=rate, padded=padded, norm=norm)
            inputs = outputs
        if stage in pools:
            layers[f"pool{stage}"] = pools[stage]
    return layers


class TimmTrunk(nn.Module):
    """A timm network whose last strides are made atrous: (N, 3, H, W) -> maps (low, middle, deepest).

    `low` is the last map of stride 4 (None where there is none), `middle` the last but one, `deepest` has
    stride `output_stride`. Their cells are assumed at pixels stride*i, as with symmetric padding.
    `pretrained`: see `timm_encoder`. Raises RegistryError for an unknown name, or a network that has no such
    output stride.
    """

    deepest_layer = ""

    def __init__(self, name: str, output_stride: int, pretrained: str = "none") -> None:
        super().__init__()
        check_timm(name)
        self.features: Any
        try:
            self.standardised, self.features = timm_encoder(name, pretrained, output_stride=output_stride)
        except RegistryError:
            raise
        except (TypeError, ValueError, AssertionError, NotImplementedError, RuntimeError) as error:
            raise _no_stride(name, output_stride, error) from None
        strides = self.features.feature_info.reduction()
        if strides[-1] != output_stride or len(strides) < 2:
            raise _no_stride(name, output_stride, f"its maps have strides {strides}")
        self.channels_last = str(getattr(self.features, "output_fmt", "NCHW")).endswith("NHWC")
        self.low = max((i for i, s in enumerate(strides) if s == 4), default=None)
        every = self.features.feature_info.channels()
        self.channels = (0 if self.low is None else every[self.low], every[-2], every[-1])
        self.middle_stride, self.output_stride = strides[-2], output_stride

    def forward(self, image: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        maps = self.features(self.standardised(image))
        if self.channels_last:
            maps = [m.permute(0, 3, 1, 2) for m in maps]
        return None if self.low is None else maps[self.low], maps[-2], maps[-1]


def _no_stride(name: str, stride: int, why: object) -> RegistryError:
    reason = f"{why}".split("\n")[0] or type(why).__name__
    return RegistryError(f"backbone 'timm:{name}' is not to be had with output stride {stride}: {reason}")


def initialise_scores(layer: nn.Conv2d) -> None:
    """Unit gain, biases 0: what a layer of class scores, without a ReLU behind it, starts with."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def unknown_backbone(backbone: str, names: Sequence[str]) -> RegistryError:
    """The error for a name that is neither in `names` nor timm's."""
    hint = suggestion(backbone, list(names))
    ending = hint if "mean" in hint else f" (ending is: {', '.join(names)}, timm:NAME)"
    return RegistryError(f"no backbone is called '{backbone}'{ending}")


def running(layers: Mapping[str, nn.Module]) -> nn.Sequential:
    """A Sequential whose layers bear these names."""
    sequence = nn.Sequential()
    for name, layer in layers.items():
        sequence.add_module(name, layer)
    return sequence
