"""Tolerances of low precision that follow from the arithmetic, so that they hold on any processor.

bf16 has 8 significant bits: a rounding changes a value by at most 2^-8 of it. In a bf16 mode every convolution or linear
layer rounds three times: its input, its weight and its output (sums are kept in float32, whatever the processor).
"""

from __future__ import annotations

import math

from torch import nn

BF16_ROUNDING = 2.0**-8
ROUNDINGS = 3


def multiplying_layers(*networks: nn.Module) -> int:
    """The layers that multiply by weights, and so run in bf16."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    return sum(isinstance(layer, kinds) for network in networks for layer in network.modules())


def bf16_output_tolerance(network: nn.Module) -> float:
    """The largest relative error (of norms) of the output of a network in bf16.

    Roundings are independent of each other, each with a standard deviation of 2^-8 / sqrt(3), so that three for every
    layer add up to sqrt(layers) * 2^-8; three times that is allowed.
    """
    return 3 * math.sqrt(multiplying_layers(network)) * BF16_ROUNDING


def bf16_gradient_tolerance(*networks: nn.Module) -> float:
    """The largest relative error (of norms) of a gradient that passes through all `networks`, forward and backward.

    Terms of a loss cancel, so roundings are not taken as independent: their bounds add up, twice for every layer.
    """
    return 2 * multiplying_layers(*networks) * ROUNDINGS * BF16_ROUNDING
