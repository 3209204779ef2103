"""PixelCNN: an image's likelihood as a product over its pixels, by convolutions over the pixels before.

Van den Oord, Kalchbrenner & Kavukcuoglu, ICML 2016 (arXiv:1601.06759): one stack of masked convolutions, which
leaves a blind spot. Van den Oord et al., NIPS 2016 (arXiv:1606.05328): gated units, and two stacks without a
blind spot. Salimans et al., ICLR 2017 (arXiv:1701.05517): a mixture of discretised logistics in place of the
softmax (of that paper the head alone).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from architectures.layers.discrete import Autoregressive, Head, distribution, prepared
from bench.registry import Bounds, Published, architecture, facts

PAPER = "van den Oord et al. 2016, arXiv:1601.06759"

Order = Literal["rows", "columns", "backwards"]
Convolve = Callable[["MaskedConv2d", Tensor], Tensor]


class MaskedConv2d(nn.Conv2d):
    """A convolution that keeps the size and whose weights are multiplied by `mask` (outputs, inputs, h, w).

    Weights start normal, with variance 2 over the number of inputs that the mask leaves (He et al. 2015).
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        outputs, inputs, height, width = mask.shape
        super().__init__(inputs, outputs, (height, width), padding=(height // 2, width // 2))
        self.register_buffer("mask", mask.to(self.weight), persistent=False)
        live = mask.sum((1, 2, 3)).clamp(min=1).to(self.weight)
        with torch.no_grad():
            self.weight.normal_().mul_((2 / live).sqrt().view(-1, 1, 1, 1))
            self.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


def convolved(layer: MaskedConv2d, x: Tensor) -> Tensor:
    """The layer on whole maps."""
    return layer(x)


def groups(features: int, channels: int) -> Tensor:
    """The image's channel that each feature serves, int64 (features,): equal blocks in the order of channels."""
    return torch.arange(features) * channels // features


def earlier(outputs: Tensor, inputs: Tensor, height: int, width: int, itself: bool) -> Tensor:
    """The mask of a window over the pixels before: bool (outputs, inputs, height, width).

    `outputs` and `inputs` hold the channel that each feature serves. Of the centre a feature sees those of the
    channels before its own, and with `itself` (mask B) of its own: a channel's features know less than it.
    """
    mask = torch.zeros(len(outputs), len(inputs), height, width, dtype=torch.bool)
    mask[:, :, : height // 2] = True
    mask[:, :, height // 2, : width // 2] = True
    before = inputs[None] < outputs[:, None]
    mask[:, :, height // 2, width // 2] = before | (itself & (inputs[None] == outputs[:, None]))
    return mask


def above(outputs: int, inputs: int, size: int, itself: bool) -> Tensor:
    """The mask of a window over the rows above, and with `itself` the same row: bool (outputs, inputs, size, size)."""
    mask = torch.zeros(outputs, inputs, size, size, dtype=torch.bool)
    mask[:, :, : size // 2 + itself] = True
    return mask


@dataclass(frozen=True)
class Style:
    """How layers are made: `features` of the convolutions, and twice as many between layers with a bottleneck."""

    features: int
    channels: int
    gated: bool
    two_stacks: bool
    bottleneck: bool
    layers: int

    @property
    def stream(self) -> int:
        return self.features * (1 + self.bottleneck)

    def serve(self, features: int) -> Tensor:
        return groups(features, self.channels)

    def units(self, features: int) -> Tensor:
        """The channels that the inputs of so many units serve: a gated unit has two inputs."""
        return self.serve(features).repeat(1 + self.gated)

    def pointwise(self, inputs: int, outputs: int) -> MaskedConv2d:
        return MaskedConv2d(earlier(self.serve(outputs), self.serve(inputs), 1, 1, itself=True))


class Unit(nn.Module):
    """tanh of the one half of the channels times sigmoid of the other, or ReLU."""

    def __init__(self, gated: bool) -> None:
        super().__init__()
        self.gated = gated

    def forward(self, x: Tensor) -> Tensor:
        if not self.gated:
            return x.relu()
        one, other = x.chunk(2, dim=1)
        return one.tanh() * other.sigmoid()


class Layer(nn.Module):
    """A masked convolution with its units, and a residual connection; with two stacks a convolution in each.

    `down`, the vertical stack, sees whole rows: (N, features, H, W) -> what its units get, and `across` too.
    `across`, the horizontal stack (the only one where there is no other): (N, stream, H, W) -> (N, stream, H, W).
    The `first` layer reads the image, but no pixel itself; without gates it is the bare convolution.
    """

    def __init__(self, style: Style, kernel: int, first: bool) -> None:
        super().__init__()
        self.first, self.unit = first, Unit(style.gated)
        self.reduce: nn.Module = nn.Identity()
        if style.bottleneck and not first:
            self.reduce = nn.Sequential(nn.ReLU(), style.pointwise(style.stream, style.features), nn.ReLU())
        bare = first and not style.gated
        inputs = style.channels if first else style.features
        outputs = style.serve(style.stream) if bare else style.units(style.features)
        height = 1 if style.two_stacks else kernel
        self.convolution = MaskedConv2d(earlier(outputs, style.serve(inputs), height, kernel, itself=not first))
        self.vertical = self.link = None
        if style.two_stacks:
            rows = len(style.units(style.features))
            self.vertical = MaskedConv2d(above(rows, inputs, kernel, itself=not first))
            self.link = nn.Conv2d(rows, len(outputs), 1, bias=False)
        self.expand: nn.Module = nn.Identity() if bare else self._expansion(style)

    def _expansion(self, style: Style) -> nn.Module:
        """Branches of variance 1 / layers, so that their sum stays of the order of one."""
        expansion = style.pointwise(style.features, style.stream)
        with torch.no_grad():
            expansion.weight.mul_(style.layers**-0.5)
        return nn.Sequential(self.unit, expansion)

    def down(self, x: Tensor, convolve: Convolve) -> Tensor | None:
        return None if self.vertical is None else convolve(self.vertical, x)

    def across(self, x: Tensor, rows: Tensor | None, convolve: Convolve) -> Tensor:
        residual = convolve(self.convolution, self.reduce(x))
        if self.link is not None:
            residual = residual + self.link(rows)
        residual = self.expand(residual)
        return residual if self.first else x + residual


class PixelCNN(Autoregressive):
    """Layers and a head of two 1x1 convolutions: (N, C, H, W) -> (N, C * numbers, H, W), for any H and W."""

    def __init__(self, layers: list[Layer], style: Style, head: Head, order: Order, size: int) -> None:
        super().__init__(head, (style.channels, size, size))
        self.layers, self.order = nn.ModuleList(layers), order
        hidden = style.pointwise(style.stream, style.stream)
        numbers = style.serve(style.channels * head.numbers)
        score = MaskedConv2d(earlier(numbers, style.serve(style.stream), 1, 1, itself=True))
        with torch.no_grad():
            score.weight.mul_(0.1)  # so that all levels are about as likely at the start
        self.score = nn.Sequential(nn.ReLU(), hidden, nn.ReLU(), score)

    def forward(self, images: Tensor) -> Tensor:
        x = self._turned(images)
        return self._turned(self._across(x, self._down(x, convolved), convolved))

    def conditioning_order(self, height: int, width: int) -> Tensor:
        """The place of every pixel in the order, int64 (H, W): 0 for the one that comes first."""
        ranks = torch.arange(height * width)
        return self._turned(ranks.view(width, height) if self.order == "columns" else ranks.view(height, width))

    def _turned(self, x: Tensor) -> Tensor:
        """The image as its order is that of rows, and back."""
        if self.order == "rows":
            return x
        return x.transpose(-2, -1) if self.order == "columns" else x.flip((-2, -1))

    def _down(self, x: Tensor, convolve: Convolve) -> list[Tensor | None]:
        """What the vertical stack has for each layer of the horizontal one."""
        maps = []
        for layer in self.layers:
            maps.append(layer.down(x, convolve))
            x = x if maps[-1] is None else layer.unit(maps[-1])
        return maps

    def _across(self, x: Tensor, rows: list[Tensor | None], convolve: Convolve) -> Tensor:
        for layer, seen in zip(self.layers, rows, strict=True):
            x = layer.across(x, seen, convolve)
        return self.score(x)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Levels uint8 (count, C, H, W). Each place of each map is computed once, from the kept ones before it.

        The same as `sample_naively` gives for the same generator, up to the rounding of sums.
        """
        weight = self.layers[0].convolution.weight
        _, height, width = self.shape  # a square, however it is turned
        pixels = torch.zeros(count, *self.shape, dtype=torch.uint8, device=weight.device)
        memory = Memory(height, width)
        for y in range(height):
            row = self._floats(pixels[:, :, y : y + 1])
            rows = self._down(row, memory.at(y, 0, width))
            for x in range(width):
                seen = [None if r is None else r[..., x : x + 1] for r in rows]
                self._fill(pixels[:, :, y : y + 1, x : x + 1], seen, memory.at(y, x, x + 1), generator)
            if self.layers[0].vertical is not None:
                memory.at(y, 0, width).write(self.layers[0].vertical, self._floats(pixels[:, :, y : y + 1]))
        return self._turned(pixels)

    def _fill(self, pixel: Tensor, rows: list[Tensor | None], memory: Memory, generator: torch.Generator) -> None:
        """Draw the channels of a pixel (N, C, 1, 1), each given those before it."""
        for channel in range(self.shape[0]):
            outputs = self._across(self._floats(pixel), rows, memory)[..., 0, 0]
            pixel[:, channel, 0, 0] = self.draw(outputs, channel, generator).to(torch.uint8)
        memory.write(self.layers[0].convolution, self._floats(pixel))

    def _floats(self, pixels: Tensor) -> Tensor:
        return prepared(pixels, self.head.levels).to(self.layers[0].convolution.weight.dtype)


class Memory:
    """The maps that masked convolutions have read so far, and the place that is being computed.

    Called as `convolved` is: writes x (N, C, 1, stop - start) at the place and gives the layer's outputs there.
    """

    def __init__(self, height: int, width: int) -> None:
        self.size, self.place = (height, width), (0, 0, 0)
        self.maps: dict[MaskedConv2d, Tensor] = {}
        self.weights: dict[MaskedConv2d, Tensor] = {}

    def at(self, y: int, start: int, stop: int) -> Memory:
        self.place = (y, start, stop)
        return self

    def write(self, layer: MaskedConv2d, x: Tensor) -> None:
        above, beside = layer.kernel_size[0] // 2, layer.kernel_size[1] // 2
        if layer not in self.maps:
            height, width = self.size
            self.maps[layer] = x.new_zeros(*x.shape[:2], height + above, width + 2 * beside)
            self.weights[layer] = (layer.weight * layer.mask)[:, :, : above + 1]
        y, start, stop = self.place
        self.maps[layer][:, :, y + above, start + beside : stop + beside] = x[:, :, 0]

    def __call__(self, layer: MaskedConv2d, x: Tensor) -> Tensor:
        self.write(layer, x)
        y, start, stop = self.place
        height, width = layer.kernel_size
        window = self.maps[layer][:, :, y : y + height // 2 + 1, start : stop + width - 1]
        return F.conv2d(window, self.weights[layer], layer.bias)


@architecture(
    task="generation",
    source=PAPER,
    small={"layers": 3, "width": 0.125, "size": 16},
)
def pixelcnn(
    *,
    layers: Annotated[int, Bounds(1, 64)] = 15,
    kernel: Literal[3, 5, 7] = 3,
    first_kernel: Literal[3, 5, 7] = 7,
    gating: bool = False,
    blind_spot: bool = True,
    bottleneck: bool = True,
    head: Literal["categorical", "logistic_mixture"] = "categorical",
    components: Annotated[int, Bounds(1, 64)] = 5,
    order: Literal["rows", "columns", "backwards"] = "rows",
    width: Annotated[float, Bounds(0.01, 4)] = 1.0,
    levels: Annotated[int, Bounds(2, 256)] = 256,
    channels: Annotated[int, Bounds(1, 4)] = 1,
    size: Annotated[int, Bounds(1, 256)] = 28,
) -> nn.Module:
    """PixelCNN: the distribution of each pixel given those before it, by masked convolutions.

    - `layers`: masked convolutions of a stack; the first (mask A) has `first_kernel`, the others (mask B) `kernel`.
    - `gating`: tanh(a) sigmoid(b) in place of ReLU; twice as many channels in the convolution before it.
    - `blind_spot`: one stack of k x k masks, which misses pixels to the upper right; without it two stacks, one of
      the rows above and one of the row itself, which miss none.
    - `bottleneck`: residual blocks of twice the channels with 1x1 convolutions down and up, as in the first paper;
      without it only one up. The gated paper's network: gating, no blind spot, no bottleneck.
    - `head`: `categorical`, a softmax over levels, or a `logistic_mixture` of so many `components`.
    - `order`: `rows` from the top left, `columns` from the top left, or rows from the end, `backwards`.
    - `width` scales the 128 channels of the convolutions, to a multiple of the image's.
    - `levels`, `channels` of the image. `size`: the side of samples; inputs may have any.

    Inputs (N, channels, H, W), prepared; outputs (N, channels * numbers, H, W): logits (N, channels * levels, H, W),
    or 3 * components numbers a channel. The loss is in bits per dimension.
    """
    features = channels * max(1, round(128 * width / channels))
    style = Style(features, channels, gating, not blind_spot, bottleneck, layers)
    stack = [Layer(style, kernel if number else first_kernel, not number) for number in range(layers)]
    return PixelCNN(stack, style, distribution(head, levels, components), order, size)


derived = Published("gradient extents of stacks of masked convolutions, counted independently", when={"channels": 3})
gated = Published("van den Oord et al. 2016, arXiv:1606.05328", when={"channels": 3, "blind_spot": False})
facts(
    pixelcnn,
    derived("blind_spot", "0.167", layers=5, first_kernel=3),
    derived("blind_spot", "0.194", layers=8, first_kernel=3),
    derived("blind_spot", "0.219", "1/4 in the limit", layers=15, first_kernel=3),
    derived("blind_spot", "0.113", layers=15, kernel=5, first_kernel=5),
    gated("blind_spot", 0),
    gated("blind_spot", 0, gating=True, bottleneck=False),
)
