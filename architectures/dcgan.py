"""DCGAN: a generator of images and the discriminator it learns from, trained at once by one optimizer.

Goodfellow et al., NIPS 2014 (arXiv:1406.2661): the game. Radford, Metz & Chintala, ICLR 2016 (arXiv:1511.06434):
the networks. Losses: Goodfellow's two, hinge (Miyato et al. 2018, arXiv:1802.05957, which brings spectral
normalisation too), Wasserstein with gradient penalty (Gulrajani et al. 2017, arXiv:1704.00028).

A step is one of simultaneous gradient descent: the loss is the sum of the players' losses, and each one's gradient
reaches its own weights alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from architectures.layers.blocks import scaled
from architectures.layers.discrete import levelled
from bench.registry import Bounds, Constraint, Published, RegistryError, architecture, facts

PAPER = "Radford et al. 2016, arXiv:1511.06434"
SLOPE = 0.2
COARSEST = 8
"""Px of the largest map that the generator may start from."""

LossName = Literal["minimax", "non_saturating", "hinge", "wasserstein"]
Upsampler = Literal["transposed", "nearest", "pixel_shuffle"]
DiscriminatorNorm = Literal["batch", "group", "none"]


@dataclass(frozen=True)
class Objective:
    """What each player minimises, on average, as functions of the discriminator's scores (logits).

    The discriminator: `real` of scores of data plus `fake` of scores of samples; the generator: `sample` of the latter.
    """

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    sample: Callable[[Tensor], Tensor]


OBJECTIVES: Mapping[LossName, Objective] = {
    # -log D, -log(1 - D) and log(1 - D), with D = sigmoid(score)
    "minimax": Objective(lambda s: F.softplus(-s), F.softplus, lambda s: -F.softplus(s)),
    # the generator's is -log D
    "non_saturating": Objective(lambda s: F.softplus(-s), F.softplus, lambda s: F.softplus(-s)),
    "hinge": Objective(lambda s: F.relu(1 - s), lambda s: F.relu(1 + s), torch.neg),
    "wasserstein": Objective(torch.neg, lambda s: s, torch.neg),
}


class SpectralConv2d(nn.Conv2d):
    """A convolution whose weight, as a matrix (outputs, rest), is divided by its largest singular value.

    One power iteration for each training forward pass, of vectors that are stored (Miyato et al. 2018, Algorithm 1).
    """

    u: Tensor
    v: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, **settings: Any) -> None:
        super().__init__(inputs, outputs, kernel, **settings)
        rows, columns = self.weight.flatten(1).shape
        self.register_buffer("u", torch.full((rows,), rows**-0.5))
        self.register_buffer("v", torch.full((columns,), columns**-0.5))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.iterate()
        u, v = self.u.clone(), self.v.clone()  # the next pass writes to them before this one's gradient is taken
        norm = (self.weight.flatten(1) * (u[:, None] * v)).sum()
        return F.conv2d(x, self.weight / norm, self.bias, self.stride, self.padding)

    @torch.no_grad()
    def iterate(self, times: int = 1) -> None:
        """Better the singular vectors. Sums of products, since autocast would have matrix products in bf16."""
        matrix = self.weight.flatten(1)
        for _ in range(times):
            self.v.copy_(F.normalize((matrix * self.u[:, None]).sum(0), dim=0))
            self.u.copy_(F.normalize((matrix * self.v).sum(1), dim=0))


@dataclass(frozen=True)
class Style:
    """How both networks are made: maps of `start` px, doubled `stages` times; 64 * width channels at the finest."""

    channels: int
    size: int
    latent: int
    width: float
    upsampler: Upsampler
    norm: DiscriminatorNorm
    spectral: bool

    @property
    def stages(self) -> int:
        return len(halvings(self.size))

    @property
    def start(self) -> int:
        return self.size >> self.stages

    def features(self, stage: int) -> int:
        """Channels of the map of size / 2^(stage + 1) px."""
        return scaled(64 * 2**stage, self.width)


def halvings(size: int) -> list[int]:
    """The sizes after each halving, down to 4 px or an odd number. Raises RegistryError where that is too large."""
    sizes = []
    while size % 2 == 0 and size > 4:
        size //= 2
        sizes.append(size)
    if not sizes or size > COARSEST:
        raise RegistryError(
            f"images are halved down to at most {COARSEST} px: take a size such as 16, 24, 28, 32, 48, 64"
        )
    return sizes


def upsampling(how: Upsampler, inputs: int, outputs: int) -> list[nn.Module]:
    """Layers to twice the size: a 4x4 transposed convolution, or a 3x3 one behind a resize or before a shuffle."""
    if how == "transposed":
        return [nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)]
    if how == "nearest":
        return [nn.Upsample(scale_factor=2, mode="nearest"), nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)]
    return [nn.Conv2d(inputs, 4 * outputs, 3, padding=1, bias=False), nn.PixelShuffle(2)]


class Generator(nn.Module):
    """(N, latent) -> images (N, C, S, S) between -1 and 1."""

    def __init__(self, style: Style) -> None:
        super().__init__()
        widths = [style.features(stage) for stage in reversed(range(style.stages))]
        layers: list[nn.Module] = [nn.ConvTranspose2d(style.latent, widths[0], style.start, bias=False)]
        for inputs, outputs in zip(widths, [*widths[1:], 0]):
            layers += [nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)]
            layers += upsampling(style.upsampler, inputs, outputs or style.channels)
        self.layers = nn.Sequential(*layers, nn.Tanh())
        normal_initialise(self)

    def forward(self, latents: Tensor) -> Tensor:
        return self.layers(latents[:, :, None, None])


class Discriminator(nn.Module):
    """Images (N, C, S, S) -> scores (N,), logits of being real."""

    def __init__(self, style: Style) -> None:
        super().__init__()
        convolution = SpectralConv2d if style.spectral else nn.Conv2d
        layers: list[nn.Module] = []
        inputs = style.channels
        for stage in range(style.stages):
            outputs = style.features(stage)
            layers.append(convolution(inputs, outputs, 4, stride=2, padding=1, bias=style.norm == "none"))
            if stage and style.norm != "none":
                layers.append(nn.BatchNorm2d(outputs) if style.norm == "batch" else nn.GroupNorm(1, outputs))
            layers.append(nn.LeakyReLU(SLOPE))
            inputs = outputs
        self.layers = nn.Sequential(*layers, convolution(inputs, 1, style.start, bias=False))
        normal_initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).flatten()


def normal_initialise(network: nn.Module) -> None:
    """Weights normal with deviation 0.02, those of batch norm around 1 (Radford et al. 2016); biases 0."""
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)
        if isinstance(layer, SpectralConv2d):
            layer.iterate(15)


@dataclass(frozen=True)
class Rules:
    """The rules of the game: the generator is trained in one of so many `steps`; `penalty` weighs that on gradients."""

    loss: LossName
    steps: int
    penalty: float


class GAN(nn.Module):
    """Generator and discriminator: images (N, C, S, S) -> {"out": their scores (N,), "sample": (N, C, S, S)}.

    The sample is made of latents from torch's own generator in training, of one fixed latent in eval mode (the
    normal quantiles). In training the result has the `images` too, for the gradient penalty.
    """

    loss_unit = ""
    probe: Tensor

    def __init__(self, generator: nn.Module, discriminator: nn.Module, latent: int, levels: int, rules: Rules) -> None:
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.latent, self.levels, self.rules, self.steps_done = latent, levels, rules, 0
        quantiles = torch.special.ndtri((torch.arange(latent) + 0.5) / latent)
        self.register_buffer("probe", quantiles, persistent=False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        scores = self.discriminator(images)
        if not self.training:
            return {"out": scores, "sample": self.generator(self.probe.to(images.dtype).expand(len(images), -1))}
        latents = torch.randn(len(images), self.latent, device=images.device, dtype=images.dtype)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self._generator_moves):
            sample = self.generator(latents)
        return {"out": scores, "sample": sample, "images": images}

    @property
    def _generator_moves(self) -> bool:
        return self.steps_done % self.rules.steps == self.rules.steps - 1

    def loss(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
        """The sum of what the players minimise, of which each one's gradient reaches its own weights alone.

        Counts the step. The generator's part is left out, and its gradients are None, in the steps that are the
        discriminator's alone.
        """
        objective, sample = OBJECTIVES[self.rules.loss], outputs["sample"]
        fake = self.discriminator(sample.detach())
        total = objective.real(outputs["out"].float()).mean() + objective.fake(fake.float()).mean()
        if self.rules.loss == "wasserstein":
            total = total + self.rules.penalty * self.gradient_penalty(outputs["images"], sample.detach())
        if self._generator_moves:
            total = total + objective.sample(self.judged(sample).float()).mean()
        self.steps_done += 1
        return total

    def judged(self, sample: Tensor) -> Tensor:
        """Scores (N,) of samples, through which no gradient reaches the discriminator; it is left as it was."""
        weights = {name: parameter.detach() for name, parameter in self.discriminator.named_parameters()}
        buffers = {name: buffer.clone() for name, buffer in self.discriminator.named_buffers()}
        return functional_call(self.discriminator, (weights, buffers), (sample,))

    def gradient_penalty(self, images: Tensor, sample: Tensor) -> Tensor:
        """Mean of (|gradient of the score| - 1)^2 at random points between images and samples (Gulrajani et al. 2017).

        Always in single precision: modes are admitted by first derivatives, and this one is differentiated again.
        """
        images, sample = images.float(), sample.float()
        share = torch.rand(len(images), 1, 1, 1, device=images.device)
        with torch.enable_grad(), torch.autocast(images.device.type, enabled=False):
            between = torch.lerp(sample, images, share).requires_grad_()
            (slope,) = torch.autograd.grad(self.discriminator(between).sum(), between, create_graph=True)
            return (slope.flatten(1).norm(dim=1) - 1).square().mean()

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Levels uint8 (count, C, S, S), of latents from `generator`."""
        latents = torch.randn(count, self.latent, generator=generator, device=generator.device)
        weight = next(self.generator.parameters())
        return levelled(self.generator(latents.to(weight)), self.levels)


@architecture(
    task="generation",
    source=PAPER,
    small={"width": 0.125, "size": 16},
    constraints=(
        Constraint(
            {"loss": "wasserstein", "norm": "batch"},
            "the penalty is on the gradient of each image's own score, and batch norm mixes images",
        ),
    ),
)
def dcgan(
    *,
    loss: Literal["minimax", "non_saturating", "hinge", "wasserstein"] = "non_saturating",
    discriminator_steps: Annotated[int, Bounds(1, 16)] = 1,
    penalty: Annotated[float, Bounds(0, 1000)] = 10.0,
    spectral: bool = False,
    norm: Literal["batch", "group", "none"] = "batch",
    upsampler: Literal["transposed", "nearest", "pixel_shuffle"] = "transposed",
    latent: Annotated[int, Bounds(1, 1024)] = 100,
    width: Annotated[float, Bounds(0.01, 4)] = 1.0,
    levels: Annotated[int, Bounds(2, 256)] = 256,
    channels: Annotated[int, Bounds(1, 4)] = 3,
    size: Annotated[int, Bounds(8, 128)] = 64,
) -> nn.Module:
    """DCGAN: strided convolutions that tell images from samples, and the same turned round that make samples.

    - `loss`: `minimax` and `non_saturating` of Goodfellow et al., `hinge`, or `wasserstein` with gradient penalty of
      weight `penalty` (which plays no part in the others).
    - `discriminator_steps`: for each step of the generator; a training step is one of the discriminator.
    - `spectral` normalisation of the discriminator; `norm` of its inner layers: batch, over all of an image's
      features (`group`, which is layer norm), or none and biases instead. The generator always has batch norm.
    - `upsampler` of the generator: 4x4 transposed convolution of stride 2; nearest neighbours and a 3x3 convolution;
      or a 3x3 convolution to four times the channels and a pixel shuffle.
    - `latent`: numbers, normal, that an image is made of. `width` scales the 64 channels of the finest maps.
    - `levels`, `channels`, `size` (the side) of the image; it is halved while it is even and larger than 4 px.

    Inputs (N, channels, size, size), prepared; outputs {"out": scores (N,), "sample": images like the inputs}.
    Raises RegistryError for a size that cannot be halved down to 8 px.
    """
    style = Style(channels, size, latent, width, upsampler, norm, spectral)
    return GAN(Generator(style), Discriminator(style), latent, levels, Rules(loss, discriminator_steps, penalty))


examples = Published("pytorch/examples, dcgan")
counted = Published("counted on public re-implementations")
facts(
    dcgan,
    examples.at(3, 64, 64)("params/generator", 3576704),
    examples.at(3, 64, 64)("params/discriminator", 2765568),
    examples.at(1, 64, 64)("params/generator", 3574656, channels=1),
    examples.at(1, 64, 64)("params/discriminator", 2763520, channels=1),
    counted.at(3, 64, 64)("macs", "208.4 M", "104.6 M and 103.8 M"),
)
