from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from arithmetic import bf16_gradient_tolerance
from torch import Tensor, nn

from architectures.dcgan import GAN, OBJECTIVES, Rules, SpectralConv2d, dcgan, halvings
from bench.data.examples import Examples
from bench.hardware.subject import Subject
from bench.metrics.params import params
from bench.registry import RegistryError
from bench.registry.catalogue import declarations
from bench.spec.recipe import Recipe
from bench.tasks.generation import Generation
from bench.training.loop import fit
from bench.training.modes import MODES

SMALL: dict[str, Any] = {"width": 0.125, "size": 16, "channels": 1, "latent": 6}
LOSSES = ("minimax", "non_saturating", "hinge", "wasserstein")


def network(**axes: Any) -> Any:
    torch.manual_seed(0)
    return dcgan(**{**SMALL, "norm": "group", **axes}).train()


def images(count: int = 4) -> Tensor:
    return torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)


def gradients(module: nn.Module) -> list[Tensor | None]:
    return [None if p.grad is None else p.grad.clone() for p in module.parameters()]


# --- the game: Goodfellow et al. 2014, Proposition 1 and Theorem 1


def densities() -> tuple[Tensor, Tensor, float]:
    """Two mixtures of normals on a line, p and q at the points of a grid, and the points' distance."""
    x = torch.linspace(-9, 9, 600, dtype=torch.float64)

    def normal(mean: float, deviation: float) -> Tensor:
        return (-(((x - mean) / deviation) ** 2) / 2).exp() / (deviation * math.sqrt(2 * math.pi))

    return 0.5 * normal(-1, 0.5) + 0.5 * normal(1.5, 0.7), normal(0.3, 1.2), float(x[1] - x[0])


@pytest.mark.parametrize("loss", ["minimax", "non_saturating"])
def test_the_best_discriminator_is_p_over_p_plus_q_and_its_value_the_divergence(loss: Any) -> None:
    p, q, step = densities()
    scores = torch.zeros_like(p)

    def lost(scores: Tensor) -> Tensor:
        return step * (p * OBJECTIVES[loss].real(scores) + q * OBJECTIVES[loss].fake(scores))

    for _ in range(60):  # Newton's steps, since each score is a problem of its own
        scores.requires_grad_()
        (slope,) = torch.autograd.grad(lost(scores).sum(), scores, create_graph=True)
        (curvature,) = torch.autograd.grad(slope.sum(), scores)
        scores = (scores - (slope / curvature).clamp(-1, 1)).detach()
    torch.testing.assert_close(scores.sigmoid(), p / (p + q), atol=1e-9, rtol=1e-6)
    middle = (p + q) / 2
    divergence = step * (p * (p / middle).log() + q * (q / middle).log()).sum() / 2
    assert -float(lost(scores).sum()) == pytest.approx(2 * float(divergence) - math.log(4), abs=1e-9)


def test_the_generator_s_minimax_loss_is_its_share_of_the_value() -> None:
    scores = torch.linspace(-3, 3, 13, dtype=torch.float64)
    chance = scores.sigmoid()
    torch.testing.assert_close(OBJECTIVES["minimax"].real(scores), -chance.log())
    torch.testing.assert_close(OBJECTIVES["minimax"].fake(scores), -(1 - chance).log())
    torch.testing.assert_close(OBJECTIVES["minimax"].sample(scores), (1 - chance).log())
    torch.testing.assert_close(OBJECTIVES["non_saturating"].sample(scores), -chance.log())
    # far from the data the one has no slope left, and the other has all of it
    far = torch.tensor(-12.0, requires_grad=True)
    slopes = [torch.autograd.grad(OBJECTIVES[loss].sample(far), far)[0] for loss in ("minimax", "non_saturating")]
    assert abs(float(slopes[0])) < 1e-4
    assert float(slopes[1]) == pytest.approx(-1, abs=1e-4)


class Shift(nn.Module):
    """A generator of normal numbers around -1 that learns nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.none = nn.Parameter(torch.zeros(()))

    def forward(self, latents: Tensor) -> Tensor:
        return (latents - 1)[:, :, None, None] + 0 * self.none


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.line(x.flatten(1)).flatten()


def test_the_discriminator_of_a_game_on_a_line_learns_the_logarithm_of_the_ratio() -> None:
    """Of normals around 1 and -1, of deviation 1: log p/q = 2 x."""
    torch.manual_seed(0)
    game = GAN(Shift(), Line(), latent=1, levels=2, rules=Rules("minimax", 1, 0.0)).train()
    optimizer = torch.optim.Adam(game.discriminator.parameters(), lr=0.02)
    values = []
    for _ in range(400):
        x = torch.randn(1024, 1, 1, 1) + 1
        outputs = game(x)
        loss = game.loss(outputs, {})
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        judged = OBJECTIVES["minimax"].sample(game.judged(outputs["sample"])).mean()
        values.append(float((judged - loss).detach()))  # of discriminator and generator: the value, once
    weight, bias = game.discriminator.line.weight, game.discriminator.line.bias
    assert float(weight.detach()) == pytest.approx(2, abs=0.15)
    assert float(bias.detach()) == pytest.approx(0, abs=0.1)
    x = torch.linspace(-9, 9, 4001, dtype=torch.float64)
    p, q = (torch.exp(-((x - m) ** 2) / 2) / math.sqrt(2 * math.pi) for m in (1, -1))
    best = (p * (p / (p + q)).log() + q * (q / (p + q)).log()).sum() * (x[1] - x[0])
    assert sum(values[-100:]) / 100 == pytest.approx(float(best), abs=0.02)


# --- one loss for two players


@pytest.mark.parametrize("loss", LOSSES)
def test_each_player_gets_the_gradient_of_its_own_loss(loss: Any) -> None:
    net, x = network(loss=loss, spectral=False), images()
    torch.manual_seed(1)
    outputs = net(x)
    torch.manual_seed(2)
    net.loss(outputs, {}).backward()
    both = gradients(net.discriminator), gradients(net.generator)

    def alone(build: Any, player: nn.Module) -> list[Tensor | None]:
        net.zero_grad(set_to_none=True)
        torch.manual_seed(1)
        found = net(x)
        torch.manual_seed(2)
        build(found).backward()
        return gradients(player)

    def discriminators(found: dict[str, Tensor]) -> Tensor:
        sample = found["sample"].detach()
        total = OBJECTIVES[loss].real(found["out"]).mean() + OBJECTIVES[loss].fake(net.discriminator(sample)).mean()
        return total + 10 * net.gradient_penalty(x, sample) if loss == "wasserstein" else total

    def generators(found: dict[str, Tensor]) -> Tensor:
        return OBJECTIVES[loss].sample(net.discriminator(found["sample"])).mean()

    expected = alone(discriminators, net.discriminator), alone(generators, net.generator)
    for found, wanted in zip(both, expected, strict=True):
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other)
            assert one is not None
            assert one.any()


@pytest.mark.parametrize("axes", [{"norm": "batch"}, {"spectral": True}], ids=str)
def test_judging_a_sample_leaves_the_discriminator_as_it_was(axes: dict[str, Any]) -> None:
    net = network(**axes)
    before = {name: buffer.clone() for name, buffer in net.discriminator.named_buffers()}
    scores = net.judged(images().requires_grad_())
    assert scores.requires_grad
    scores.sum().backward()
    assert all(p.grad is None for p in net.discriminator.parameters())
    assert before
    assert all(torch.equal(buffer, before[name]) for name, buffer in net.discriminator.named_buffers())
    net.discriminator(images())
    assert any(not torch.equal(buffer, before[name]) for name, buffer in net.discriminator.named_buffers())


def examples() -> Examples:
    pixels = (images(16) > 0).to(torch.uint8)
    return Examples(pixels * 255, {"pixels": pixels}, names=(), ignore=None, palette=())


def test_the_generator_rests_while_the_discriminator_takes_its_steps() -> None:
    """In the training loop: neither momentum nor weight decay moves it, and it moves in each third step."""
    states, first = [], None
    for steps in (2, 3, 5, 6):
        net = network(discriminator_steps=3, levels=2)
        first = first or [p.detach().clone() for p in net.generator.parameters()]
        recipe = Recipe(steps=steps, batch=4, weight_decay=0.1, schedule="constant", warmup=0.0, mode="fp32")
        fit(net, Generation, examples(), recipe, seed=0)
        states.append([p.detach().clone() for p in net.generator.parameters()])
        assert all((p != q).any() for p, q in zip(net.discriminator.parameters(), network().discriminator.parameters()))
    assert first
    assert all(torch.equal(one, other) for one, other in zip(first, states[0]))
    assert not any(torch.equal(one, other) for one, other in zip(states[0], states[1]))
    assert all(torch.equal(one, other) for one, other in zip(states[1], states[2]))
    assert not any(torch.equal(one, other) for one, other in zip(states[2], states[3]))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_training_is_reproduced_from_its_seed(loss: Any) -> None:
    recipe = Recipe(steps=3, batch=4, momentum=0.5, mode="fp32")
    nets = [network(loss=loss, levels=2) for _ in range(2)]
    for net in nets:
        fit(net, Generation, examples(), recipe, seed=3)
    one, other = (net.eval()(images()) for net in nets)
    assert torch.equal(one["sample"], other["sample"])
    assert torch.equal(one["out"], other["out"])


# --- gradient penalty and spectral normalisation


class Plane(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([3.0, 0.0, 4.0, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight


def test_the_penalty_of_a_plane_is_that_of_its_slope() -> None:
    """(|w| - 1)^2 = 16, whose gradient is 2 (|w| - 1) w / |w|."""
    game = GAN(Shift(), Plane(), latent=1, levels=2, rules=Rules("wasserstein", 1, 10.0))
    penalty = game.gradient_penalty(torch.randn(5, 1, 2, 2), torch.randn(5, 1, 2, 2))
    penalty.backward()
    assert float(penalty.detach()) == pytest.approx(16)
    weight = game.discriminator.weight
    torch.testing.assert_close(weight.grad, 8 * weight.detach() / 5)


@pytest.mark.parametrize("mode", list(MODES))
@pytest.mark.parametrize("axes", [{}, {"norm": "none", "spectral": True}], ids=str)
def test_the_penalty_s_gradient_is_the_same_in_every_mode(axes: dict[str, Any], mode: str) -> None:
    found = []
    for name in ("fp32", mode):
        net = network(**axes, loss="wasserstein").to(memory_format=MODES[name].layout)
        x = images().contiguous(memory_format=MODES[name].layout)
        torch.manual_seed(5)
        with MODES[name].autocast("cpu"):
            penalty = net.gradient_penalty(x, x.flip(0))
        penalty.backward()
        found.append((penalty.detach(), [g for g in gradients(net.discriminator) if g is not None]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-6)
    assert len(found[0][1]) >= 3


@pytest.mark.parametrize("mode", list(MODES))
@pytest.mark.parametrize("loss", LOSSES)
def test_a_step_in_a_fast_mode_has_nearly_the_gradient_of_a_plain_one(loss: Any, mode: str) -> None:
    found = []
    for name in ("fp32", mode):
        net = network(loss=loss).to(memory_format=MODES[name].layout)
        x = images().contiguous(memory_format=MODES[name].layout)
        torch.manual_seed(5)
        with MODES[name].autocast("cpu"):
            total = net.loss(net(x), {})
        total.backward()
        found.append(torch.cat([g.flatten() for g in gradients(net) if g is not None]))
    # Generator and discriminator have three convolutions each: 2 * 6 * 3 roundings of 2^-8 are 14 %.
    tolerance = bf16_gradient_tolerance(net.generator, net.discriminator)
    assert tolerance == 36 / 256
    assert (found[1] - found[0]).norm() < tolerance * found[0].norm()


def test_spectral_normalisation_divides_by_the_largest_singular_value() -> None:
    torch.manual_seed(0)
    layer = SpectralConv2d(3, 5, 3, bias=False).train()
    layer.iterate(200)
    largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2)
    x = torch.randn(2, 3, 6, 6)
    expected = nn.functional.conv2d(x, layer.weight / largest)
    torch.testing.assert_close(layer(x), expected.detach(), rtol=1e-4, atol=1e-5)
    theirs = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 5, 3, bias=False), n_power_iterations=50)
    with torch.no_grad():
        theirs.parametrizations.weight.original.copy_(layer.weight)
    for _ in range(5):
        theirs(x)
    theirs(x).square().sum().backward()
    layer(x).square().sum().backward()
    torch.testing.assert_close(layer.weight.grad, theirs.parametrizations.weight.original.grad, rtol=1e-3, atol=1e-4)


def test_the_vectors_are_kept_in_evaluation_and_bettered_in_training() -> None:
    net = network(spectral=True)
    first = net.discriminator.layers[0]
    before = first.u.clone()
    net.eval()(images())
    assert torch.equal(first.u, before)
    net.train()(images())
    assert not torch.equal(first.u, before)


# --- the networks


def test_parameters_are_counted_for_each_player() -> None:
    reading = params(Subject(lambda: dcgan(), (3, 64, 64)))
    assert (reading.detail["generator"], reading.detail["discriminator"]) == (3576704, 2765568)
    assert reading.value == 3576704 + 2765568


@pytest.mark.parametrize("upsampler", ["transposed", "nearest", "pixel_shuffle"])
@pytest.mark.parametrize("size", [8, 16, 24, 28, 32, 48, 56, 64, 128])
def test_images_may_have_any_size_that_halves_down_to_eight_px(size: int, upsampler: str) -> None:
    with torch.device("meta"):
        outputs = dcgan(size=size, upsampler=upsampler).eval()(torch.empty(2, 3, size, size))
    assert outputs["sample"].shape == (2, 3, size, size)
    assert outputs["out"].shape == (2,)


@pytest.mark.parametrize("size", [9, 22, 36, 30])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(RegistryError, match="16, 24, 28"):
        halvings(size)


def test_a_penalty_beside_batch_norm_is_refused() -> None:
    with pytest.raises(RegistryError, match="mixes images"):
        declarations().architectures.get("dcgan").resolve({"loss": "wasserstein"})


def test_evaluation_shows_one_latent_and_leaves_the_global_generator_alone() -> None:
    net = network().eval()
    state = torch.get_rng_state()
    shown = net(images())["sample"]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(shown[0], shown[3])
    assert "images" not in net(images())
    assert not torch.equal(net.train()(images())["sample"][0], net(images())["sample"][0])


@pytest.mark.parametrize("levels", [2, 5, 256])
def test_samples_are_the_nearest_levels(levels: int) -> None:
    net = network(levels=levels).eval()
    with torch.no_grad():
        found = net.sample(6, torch.Generator().manual_seed(0))
        latents = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
        floats = net.generator(latents)
    assert found.dtype == torch.uint8
    torch.testing.assert_close(found * (2 / (levels - 1)) - 1, floats, rtol=0, atol=1.001 / (levels - 1))
