"""MADE: a masked autoencoder, whose masks leave of each output the inputs that come before it.

Germain, Gregor, Murray & Larochelle, ICML 2015 (arXiv:1502.03509). One ordering and one set of masks; the paper's
mixtures over several of both are not here.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from architectures.layers.blocks import scaled
from architectures.layers.discrete import Autoregressive, Head, distribution, drawn, prepared
from bench.registry import Bounds, architecture

PAPER = "Germain et al. 2015, arXiv:1502.03509"
UNITS = 500
"""Of a hidden layer: the least of the paper's."""

Order = Literal["rows", "columns", "backwards", "random"]


class MaskedLinear(nn.Linear):
    """A linear layer whose weights are multiplied by `mask`, bool (outputs, inputs).

    Weights start normal, with variance 2 over the number of inputs that the mask leaves (He et al. 2015).
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        outputs, inputs = mask.shape
        super().__init__(inputs, outputs)
        self.register_buffer("mask", mask.to(self.weight), persistent=False)
        with torch.no_grad():
            self.weight.normal_().mul_((2 / mask.sum(1).clamp(min=1)).sqrt().to(self.weight)[:, None])
            self.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


def pixel_order(order: Order, side: int) -> Tensor:
    """The place of every pixel in the order, int64 (side, side). `random` is one permutation, always the same."""
    ranks = torch.arange(side * side).view(side, side)
    if order == "random":
        shuffled = torch.randperm(side * side, generator=torch.Generator().manual_seed(0), device="cpu")
        return shuffled.to(ranks.device).view(side, side)
    if order == "backwards":
        return ranks.flip((0, 1))
    return ranks.T.contiguous() if order == "columns" else ranks


class MADE(Autoregressive):
    """Masked linear layers: (N, C, S, S) -> (N, C * numbers, S, S).

    An input's degree is its place in the order, 1 to C * S * S. A hidden unit of degree m has inputs of degrees
    up to m, an output of place m those of lower degrees; degrees of hidden units are spread evenly.
    """

    ranks: Tensor
    inputs: Tensor

    def __init__(self, head: Head, channels: int, side: int, hidden: list[int], order: Order, direct: bool) -> None:
        super().__init__(head, (channels, side, side))
        ranks = pixel_order(order, side)
        inputs = (ranks.flatten() * channels + torch.arange(channels)[:, None] + 1).flatten()
        outputs = inputs.view(channels, 1, -1).expand(-1, head.numbers, -1).flatten()
        for name, values in (("ranks", ranks), ("inputs", inputs)):
            self.register_buffer(name, values, persistent=False)
        self.degrees = tuple(1 + torch.arange(units) * (len(inputs) - 1) // units for units in hidden)
        degrees, layers = inputs, list[nn.Module]()
        for spread in self.degrees:
            layers += [MaskedLinear(degrees <= spread[:, None]), nn.ReLU()]
            degrees = spread
        self.hidden = nn.Sequential(*layers)
        self.score = MaskedLinear(degrees < outputs[:, None])
        self.direct = MaskedLinear(inputs < outputs[:, None]) if direct else None
        with torch.no_grad():
            for layer in [self.score] + ([self.direct] if self.direct is not None else []):
                layer.weight.mul_(0.1)  # so that all levels are about as likely at the start

    def forward(self, images: Tensor) -> Tensor:
        """Raises ValueError for images of another size."""
        if images.shape[1:] != self.shape:
            raise ValueError(
                f"this network takes images of {self.shape}, not {tuple(images.shape[1:])}: state its size"
            )
        x = images.flatten(1)
        outputs = self.score(self.hidden(x))
        if self.direct is not None:
            outputs = outputs + self.direct(x)
        return outputs.unflatten(1, (-1, *self.shape[1:]))

    def conditioning_order(self, height: int, width: int) -> Tensor:
        """The place of every pixel in the order, int64 (H, W): 0 for the one that comes first."""
        if (height, width) != self.shape[1:]:
            raise ValueError(f"this network's images are {self.shape[1:]}, not {(height, width)}")
        return self.ranks

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Levels uint8 (count, C, S, S). Each hidden unit is computed once, when all of its inputs are drawn.

        The same as `sample_naively` gives for the same generator, up to the rounding of sums.
        """
        weights = [layer.weight * layer.mask for layer in self._masked]
        maps = [weight.new_zeros(count, weight.shape[1]) for weight in weights]
        pixels = torch.zeros(count, len(self.inputs), dtype=torch.uint8, device=self.inputs.device)
        direct = None if self.direct is None else self.direct.weight * self.direct.mask
        for degree, place in enumerate(self.inputs.argsort().tolist(), start=1):
            rows = self._rows(place)
            outputs = F.linear(maps[-1], weights[-1][rows], self.score.bias[rows])
            if direct is not None:
                outputs = outputs + F.linear(maps[0], direct[rows], self.direct.bias[rows])
            pixels[:, place] = drawn(self.head.table(outputs[:, None])[:, 0], generator).to(torch.uint8)
            maps[0][:, place] = prepared(pixels[:, place], self.head.levels).to(outputs.dtype)
            for number, layer in enumerate(self._masked[:-1]):
                units = self.degrees[number] == degree
                maps[number + 1][:, units] = F.linear(maps[number], weights[number][units], layer.bias[units]).relu()
        return pixels.view(count, *self.shape)

    @property
    def _masked(self) -> list[MaskedLinear]:
        return [layer for layer in (*self.hidden, self.score) if isinstance(layer, MaskedLinear)]

    def _rows(self, place: int) -> Tensor:
        """The outputs that hold the distribution of an input."""
        area = self.shape[1] * self.shape[2]
        channel, pixel = divmod(place, area)
        return (channel * self.head.numbers + torch.arange(self.head.numbers, device=self.inputs.device)) * area + pixel


@architecture(task="generation", source=PAPER, small={"layers": 3, "width": 0.125, "size": 16})
def made(
    *,
    layers: Annotated[int, Bounds(1, 16)] = 2,
    order: Literal["rows", "columns", "backwards", "random"] = "rows",
    direct: bool = True,
    head: Literal["categorical", "logistic_mixture"] = "categorical",
    components: Annotated[int, Bounds(1, 64)] = 5,
    width: Annotated[float, Bounds(0.01, 32)] = 1.0,
    levels: Annotated[int, Bounds(2, 256)] = 2,
    channels: Annotated[int, Bounds(1, 4)] = 1,
    size: Annotated[int, Bounds(2, 64)] = 28,
) -> nn.Module:
    """MADE: the distribution of each pixel given those before it, by masked linear layers over the whole image.

    - `layers` of hidden units; `width` scales their 500.
    - `order` of the pixels: rows or columns from the top left, rows from the end, or one random permutation.
    - `direct`: connections from inputs to outputs beside the hidden layers; fewer hidden units than pixels miss
      some of the pixels before without them.
    - `head`: `categorical`, a softmax over levels, or a `logistic_mixture` of so many `components`.
    - `levels`, `channels` and `size` (the side) of the image.

    Inputs (N, channels, size, size), prepared; outputs (N, channels * numbers, size, size): logits
    (N, channels * levels, size, size), or 3 * components numbers a channel. The loss is in bits per dimension.
    """
    hidden = [scaled(UNITS, width)] * layers
    return MADE(distribution(head, levels, components), channels, size, hidden, order, direct)
