"""Variational autoencoders (Kingma & Welling 2014, arXiv:1312.6114), convolutional or of fully connected layers.

Bounds are in nats of an image. Every likelihood is a probability of the exact level (a Gaussian's or a logistic's mass
between the midpoints to its neighbours), so bounds of all of them can be compared with one another and with the
entropy of the data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from architectures.layers.discrete import SMALLEST_LOG_SCALE, log_logistic_mass, prepared
from bench.registry import Bounds, Published, RegistryError, architecture, facts

Outputs = Mapping[str, Tensor]

LOG_2PI = math.log(2 * math.pi)
LEAST_LOG_SIGMA = -6.0
"""Of a Gaussian likelihood, levels running from -1 to 1: a third of the distance between 256 levels."""
LEAST_LOG_VARIANCE = -12.0
FLOW_DRAWS = 256


class Likelihood(Protocol):
    """The distribution of a pixel's level, from `numbers` parameters a channel: (N, C, numbers, H, W)."""

    @property
    def numbers(self) -> int: ...

    def log_probability(self, parameters: Tensor, pixels: Tensor) -> Tensor:
        """Log-probabilities (N, C, H, W) of levels (N, C, H, W)."""

    def expected(self, parameters: Tensor) -> Tensor:
        """The mean level (N, C, H, W), 0 to levels - 1."""

    def drawn(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """Levels uint8 (N, C, H, W)."""


class Bernoulli(nn.Module):
    """Two levels; the parameter is the logit of the second."""

    numbers = 1

    def log_probability(self, parameters: Tensor, pixels: Tensor) -> Tensor:
        return -F.binary_cross_entropy_with_logits(parameters[:, :, 0], pixels.to(parameters.dtype), reduction="none")

    def expected(self, parameters: Tensor) -> Tensor:
        return parameters[:, :, 0].sigmoid()

    def drawn(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        return (_uniform(parameters[:, :, 0], generator) < self.expected(parameters)).to(torch.uint8)


class _Cut(nn.Module):
    """A continuous distribution on the line where levels run from -1 to 1, cut at the midpoints between levels."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def below(self, parameters: Tensor, cut: float) -> Tensor:
        """The probability (N, C, H, W) of what lies below `cut`."""
        raise NotImplementedError

    def values(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        """A draw (N, C, H, W) on the line."""
        raise NotImplementedError

    def expected(self, parameters: Tensor) -> Tensor:
        """The sum over levels l from 1 of the probability of l or more."""
        cuts = [(2 * level - 1) / (self.levels - 1) - 1 for level in range(1, self.levels)]
        return torch.stack([1 - self.below(parameters, cut) for cut in cuts]).sum(dim=0)

    def drawn(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        values = (self.values(parameters, generator) + 1) * ((self.levels - 1) / 2)
        return values.round().clamp(0, self.levels - 1).to(torch.uint8)


class Gaussian(_Cut):
    """A mean at every pixel and one standard deviation, learned (Rybkin et al. 2021, arXiv:2006.13202)."""

    numbers = 1

    def __init__(self, levels: int) -> None:
        super().__init__(levels)
        self.log_sigma = nn.Parameter(torch.tensor(-1.0))

    def sigma(self) -> Tensor:
        return self.log_sigma.clamp(min=LEAST_LOG_SIGMA).exp()

    def log_probability(self, parameters: Tensor, pixels: Tensor) -> Tensor:
        half, sigma = 1 / (self.levels - 1), self.sigma()
        centred = pixels.to(parameters.dtype) * (2 * half) - 1 - parameters[:, :, 0]
        lower, upper = (centred - half) / sigma, (centred + half) / sigma
        lower = lower.masked_fill(pixels == 0, -torch.inf)
        upper = upper.masked_fill(pixels == self.levels - 1, torch.inf)
        return _log_normal_mass(lower, upper)

    def below(self, parameters: Tensor, cut: float) -> Tensor:
        return torch.special.ndtr((cut - parameters[:, :, 0]) / self.sigma())

    def values(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        means = parameters[:, :, 0]
        return means + self.sigma() * _normal(means, generator)


class Logistic(_Cut):
    """A mean and a scale at every pixel (Kingma et al. 2016, arXiv:1606.04934)."""

    numbers = 2

    def log_probability(self, parameters: Tensor, pixels: Tensor) -> Tensor:
        means, log_scales = parameters.unbind(dim=2)
        return log_logistic_mass(pixels, means, log_scales, self.levels)

    def below(self, parameters: Tensor, cut: float) -> Tensor:
        means, log_scales = parameters.unbind(dim=2)
        return ((cut - means) * (-log_scales.clamp(min=SMALLEST_LOG_SCALE)).exp()).sigmoid()

    def values(self, parameters: Tensor, generator: torch.Generator) -> Tensor:
        means, log_scales = parameters.unbind(dim=2)
        return (
            means
            + log_scales.clamp(min=SMALLEST_LOG_SCALE).exp() * _uniform(means, generator).clamp(1e-6, 1 - 1e-6).logit()
        )


def _log_normal_mass(lower: Tensor, upper: Tensor) -> Tensor:
    """log of the standard normal's mass between two points; in the tail that is smaller, where it is exact."""
    flipped = lower > 0
    a, b = torch.where(flipped, -upper, lower), torch.where(flipped, -lower, upper)
    log_a, log_b = torch.special.log_ndtr(a), torch.special.log_ndtr(b)
    return log_b + torch.log(-torch.expm1((log_a - log_b).clamp(max=-1e-7)))


def _uniform(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(like.shape, generator=generator, device=generator.device).to(like)


def _normal(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """From torch's own generator where none is given: in training."""
    if generator is None:
        return torch.randn_like(like)
    return torch.randn(like.shape, generator=generator, device=generator.device).to(like)


@dataclass(frozen=True)
class Posterior:
    """q(z|x): a Gaussian (N, D), and where `flow` (N, 2 D + 1) is given one planar step behind it."""

    mean: Tensor
    log_variance: Tensor
    flow: Tensor | None = None

    def entropy(self) -> Tensor:
        """Of the Gaussian, in nats: (N,)."""
        return (0.5 * (1 + LOG_2PI + self.log_variance)).sum(dim=1)

    def draw(self, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """z (N, D), and its log-density (N,)."""
        noise = _normal(self.mean, generator)
        z, stretched = self.moved(self.mean + noise * (0.5 * self.log_variance).exp())
        density = -0.5 * (LOG_2PI + self.log_variance + noise.square()).sum(dim=1)
        return z, density - stretched

    def fixed(self) -> tuple[Tensor, Tensor]:
        """The mean (N, D) and the mean log-density (N,); with a flow a draw, always the same, and its own."""
        if self.flow is None:
            return self.mean, -self.entropy()
        return self.draw(torch.Generator().manual_seed(0))

    def moved(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z behind the flow, and the log of how much the flow stretches space there (N,)."""
        if self.flow is None:
            return z, z.new_zeros(len(z))
        return planar(z, self.flow)

    def divergence(self) -> Tensor:
        """KL(q || p) of the Gaussian to a standard normal prior, in closed form, without a flow: (N, D)."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance)

    def repeated(self, times: int) -> Posterior:
        """Each image's `times` in a row."""
        parts = (self.mean, self.log_variance, self.flow)
        return Posterior(*(None if p is None else p.repeat_interleave(times, dim=0) for p in parts))  # type: ignore[arg-type]


def planar(z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
    """z + u tanh(w.z + b) and log |det| (Rezende & Mohamed 2015, arXiv:1505.05770, eq. 10 to 13).

    `parameters` (N, 2 D + 1) are u, w and b of each image; u is moved along w so that the map can be inverted.
    """
    u, w, b = parameters.split([z.shape[1], z.shape[1], 1], dim=1)
    along = (u * w).sum(dim=1, keepdim=True)
    u = u + (F.softplus(along) - 1 - along) * w / w.square().sum(dim=1, keepdim=True).clamp(min=1e-6)
    t = torch.tanh((w * z).sum(dim=1, keepdim=True) + b)
    stretch = 1 + (1 - t.square()) * (u * w).sum(dim=1, keepdim=True)
    return z + u * t, stretch.clamp(min=1e-6).log()[:, 0]


class VAE(nn.Module):
    """An encoder of images (N, C, H, W) to (N, D') posterior numbers, a decoder of codes (N, D) to parameters.

    In training `forward` draws a code, in eval mode it takes the posterior's mean, or where there is a flow, whose mean
    and rate have no closed form, a draw that is the same each time. `beta` weighs the rate
    (Higgins et al. 2017), which `warmup` steps lead up to; `free_bits` is the rate in nats that each latent has free
    (Kingma et al. 2016).
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        likelihood: Likelihood,
        shape: tuple[int, int, int],
        latent: int,
        *,
        levels: int = 2,
        flow: bool = False,
        beta: float = 1.0,
        warmup: int = 0,
        free_bits: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood
        self.shape, self.latent, self.levels, self.flow = shape, latent, levels, flow
        self.beta, self.warmup, self.free_bits = beta, warmup, free_bits
        self.loss_unit = "bits/dim" if beta == 1 and not warmup and not free_bits else ""
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.steps: Tensor

    def posterior(self, images: Tensor) -> Posterior:
        """q(z|x) of prepared images. Raises ValueError for images of another shape."""
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError(f"this VAE is built for images of {self.shape}, not {tuple(images.shape[1:])}: set `size`")
        numbers = self.encoder(images).float()
        mean, log_variance, *flow = numbers.split([self.latent] * 2 + [2 * self.latent + 1] * self.flow, dim=1)
        return Posterior(mean, log_variance.clamp(LEAST_LOG_VARIANCE, 12), *flow)

    def parameters_of(self, z: Tensor) -> Tensor:
        """p(x|z): (N, C, numbers, H, W), in single precision."""
        channels, height, width = self.shape
        return self.decoder(z).float().view(len(z), channels, self.likelihood.numbers, height, width)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """`out`: parameters of the likelihood (N, C * numbers, H, W); `rate`: nats of each latent, or of all (N, 1)."""
        q = self.posterior(images)
        z, density = q.draw(None) if self.training else q.fixed()
        return {"out": self.parameters_of(z).flatten(1, 2), "rate": self.rate(q, z, density), "z": z}

    def rate(self, q: Posterior, z: Tensor, density: Tensor) -> Tensor:
        """KL(q || p): (N, D) in closed form, or where there is a flow (N, 1) from a draw `z` and its log-density."""
        return q.divergence() if q.flow is None else (density - log_prior(z))[:, None]

    def loss(self, outputs: Outputs, targets: Mapping[str, Tensor]) -> Tensor:
        """Bits per dimension: -(reconstruction - weight * rate); in training mode a call counts as a step."""
        weight = self.beta
        if self.training:
            weight *= min(1.0, (int(self.steps) + 1) / self.warmup) if self.warmup else 1.0
            self.steps += 1
        parameters = outputs["out"].float().unflatten(1, (self.shape[0], self.likelihood.numbers))
        distortion = -self.likelihood.log_probability(parameters, targets["pixels"]).flatten(1).sum(dim=1).mean()
        rates = outputs["rate"].float().mean(dim=0)
        if self.free_bits:
            rates = rates.clamp(min=self.free_bits * self.latent / len(rates))
        return (distortion + weight * rates.sum()) / (math.log(2) * math.prod(self.shape))

    def elbo(self, pixels: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """`elbo` = `reconstruction` - `kl`, each (N,), of levels uint8 (N, C, H, W), one draw of z an image."""
        q = self.posterior(self._prepared(pixels))
        z, density = q.draw(generator)
        reconstruction = self.log_conditional(pixels, z)
        kl = self.rate(q, z, density).sum(dim=1)
        return {"elbo": reconstruction - kl, "reconstruction": reconstruction, "kl": kl}

    def importance_bound(self, pixels: Tensor, k: int, generator: torch.Generator) -> Tensor:
        """log of the mean of k weights p(x, z) / q(z|x), (N,) (Burda et al. 2016, arXiv:1509.00519, eq. 8)."""
        q = self.posterior(self._prepared(pixels)).repeated(k)
        z, density = q.draw(generator)
        weights = self.log_conditional(pixels.repeat_interleave(k, dim=0), z) + log_prior(z) - density
        return weights.view(-1, k).logsumexp(dim=1) - math.log(k)

    def log_conditional(self, pixels: Tensor, z: Tensor) -> Tensor:
        """log p(x|z) in nats, (N,)."""
        return self.likelihood.log_probability(self.parameters_of(z), pixels).flatten(1).sum(dim=1)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the posterior, (N, D) each: of FLOW_DRAWS draws, the same each time, with a flow."""
        q = self.posterior(images)
        if q.flow is None:
            return q.mean, q.log_variance.exp()
        z = q.repeated(FLOW_DRAWS).draw(torch.Generator().manual_seed(0))[0].unflatten(0, (-1, FLOW_DRAWS))
        return z.mean(dim=1), z.var(dim=1)

    def decode(self, z: Tensor) -> Tensor:
        """The expected levels (N, C, H, W), 0 to levels - 1."""
        return self.likelihood.expected(self.parameters_of(z))

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Levels uint8 (count, C, H, W): a code from the prior, a level for every pixel from the likelihood."""
        device = next(self.parameters()).device
        z = torch.randn(count, self.latent, generator=generator, device=generator.device).to(device)
        return self.likelihood.drawn(self.parameters_of(z), generator)

    def _prepared(self, pixels: Tensor) -> Tensor:
        return prepared(pixels, self.levels)


def log_prior(z: Tensor) -> Tensor:
    """log N(z; 0, 1), (N,)."""
    return -0.5 * (LOG_2PI + z.square()).sum(dim=1)


def convolutional(
    shape: tuple[int, int, int], numbers: tuple[int, int, int], width: float
) -> tuple[nn.Module, nn.Module]:
    """One convolution over overlapping patches and three layers, and their mirror image.

    `numbers` are those of the posterior, of the code, of the output's channels. Two convolutions of stride 2 cost
    twice the arithmetic for as many parameters: in the same time half as many images are used, and the bound is worse.
    The layer in the middle costs little, and a code of few numbers needs it.
    """
    channels, height, side = shape
    features, hidden = (max(4, round(width * n)) for n in (64, 248))
    grid, window = (features, height // 4, side // 4), {"kernel_size": 8, "stride": 4, "padding": 2}
    encoder = nn.Sequential(
        nn.Conv2d(channels, features, **window),
        nn.SiLU(),
        nn.Flatten(),
        nn.Linear(math.prod(grid), hidden),
        nn.SiLU(),
        nn.Linear(hidden, hidden),
        nn.SiLU(),
        nn.Linear(hidden, numbers[0]),
    )
    decoder = nn.Sequential(
        nn.Linear(numbers[1], hidden),
        nn.SiLU(),
        nn.Linear(hidden, hidden),
        nn.SiLU(),
        nn.Linear(hidden, math.prod(grid)),
        nn.SiLU(),
        nn.Unflatten(1, grid),
        nn.ConvTranspose2d(features, numbers[2], **window),
    )
    return encoder, decoder


def fully_connected(
    shape: tuple[int, int, int], numbers: tuple[int, int, int], width: float
) -> tuple[nn.Module, nn.Module]:
    """Two hidden layers of 200 tanh units to either side (Burda et al. 2016, section 5)."""
    hidden, pixels = max(4, round(width * 200)), math.prod(shape)
    outputs = numbers[2] * pixels // shape[0]
    encoder = nn.Sequential(nn.Flatten(), *_tanh_layers(pixels, hidden), nn.Linear(hidden, numbers[0]))
    return encoder, nn.Sequential(*_tanh_layers(numbers[1], hidden), nn.Linear(hidden, outputs))


def _tanh_layers(inputs: int, hidden: int) -> tuple[nn.Module, ...]:
    return nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh()


@architecture(
    task="generation",
    source="Kingma & Welling 2014, arXiv:1312.6114",
    small={"width": 0.125, "size": 16},
)
def vae(
    *,
    latent: Annotated[int, Bounds(1, 1024)] = 16,
    beta: Annotated[float, Bounds(0, 1000)] = 1.0,
    likelihood: Literal["bernoulli", "gaussian", "logistic"] = "bernoulli",
    posterior: Literal["diagonal", "flow"] = "diagonal",
    warmup: Annotated[int, Bounds(0, 1000000)] = 0,
    free_bits: Annotated[float, Bounds(0, 16)] = 0.0,
    network: Literal["convolutional", "fully_connected"] = "convolutional",
    width: Annotated[float, Bounds(0.01, 8)] = 1.0,
    levels: Annotated[int, Bounds(2, 256)] = 2,
    channels: Annotated[int, Bounds(1, 4)] = 1,
    size: Annotated[int, Bounds(4, 256)] = 28,
) -> nn.Module:
    """Variational autoencoder: a code of `latent` numbers for every image, and the likelihood of pixels given it.

    - `beta`: weight of the rate KL(q || p) in the loss; bounds are always those of beta 1.
    - `likelihood`: `bernoulli` for two levels; `gaussian` with one learned standard deviation; `logistic` with a
      scale at every pixel; both as the mass of a level.
    - `posterior`: a `diagonal` Gaussian, or one with a planar `flow` step behind it, its parameters from the encoder.
    - `warmup`: steps over which the rate's weight rises from 0. `free_bits`: nats a latent has free (mean of a batch).
    - `width`: channels and hidden units, relative. `size`: height and width of images, a multiple of 4.
    """
    if likelihood == "bernoulli" and levels != 2:
        raise RegistryError(f"a bernoulli likelihood has 2 levels, not {levels}: take gaussian or logistic")
    if size % 4 and network == "convolutional":
        raise RegistryError(f"a convolutional vae has a stride of 4: its size is a multiple of that, not {size}")
    shape, flow = (channels, size, size), posterior == "flow"
    of_pixels = {"bernoulli": Bernoulli, "gaussian": lambda: Gaussian(levels), "logistic": lambda: Logistic(levels)}
    pixel_likelihood = of_pixels[likelihood]()
    numbers = (2 * latent + flow * (2 * latent + 1), latent, channels * pixel_likelihood.numbers)
    build = convolutional if network == "convolutional" else fully_connected
    encoder, decoder = build(shape, numbers, width)
    options = {"levels": levels, "flow": flow, "beta": beta, "warmup": warmup, "free_bits": free_bits}
    return VAE(encoder, decoder, pixel_likelihood, shape, latent, **options)


burda = Published(
    "Burda et al. 2016, arXiv:1509.00519, section 5, one stochastic layer: counted from 784-200-200-50",
    shape=(1, 28, 28),
)
facts(
    vae,
    burda("params", 425284, network="fully_connected", latent=50, channels=1, size=28),
)
