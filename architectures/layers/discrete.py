"""Distributions over the levels of a pixel, and networks that give one for each pixel from those before it.

Levels 0 .. L-1 reach a network as floats from -1 to 1, by way of bytes: level l is byte round(255 l / (L-1)).
Log-probabilities are in nats.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST_LOG_SCALE = -7.0
"""Of a logistic, whose range is -1 to 1: a scale of a tenth of a level of 256 (Salimans et al. 2017)."""

HeadName = Literal["categorical", "logistic_mixture"]


def prepared(pixels: Tensor, levels: int) -> Tensor:
    """Levels, uint8 of any shape, as the floats -1 to 1 that networks are fed with (float32)."""
    return (pixels.double() * (255 / (levels - 1))).round().float() / 127.5 - 1


def levelled(images: Tensor, levels: int) -> Tensor:
    """The nearest level, uint8, of floats from -1 to 1; what lies beyond is clipped."""
    return ((images.clamp(-1, 1) + 1) * ((levels - 1) / 2)).round().to(torch.uint8)


class Head(Protocol):
    """A distribution over levels, made of `numbers` parameters a channel on axis 2 of (N, C, numbers, ...)."""

    @property
    def numbers(self) -> int: ...

    @property
    def levels(self) -> int: ...

    def log_probability(self, parameters: Tensor, pixels: Tensor) -> Tensor:
        """(N, C, numbers, ...) and levels (N, C, ...) -> log-probabilities (N, C, ...)."""

    def table(self, parameters: Tensor) -> Tensor:
        """(N, C, numbers, ...) -> log-probabilities of all levels (N, C, L, ...)."""


@dataclass(frozen=True)
class Categorical:
    """A probability for each level, by softmax (van den Oord et al. 2016)."""

    levels: int

    @property
    def numbers(self) -> int:
        return self.levels

    def log_probability(self, parameters: Tensor, pixels: Tensor) -> Tensor:
        return -F.cross_entropy(parameters.transpose(1, 2), pixels.long(), reduction="none")

    def table(self, parameters: Tensor) -> Tensor:
        return parameters.log_softmax(dim=2)


@dataclass(frozen=True)
class LogisticMixture:
    """A mixture of logistics, each level the mass between the midpoints to its neighbours (Salimans et al. 2017).

    The first and the last level take what lies beyond, so that probabilities sum to 1. Of the parameters, a third
    each are the logits of the mixture, means (levels run from -1 to 1) and logarithms of scales.
    """

    levels: int
    components: int

    @property
    def numbers(self) -> int:
        return 3 * self.components

    def log_probability(self, parameters: Tensor, pixels: Tensor) -> Tensor:
        logits, means, log_scales = parameters.chunk(3, dim=2)
        masses = log_logistic_mass(pixels[:, :, None], means, log_scales, self.levels)
        return (logits.log_softmax(dim=2) + masses).logsumexp(dim=2)

    def table(self, parameters: Tensor) -> Tensor:
        """Memory: L times that of the parameters."""
        every = torch.arange(self.levels, device=parameters.device)
        shape = [1, 1, self.levels, *[1] * (parameters.ndim - 3)]
        logits, means, log_scales = parameters.unsqueeze(3).chunk(3, dim=2)
        masses = log_logistic_mass(every.view(shape)[:, :, None], means, log_scales, self.levels)
        return (logits.log_softmax(dim=2) + masses).logsumexp(dim=2)


def log_logistic_mass(pixels: Tensor, means: Tensor, log_scales: Tensor, levels: int) -> Tensor:
    """log P(level) of logistics cut at the midpoints between levels; shapes are broadcast.

    With a and b the standardised lower and upper cut, sigma(b) - sigma(a) = sigma(b) sigma(-a) (1 - e^(a - b)):
    no difference of nearly equal numbers, so no approximation where the mass is small.
    """
    half = 1 / (levels - 1)
    inverse = (-log_scales.clamp(min=SMALLEST_LOG_SCALE)).exp()
    centred = pixels.to(means.dtype) * (2 * half) - 1 - means
    upper = F.logsigmoid((centred + half) * inverse)
    lower = F.logsigmoid(-(centred - half) * inverse)
    inner = upper + lower + (-(-2 * half * inverse).expm1()).log()
    outer = torch.where(pixels == 0, upper, lower)
    return torch.where((pixels == 0) | (pixels == levels - 1), outer, inner)


def distribution(name: HeadName, levels: int, components: int) -> Head:
    """The distribution by its name; `components` are those of a mixture."""
    return Categorical(levels) if name == "categorical" else LogisticMixture(levels, components)


def drawn(log_probabilities: Tensor, generator: torch.Generator) -> Tensor:
    """One level for each row of (N, L): int64 (N,), drawn on the generator's device."""
    chances = log_probabilities.to(generator.device).exp()
    return torch.multinomial(chances, 1, generator=generator)[:, 0].to(log_probabilities.device)


class Autoregressive(nn.Module):
    """A network whose answer at a pixel is the distribution of its levels given the pixels before it.

    `forward`: images (N, C, H, W), prepared -> parameters (N, C * numbers, H, W), those of a channel side by side.
    The channels of a pixel follow one another. `shape` is that of a sample: (C, H, W).
    """

    loss_unit = "bits/dim"

    def __init__(self, head: Head, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.head, self.shape = head, shape

    @abstractmethod
    def conditioning_order(self, height: int, width: int) -> Tensor:
        """The place of every pixel in the order, int64 (H, W): 0 for the one that comes first."""

    def parameters_of(self, outputs: Tensor) -> Tensor:
        """(N, C * numbers, H, W) -> (N, C, numbers, H, W), in single precision at least."""
        split = outputs.unflatten(1, (self.shape[0], self.head.numbers))
        return split.to(torch.promote_types(split.dtype, torch.float32))

    def log_probabilities(self, outputs: Tensor, pixels: Tensor) -> Tensor:
        """Of each image's levels (N, C, H, W), in nats: (N,)."""
        return self.head.log_probability(self.parameters_of(outputs), pixels).flatten(1).sum(1)

    def log_likelihood(self, pixels: Tensor) -> Tensor:
        """Of images of levels, uint8 (N, C, H, W), in nats: (N,)."""
        dtype = next(self.parameters()).dtype
        return self.log_probabilities(self(prepared(pixels, self.head.levels).to(dtype)), pixels)

    def loss(self, outputs: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
        """Bits per dimension of `targets["pixels"]`, uint8 (N, C, H, W)."""
        pixels = targets["pixels"]
        return self.log_probabilities(outputs, pixels).mean() / (-math.log(2) * pixels[0].numel())

    @torch.no_grad()
    def sample_naively(self, count: int, generator: torch.Generator) -> Tensor:
        """Levels uint8 (count, C, H, W), by a whole forward pass for each of C * H * W values; in eval mode."""
        weight = next(self.parameters())
        pixels = torch.zeros(count, *self.shape, dtype=torch.uint8, device=weight.device)
        width = self.shape[2]
        for place in self.conditioning_order(*self.shape[1:]).flatten().argsort().tolist():
            y, x = divmod(place, width)
            for channel in range(self.shape[0]):
                outputs = self(prepared(pixels, self.head.levels).to(weight.dtype))[:, :, y, x]
                pixels[:, channel, y, x] = self.draw(outputs, channel, generator).to(torch.uint8)
        return pixels

    def draw(self, outputs: Tensor, channel: int, generator: torch.Generator) -> Tensor:
        """Levels int64 (N,) of one channel of one pixel, from its parameters (N, C * numbers)."""
        return drawn(self.head.table(self.parameters_of(outputs)[:, channel : channel + 1])[:, 0], generator)
