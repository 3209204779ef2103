"""The stages of VGG nets with the switches of their poolings, for decoders that mirror them.

Simonyan & Zisserman 2015 (arXiv:1409.1556), Table 1.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from torch import nn

from architectures.layers.blocks import Norm, convolution, scaled
from architectures.layers.decoding import Trunk
from bench.registry import RegistryError, suggestion

CHANNELS = (64, 128, 256, 512, 512)
CONVOLUTIONS: Mapping[str, tuple[int, ...]] = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
"""Convolutions in each stage, by configuration (A, B, D, E)."""


def vgg_trunk(backbone: str, width: float, norm: Norm, keep_switches: bool) -> Trunk:
    """The five stages of a VGG net, on RGB. Layers bear the names of the published network files."""
    stages: dict[str, nn.Module] = {}
    inputs = 3
    for number, (count, channels) in enumerate(zip(convolutions_of(backbone), CHANNELS, strict=True), start=1):
        layers: dict[str, nn.Module] = {}
        for index in range(1, count + 1):
            outputs = scaled(channels, width)
            layers |= convolution(f"conv{number}_{index}", inputs, outputs, 3, padding=1, norm=norm)
            inputs = outputs
        stages[f"stage{number}"] = nn.Sequential(OrderedDict(layers))
    return Trunk(stages, keep_switches)


def convolutions_of(backbone: str) -> tuple[int, ...]:
    """Convolutions in each stage. Raises RegistryError for what is no VGG net, saying why it must be one."""
    if backbone.startswith("timm:"):
        because = "the decoder mirrors the stages of a VGG net and takes the switches of its 2x2 poolings"
        raise RegistryError(f"backbone '{backbone}' cannot be used here: {because} ({', '.join(CONVOLUTIONS)})")
    if backbone not in CONVOLUTIONS:
        raise RegistryError(f"no backbone is called '{backbone}'{suggestion(backbone, list(CONVOLUTIONS))}")
    return CONVOLUTIONS[backbone]


def mirrored_widths(backbone: str, width: float) -> list[list[tuple[int, int]]]:
    """(inputs, outputs) of the decoder's layers, from the deepest stage on: each stage ends as the next begins.

    As many layers as the encoder's stage has, the last one narrowing (512, 512, 256 at stage 4).
    """
    widths = [scaled(channels, width) for channels in CHANNELS]
    stages = []
    for stage in reversed(range(len(widths))):
        own, after = widths[stage], widths[max(stage - 1, 0)]
        count = convolutions_of(backbone)[stage]
        stages.append([(own, own)] * (count - 1) + [(own, after)])
    return stages
