"""Bounds against exact likelihoods, likelihoods against sums over all levels, the flow against its Jacobian."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bench.tasks.features
from architectures.layers.discrete import prepared
from architectures.vae import VAE, Bernoulli, Gaussian, Logistic, _log_normal_mass, log_prior, planar, vae
from bench.data.sprites import sprites
from bench.metrics.bits_per_dim import bits_per_dim
from bench.metrics.iwae_nats import iwae_nats
from bench.registry import RegistryError
from bench.spec.recipe import Recipe
from bench.tasks.generation import Generation
from bench.training.loop import fit


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Density(nn.Module):
    """A Gaussian of standard deviation `sigma`, not cut into levels: what makes the marginal a Gaussian."""

    numbers = 1

    def __init__(self, sigma: float, levels: int) -> None:
        super().__init__()
        self.sigma, self.levels = sigma, levels

    def log_probability(self, parameters: Tensor, pixels: Tensor) -> Tensor:
        off = (prepared(pixels, self.levels) - parameters[:, :, 0]) / self.sigma
        return -0.5 * (off.square() + math.log(2 * math.pi * self.sigma**2))


SHAPE, LATENT, SIGMA = (1, 2, 3), 2, 0.3


def linear_gaussian(spoilt: float) -> tuple[VAE, Tensor, Tensor]:
    """x = W z + b + noise, with the exact posterior, or one `spoilt` by so much; images; their exact log-densities."""
    draw = generator(1)
    w, b = torch.randn(6, LATENT, generator=draw) * 0.4, torch.randn(6, generator=draw) * 0.1
    precision = torch.eye(LATENT) + w.T @ w / SIGMA**2
    covariance = torch.linalg.inv(precision)
    basis = torch.linalg.eigh(covariance).eigenvectors  # in which the exact posterior is diagonal
    w = w @ basis
    variance = torch.linalg.inv(torch.eye(LATENT) + w.T @ w / SIGMA**2).diagonal()
    encoder, decoder = nn.Sequential(nn.Flatten(), nn.Linear(6, 2 * LATENT)), nn.Linear(LATENT, 6)
    gain = variance[:, None] * w.T / SIGMA**2
    with torch.no_grad():
        decoder.weight.copy_(w)
        decoder.bias.copy_(b)
        encoder[1].weight.copy_(torch.cat([gain + spoilt * torch.randn(gain.shape, generator=draw), 0 * gain]))
        encoder[1].bias.copy_(torch.cat([-gain @ b, variance.log() + spoilt]))
    model = VAE(encoder, decoder, Density(SIGMA, 256), SHAPE, LATENT, levels=256).eval()
    pixels = torch.randint(60, 196, (200, *SHAPE), generator=draw, dtype=torch.uint8)
    marginal = torch.distributions.MultivariateNormal(b, w @ w.T + SIGMA**2 * torch.eye(6))
    return model, pixels, marginal.log_prob(prepared(pixels, 256).flatten(1))


@torch.no_grad()
def test_bounds_of_a_linear_gaussian_vae_rise_to_the_exact_likelihood():
    model, pixels, exact = linear_gaussian(spoilt=0.3)
    draws = generator()
    elbo = torch.stack([model.elbo(pixels, draws)["elbo"] for _ in range(50)]).mean()
    bounds = [model.importance_bound(pixels, k, draws).mean() for k in (4, 64, 1024)]
    chain = [elbo, *bounds, exact.mean()]
    gains = [float(b - a) for a, b in itertools.pairwise(chain)]
    assert gains[0] > 0.3
    assert gains[1] > 0.1
    assert gains[2] > 0.01
    assert -0.01 < gains[3] < 0.1


@torch.no_grad()
def test_with_the_exact_posterior_every_bound_is_the_likelihood():
    model, pixels, exact = linear_gaussian(spoilt=0.0)
    parts = model.elbo(pixels, generator())
    assert torch.allclose(parts["elbo"], parts["reconstruction"] - parts["kl"])
    assert float((parts["elbo"] - exact).mean()) == pytest.approx(0, abs=0.3)  # one draw of z; KL in closed form
    assert torch.allclose(model.importance_bound(pixels, 3, generator()), exact, atol=2e-3)  # weights don't vary


def tiny(posterior: str) -> VAE:
    """One latent, a likelihood that depends on it, and a posterior that is wider than the prior."""
    torch.manual_seed(3)
    model = vae(latent=1, posterior=posterior, network="fully_connected", width=0.1, size=4)
    with torch.no_grad():
        for p in model.decoder.parameters():
            p.mul_(2.0)
        model.encoder[-1].bias[1] = 0.7
        model.encoder[-1].bias[2:] = torch.tensor([0.8, 1.2, 0.3])[: 3 * (posterior == "flow")]
    return model.eval()


@torch.no_grad()
def by_quadrature(model: VAE, pixels: Tensor) -> Tensor:
    """log of the integral of p(z) p(x|z) over one latent, in 2001 steps from -9 to 9."""
    z = torch.linspace(-9, 9, 2001)[:, None]
    prior = -0.5 * (z[:, 0].square() + math.log(2 * math.pi)) + math.log(18 / 2000)
    conditional = [model.log_conditional(image.expand(2001, -1, -1, -1), z) for image in pixels]
    return torch.stack([(prior + c).logsumexp(dim=0) for c in conditional])


@pytest.mark.parametrize("posterior", ["diagonal", "flow"])
@torch.no_grad()
def test_importance_weights_give_the_integral_over_codes(posterior):
    """A wrong density of a draw, of the flow's too, would move the mean of the weights."""
    model = tiny(posterior)
    pixels = torch.randint(0, 2, (6, 1, 4, 4), generator=generator(), dtype=torch.uint8)
    exact = by_quadrature(model, pixels)
    assert torch.allclose(model.importance_bound(pixels, 20000, generator()), exact, atol=0.05)
    elbo = torch.stack([model.elbo(pixels, generator(s))["elbo"] for s in range(200)]).mean(dim=0)
    assert (elbo < exact).all()


@torch.no_grad()
def test_probabilities_of_all_images_sum_to_one():
    torch.manual_seed(0)
    encoder, decoder = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), nn.Linear(1, 4)
    model = VAE(encoder, decoder, Bernoulli(), (1, 2, 2), 1).eval()
    every = torch.tensor(list(itertools.product((0, 1), repeat=4)), dtype=torch.uint8).view(-1, 1, 2, 2)
    assert float(by_quadrature(model, every).exp().sum()) == pytest.approx(1, abs=1e-5)


def test_the_planar_step_stretches_space_as_it_says():
    draw = generator()
    z, parameters = torch.randn(20, 3, generator=draw), 2 * torch.randn(20, 7, generator=draw)
    moved, stretched = planar(z, parameters)
    for i in range(20):
        jacobian = torch.autograd.functional.jacobian(lambda x, i=i: planar(x[None], parameters[i : i + 1])[0][0], z[i])
        assert float(torch.linalg.det(jacobian).log()) == pytest.approx(float(stretched[i]), abs=1e-4)
    assert not torch.allclose(moved, z)


@pytest.mark.parametrize("posterior", ["diagonal", "flow"])
@torch.no_grad()
def test_codes_have_the_moments_of_what_is_drawn(posterior):
    model = tiny(posterior)
    images = torch.rand(4, 1, 4, 4, generator=generator()) * 2 - 1
    q = model.posterior(images)
    z = [q.draw(generator(s))[0] for s in range(4000)]
    mean, variance = model.encode(images)
    assert torch.allclose(mean, torch.stack(z).mean(dim=0), atol=0.25)
    assert torch.allclose(variance, torch.stack(z).var(dim=0), rtol=0.25)


@pytest.mark.parametrize("posterior", ["diagonal", "flow"])
@torch.no_grad()
def test_the_rate_in_eval_mode_is_that_of_draws(posterior):
    """The mean of many in closed form, or with a flow the one that a generator of seed 0 draws."""
    model = tiny(posterior)
    pixels = torch.randint(0, 2, (6, 1, 4, 4), generator=generator(), dtype=torch.uint8)
    images = pixels.float() * 2 - 1
    q = model.posterior(images)
    seeds = range(1 if posterior == "flow" else 4000)
    drawn = [(density - log_prior(z)) for z, density in (q.draw(generator(s)) for s in seeds)]
    assert torch.allclose(model(images)["rate"].sum(dim=1), torch.stack(drawn).mean(dim=0), atol=0.05)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "logistic"])
@torch.no_grad()
def test_a_likelihood_is_a_distribution_over_levels(likelihood):
    levels = 2 if likelihood == "bernoulli" else 5
    held = {"bernoulli": Bernoulli, "gaussian": lambda: Gaussian(5), "logistic": lambda: Logistic(5)}[likelihood]()
    parameters = torch.randn(3, 2, held.numbers, 2, 2, generator=generator())
    every = [torch.full((3, 2, 2, 2), level, dtype=torch.uint8) for level in range(levels)]
    table = torch.stack([held.log_probability(parameters, level) for level in every]).exp()
    assert torch.allclose(table.sum(dim=0), torch.ones(3, 2, 2, 2), atol=1e-5)
    numbers = torch.arange(levels).view(-1, 1, 1, 1, 1)
    assert torch.allclose(held.expected(parameters), (table * numbers).sum(dim=0), atol=1e-4)
    many = held.drawn(parameters.repeat(4000, 1, 1, 1, 1), generator()).view(4000, 3, 2, 2, 2)
    counted = torch.stack([(many == level).double().mean(dim=0) for level in range(levels)])
    assert float((counted - table).abs().max()) < 4.5 * 0.5 / math.sqrt(4000)


def test_the_mass_of_a_normal_is_right_far_out_and_has_a_gradient():
    from scipy.special import log_ndtr

    lower = torch.tensor([-30.0, -3.0, -0.1, 2.0, 25.0, -math.inf, 5.0], dtype=torch.float64, requires_grad=True)
    upper = torch.tensor([-29.0, -2.99, 0.2, 2.1, 26.0, -8.0, math.inf], dtype=torch.float64)
    a, b = lower.detach().numpy(), upper.numpy()
    with np.errstate(divide="ignore"):  # each is taken only on its side
        left = log_ndtr(b) + np.log1p(-np.exp(log_ndtr(a) - log_ndtr(b)))
        right = log_ndtr(-a) + np.log1p(-np.exp(log_ndtr(-b) - log_ndtr(-a)))
    found = _log_normal_mass(lower, upper)
    assert found.detach().numpy() == pytest.approx(np.where(a > 0, right, left), rel=1e-9)
    found.sum().backward()
    assert lower.grad[lower.isfinite()].isfinite().all()  # an infinite end is a constant


def outputs(model: VAE, rate: list[list[float]]) -> dict[str, Tensor]:
    return {"out": torch.zeros(2, 1, 4, 4), "rate": torch.tensor(rate)}


def test_the_loss_is_the_bound_in_bits_and_its_weights_are_the_axes():
    targets = {"pixels": torch.ones(2, 1, 4, 4, dtype=torch.uint8)}
    rate, bit = [[1.0, 3.0], [1.0, 5.0]], math.log(2) * 16

    def loss(**axes):
        model = vae(latent=2, size=4, **axes)
        return model, lambda: float(model.loss(outputs(model, rate), targets)) * bit

    plain, of_plain = loss()
    assert of_plain() == pytest.approx(bit + 5)
    assert plain.loss_unit == "bits/dim"
    heavy, of_heavy = loss(beta=3.0)
    assert of_heavy() == pytest.approx(bit + 15)
    assert heavy.loss_unit == ""
    assert loss(free_bits=2.5)[1]() == pytest.approx(bit + 2.5 + 4)  # the first latent has 2.5 nats free
    warm, of_warm = loss(warmup=4)
    assert [of_warm() - bit for _ in range(6)] == pytest.approx([1.25, 2.5, 3.75, 5, 5, 5], rel=1e-5)
    warm.eval()
    assert of_warm() == pytest.approx(bit + 5)
    assert int(warm.steps) == 6


def test_training_reports_the_bound_that_evaluation_does():
    model = vae(latent=3, size=8, width=0.25)
    pixels = torch.randint(0, 2, (4000, 1, 8, 8), generator=generator(), dtype=torch.uint8)
    torch.manual_seed(0)
    with torch.no_grad():
        trained = float(model.train().loss(model(prepared(pixels, 2)), {"pixels": pixels}))
        evaluated = float(model.eval().elbo(pixels, generator())["elbo"].mean()) / (-64 * math.log(2))
    assert trained == pytest.approx(evaluated, rel=1e-3)


def test_what_it_is_not_built_for_is_refused():
    with pytest.raises(RegistryError, match="2 levels, not 4"):
        vae(levels=4)
    with pytest.raises(RegistryError, match=r"stride of 4.*not 30"):
        vae(size=30)
    with pytest.raises(ValueError, match=r"\(1, 28, 28\), not \(1, 32, 32\): set `size`"):
        vae()(torch.zeros(1, 1, 32, 32))


def test_it_learns_sprites_and_stays_above_their_entropy(monkeypatch):
    """Two factors of two places on 8 x 8 pixels: within 3 nats of the floor after 250 steps."""
    monkeypatch.setattr(bench.tasks.features, "STEPS", 1)
    shape, how = (1, 8, 8), {"factors": 2, "size": 4, "noise": 0.02}
    train, held_out = (sprites(None, s, shape, train_count=2048, val_count=256, **how) for s in ("train", "val"))
    torch.manual_seed(0)
    model = vae(latent=2, size=8, width=0.25)
    recipe = Recipe(steps=250, batch=64, lr=5e-3, mode="fp32")
    trained = fit(model, Generation, train, recipe, seed=0)
    evaluation = Generation.evaluate(trained.model, held_out)
    floor = held_out.optimum["iwae_nats"]
    assert floor - 3 < iwae_nats(evaluation).value < floor + 0.3  # 256 images: an error of 0.15
    assert bits_per_dim(evaluation).error is None
    assert trained.curves["loss"][-20:].mean() < 0.5 * trained.curves["loss"][:20].mean()
