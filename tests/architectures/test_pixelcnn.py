from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import pytest
import torch
from autoregressive import before, images, reached
from torch import Tensor, nn

from architectures.layers.discrete import LogisticMixture, log_logistic_mass, prepared
from architectures.pixelcnn import pixelcnn
from bench.hardware.subject import Subject
from bench.metrics.blind_spot import blind_spot
from bench.metrics.receptive_field import receptive_field
from bench.structure.costs import costs
from bench.structure.tape import record

SMALL: dict[str, Any] = {"channels": 3, "layers": 3, "first_kernel": 3, "width": 0.05}
KINDS = [{"gating": g, "blind_spot": b, "bottleneck": n} for g, b, n in itertools.product((False, True), repeat=3)]
ORDERS = ("rows", "columns", "backwards")


def network(**axes: Any) -> Any:
    """In double precision, with weights large enough that what can matter does."""
    torch.manual_seed(0)
    net = pixelcnn(**{**SMALL, **axes}).double().eval()
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.5)
    return net


@pytest.mark.parametrize("head", ["categorical", "logistic_mixture"])
@pytest.mark.parametrize("axes", KINDS, ids=str)
def test_probabilities_of_all_images_sum_to_one(axes: dict[str, Any], head: str) -> None:
    for levels, channels, size in ((2, 1, 3), (3, 2, 2)):
        net = network(levels=levels, channels=channels, head=head, components=2, **axes)
        with torch.no_grad():
            found = net.log_likelihood(images(levels, channels, size, size))
        assert found.exp().std() > 1e-3 / len(found)  # it is not the uniform distribution
        assert float(found.exp().sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_probabilities_sum_to_one_in_any_order(order: str) -> None:
    net = network(levels=2, channels=1, order=order)
    with torch.no_grad():
        found = net.log_likelihood(torch.stack([i.view(1, 2, 4) for i in images(2, 8)]))
    assert float(found.exp().sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("axes", KINDS, ids=str)
def test_a_pixel_changes_only_what_comes_after_it(axes: dict[str, Any], order: str) -> None:
    """And without a blind spot everything that comes after it: channels included, as far as the layers reach."""
    net = network(layers=5, width=0.1, channels=2, levels=2, order=order, **axes)
    found, due = reached(net, 2, 4, 5), before(net, 2, 4, 5)
    assert not (found & ~due).any()
    if axes["blind_spot"]:
        assert found.sum() < due.sum()
    else:
        assert torch.equal(found, due)


@pytest.mark.parametrize("axes", [{}, {"blind_spot": False, "gating": True, "bottleneck": False}], ids=str)
def test_the_receptive_field_is_what_trial_finds(axes: dict[str, Any]) -> None:
    net = network(channels=1, levels=2, layers=4, **axes)
    field = receptive_field(net, (1, 9, 11), position=(6, 5))
    found = reached(net, 1, 9, 11)[:, 6 * 11 + 5].view(9, 11)
    assert field.exact
    assert torch.equal(torch.from_numpy(field.mask), found)


def hidden(layers: int, kernel: int) -> tuple[int, int]:
    """(blind, before) by geometry: a row r above is reached to the right by kernel // 2 px for each row gone up."""
    reach = kernel // 2
    extent = layers * reach
    rows = range(1, extent + 1)
    return sum(extent - min(extent, reach * row) for row in rows), extent * (2 * extent + 1) + extent


@pytest.mark.parametrize(
    ("layers", "kernel", "published"), [(5, 3, 0.167), (8, 3, 0.194), (15, 3, 0.219), (15, 5, 0.113)]
)
def test_the_blind_spot_is_the_published_one(layers: int, kernel: int, published: float) -> None:
    def build() -> nn.Module:
        return pixelcnn(layers=layers, kernel=kernel, first_kernel=kernel, width=0.05, channels=3)

    reading = blind_spot(Subject(build, (3, 32, 32)))
    blind, causal = hidden(layers, kernel)
    assert (reading.detail["blind"], reading.detail["before"]) == (blind, causal)
    assert reading.value == blind / causal
    assert round(reading.value, 3) == published


def test_a_pixel_of_one_channel_that_sees_itself_is_told() -> None:
    class Leaking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(1, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.layer(x)
            return found

        def conditioning_order(self, height: int, width: int) -> Tensor:
            return torch.arange(height * width).view(height, width)

    assert "not autoregressive" in str(blind_spot(Subject(Leaking, (1, 8, 8))).error)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("gating", [False, True])
def test_two_stacks_have_no_blind_spot(gating: bool, order: str) -> None:
    axes = {"blind_spot": False, "gating": gating, "order": order, **SMALL}
    reading = blind_spot(Subject(lambda: pixelcnn(**axes), (3, 32, 32)))
    assert reading.value == 0
    assert reading.detail["seen"] == 3 * 7 + 3


def test_the_map_shows_the_blind_spot_to_the_upper_right() -> None:
    reading = blind_spot(Subject(lambda: pixelcnn(**SMALL), (3, 32, 32)))
    assert reading.detail["map"] == ["+++++++", "++++++o", "+++++oo", "+++x..."]


def test_networks_without_an_order_have_no_blind_spot_to_speak_of() -> None:
    reading = blind_spot(Subject(lambda: nn.Conv2d(3, 3, 3, padding=1), (3, 32, 32)))
    assert "conditioning_order" in str(reading.error)


def test_a_network_that_looks_ahead_is_not_given_a_blind_spot() -> None:
    class Ahead(nn.Conv2d):
        def conditioning_order(self, height: int, width: int) -> Tensor:
            return torch.arange(height * width).view(height, width)

    reading = blind_spot(Subject(lambda: Ahead(3, 3, 3, padding=1), (3, 32, 32)))
    assert "depends on 4 pixels that come after" in str(reading.error)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("axes", KINDS, ids=str)
def test_samples_with_memory_are_those_without(axes: dict[str, Any], order: str) -> None:
    net = network(channels=2, levels=3, size=5, order=order, kernel=5, **axes)
    kept, naive = (draw(4, torch.Generator().manual_seed(2)) for draw in (net.sample, net.sample_naively))
    assert kept.dtype == torch.uint8
    assert torch.equal(kept, naive)
    assert len(kept.unique()) == 3


def test_samples_follow_the_probabilities() -> None:
    net = network(channels=1, levels=2, size=2)
    every = images(2, 1, 2, 2)
    with torch.no_grad():
        chances = net.log_likelihood(every).exp()
    drawn = net.sample(20000, torch.Generator().manual_seed(0)).flatten(1)
    numbers = (drawn * torch.tensor([8, 4, 2, 1])).sum(1)
    shares = torch.bincount(numbers, minlength=16) / len(drawn)
    spread = (chances * (1 - chances) / len(drawn)).sqrt()
    assert ((shares - chances).abs() < 5 * spread).all()


def test_sampling_leaves_the_global_generator_alone() -> None:
    net = network(channels=1, levels=2, size=3)
    state = torch.get_rng_state()
    net.sample(2, torch.Generator().manual_seed(0))
    net(torch.zeros(1, 1, 3, 3, dtype=torch.float64))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_loss_is_the_likelihood_in_bits_per_dimension() -> None:
    net = network(channels=2, levels=4)
    pixels = torch.randint(0, 4, (3, 2, 6, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        loss = net.loss(net(prepared(pixels, 4).double()), {"pixels": pixels})
        expected = -net.log_likelihood(pixels).mean() / 60 / math.log(2)
    torch.testing.assert_close(loss, expected)


def test_the_mass_of_a_logistic_is_the_difference_of_its_distribution() -> None:
    means = torch.linspace(-1.2, 1.2, 7, dtype=torch.float64)[:, None]
    scales = torch.tensor([0.01, 0.1, 1.0], dtype=torch.float64)
    cuts = torch.cat([torch.tensor([-math.inf]), (torch.arange(4) * 2 + 1) / 4 - 1, torch.tensor([math.inf])]).double()
    for level in range(5):
        expected = ((cuts[level + 1] - means) / scales).sigmoid() - ((cuts[level] - means) / scales).sigmoid()
        found = log_logistic_mass(torch.tensor(level), means, scales.log(), 5).exp()
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-15)


def test_a_narrow_logistic_has_a_finite_mass_and_gradient_far_away() -> None:
    means = torch.tensor([0.9], requires_grad=True)
    mass = log_logistic_mass(torch.tensor([3]), means, torch.tensor([-7.0]), 256)
    mass.sum().backward()
    assert -2200 < float(mass.detach()) < -1000
    assert means.grad is not None
    assert float(means.grad) == pytest.approx(-math.exp(7), rel=1e-3)


def test_the_table_of_a_mixture_holds_its_log_probabilities() -> None:
    mixture = LogisticMixture(4, 3)
    parameters = torch.randn(2, 3, 9, 2, 2, generator=torch.Generator().manual_seed(0))
    table = mixture.table(parameters)
    for level in range(4):
        pixels = torch.full((2, 3, 2, 2), level)
        torch.testing.assert_close(table[:, :, level], mixture.log_probability(parameters, pixels))
    torch.testing.assert_close(table.logsumexp(2), torch.zeros(2, 3, 2, 2), atol=1e-6, rtol=0)


@pytest.mark.parametrize("levels", [2, 3, 4, 8, 13, 37, 256])
def test_levels_are_prepared_as_the_task_prepares_their_bytes(levels: int) -> None:
    from bench.data.levels import stretched
    from bench.tasks.generation import Generation

    pixels = torch.arange(levels, dtype=torch.uint8)
    expected = Generation.prepare(torch.from_numpy(stretched(pixels.numpy(), levels)))
    assert torch.equal(prepared(pixels, levels), expected)


def test_the_live_count_leaves_out_what_the_masks_do() -> None:
    """A 7x7 mask A of one channel keeps 24 of 49 taps."""
    counted = costs(record(pixelcnn(layers=1, channels=1, levels=2, width=0.05).layers[0].convolution, (1, 1, 20, 20)))
    assert counted.live * 49 == counted.macs * 24


@pytest.mark.parametrize("axes", [{}, {"gating": True, "blind_spot": False, "head": "logistic_mixture"}], ids=str)
def test_layout_and_dtype_do_not_change_the_answer(axes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = pixelcnn(**{**SMALL, "channels": 1, "levels": 4, **axes}).eval()
    pixels = torch.randint(0, 4, (2, 1, 9, 8), dtype=torch.uint8)
    expected = net.log_likelihood(pixels)
    moved = copy.deepcopy(net).to(memory_format=torch.channels_last)
    torch.testing.assert_close(moved.log_likelihood(pixels), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert (net.log_likelihood(pixels) / expected - 1).abs().max() < 0.01


def test_deep_networks_start_near_the_uniform_distribution() -> None:
    torch.manual_seed(0)
    pixels = torch.randint(0, 8, (4, 1, 16, 16), dtype=torch.uint8)
    for axes in KINDS:
        net = pixelcnn(layers=15, width=0.1, channels=1, levels=8, **axes)
        bits = float(net.loss(net(prepared(pixels, 8)), {"pixels": pixels}).detach())
        assert 2.95 < bits < 3.3
