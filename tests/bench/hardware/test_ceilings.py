"""Ceilings from an artificial clock, and the times that they allow."""

from __future__ import annotations

import itertools

import pytest
import torch

from bench.hardware.ceilings import Ceilings, allowed, best, convolution_arithmetic, copy_rate, measured, product_rate
from bench.hardware.subject import Subject
from bench.structure.traffic import Work

ROOF = Ceilings("cpu", "float32", 1, flops=100.0, bandwidths=((8, 40.0), (64, 50.0), (512, 10.0)))


def work(flops: int, moved: int) -> Work:
    return Work("op", "", flops, moved, True)


def test_an_operator_takes_as_long_as_computing_or_moving_whichever_is_longer() -> None:
    assert ROOF.seconds(work(1000, 512)) == 51.2  # 512 bytes at 10 a second
    assert ROOF.seconds(work(100_000, 512)) == 1000.0  # 100,000 FLOPs at 100 a second
    assert ROOF.seconds(work(0, 0)) == 0.0
    assert allowed(ROOF, [work(1000, 512), work(100_000, 512)]) == 1051.2


@pytest.mark.parametrize(
    ("moved", "rate"), [(1, 50.0), (8, 50.0), (63, 50.0), (64, 50.0), (511, 50.0), (512, 10.0), (9999, 10.0)]
)
def test_the_bandwidth_is_never_below_what_a_copy_of_the_size_reaches(moved: int, rate: float) -> None:
    assert ROOF.bandwidth_of(moved) == rate


def test_the_memory_s_bandwidth_is_that_of_the_largest_copy() -> None:
    assert ROOF.bandwidth == 10.0


def test_rates_count_two_flops_a_mac_and_bytes_read_and_written() -> None:
    def half(call: object) -> float:
        call()  # type: ignore[operator]
        return 0.5

    assert product_rate(half, "cpu", "float32", side=4, seconds=0) == 2 * 4**3 / 0.5
    assert copy_rate(half, "cpu", size=1000, seconds=0) == 1000 / 0.5


def test_the_best_of_several_tries_is_the_ceiling_and_the_first_does_not_count() -> None:
    times = itertools.chain([0.1, 3.0, 2.0, 4.0], itertools.repeat(9.0))
    assert best(lambda: None, lambda call: next(times), seconds=5) == 2.0
    assert next(times) == 9.0  # 3 + 2 + 4 are more than 5: no further try


def test_convolutions_have_a_ceiling_of_their_own_where_their_arithmetic_is_another() -> None:
    roof = Ceilings("cuda", "float32", 1, flops=100.0, bandwidths=((8, 1e9),), convolutions=800.0)
    convolution, product = (Work(name, "", 8000, 0, True) for name in ("convolution", "mm"))
    assert (roof.seconds(convolution), roof.seconds(product)) == (10.0, 80.0)
    assert ROOF.seconds(Work("convolution", "", 8000, 0, True)) == 80.0


@pytest.mark.parametrize(
    ("device", "dtype", "convolutions", "products", "differs"),
    [
        ("cuda", "float32", True, False, True),
        ("cuda", "float32", False, True, True),
        ("cuda", "float32", True, True, False),
        ("cuda", "bfloat16", True, False, False),
        ("cpu", "float32", True, False, False),
    ],
)
def test_the_arithmetic_of_convolutions_is_set_while_it_is_measured(
    device: str, dtype: str, convolutions: bool, products: bool, differs: bool, request: pytest.FixtureRequest
) -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    request.addfinalizer(lambda: _set_tf32(*before))
    _set_tf32(convolutions, products)
    with convolution_arithmetic(device, dtype) as measured_apart:
        assert measured_apart is differs
        assert torch.backends.cuda.matmul.allow_tf32 is (convolutions if differs else products)
    assert torch.backends.cuda.matmul.allow_tf32 is products


def _set_tf32(convolutions: bool, products: bool) -> None:
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cuda.matmul.allow_tf32 = products


def test_a_device_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="the ceilings of 'meta' cannot be measured"):
        measured("meta", "float32", 1)


def test_ceilings_of_this_machine_are_rates() -> None:
    ceilings = measured("cpu", "float32", 1, seconds=0.0)
    assert ceilings.flops > 1e6
    assert all(rate > 1e6 for _, rate in ceilings.bandwidths)


def test_a_roofline_is_allowed_over_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.hardware.timing import Sample, Timing
    from bench.metrics import roofline as module

    timing = Timing((Sample(8.0, 8.0, 0), Sample(16.0, 16.0, 1)), 6, True, "3 s", (0.0, 0.0))
    roof = Ceilings("cpu", "float32", 1, flops=1e9, bandwidths=((1, 462.0),))
    monkeypatch.setattr(module, "measured", lambda *_: roof)
    monkeypatch.setattr(module, "forward_timing", lambda _: timing)
    reading = module.roofline(Subject(build=lambda: torch.nn.Conv2d(3, 8, 3), shape=(3, 10, 10), batch=2))
    # bytes: 4 x (600 + 216 + 8 + 1024) = 7392, at 462 a second: 16 s allowed
    assert reading.value == [2.0, 1.0]
    detail = reading.detail
    assert (detail["bytes"], detail["allowed_ms"], detail["measured_ms"]) == (7392, 16_000, 12_000)
    assert detail["flops"] == 2 * 1024 * 27 + 1024
    assert detail["achieved_flops_per_s"] == detail["flops"] / 12
    assert (detail["peak_flops_per_s"], detail["peak_bytes_per_s"]) == (1e9, 462.0)
    assert (detail["compute_bound"], detail["coverage"]) == (0.0, 1.0)


class Attention(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2)
        return torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)


@pytest.mark.parametrize(
    ("network", "how", "cause"),
    [
        (torch.nn.Conv2d(3, 4, 3), {}, "possible by Winograd convolutions"),
        (torch.nn.ConvTranspose2d(3, 4, 5), {}, "possible by Winograd convolutions"),
        (torch.nn.Conv2d(3, 4, 3, stride=2), {}, "a fault"),
        (torch.nn.Conv2d(3, 4, 3, dilation=2), {}, "a fault"),
        (torch.nn.Conv2d(3, 3, 3, groups=3), {}, "a fault"),
        (torch.nn.Conv2d(3, 4, 1), {}, "a fault"),
        (torch.nn.ReLU(), {"compile": True}, "possible by fusion of operators by torch.compile"),
        (Attention(), {}, "possible by fused attention"),
        (torch.nn.Conv2d(3, 4, 3), {"compile": True}, "torch.compile, which move less and Winograd convolutions"),
    ],
)
def test_a_fraction_above_one_names_its_cause_or_is_a_fault(network: torch.nn.Module, how: dict, cause: str) -> None:
    from bench.hardware.timing import Sample, Timing
    from bench.metrics.roofline import above_one

    subject = Subject(build=lambda: network, shape=(3, 10, 10), **how)
    timing = Timing(
        tuple(Sample(seconds, 1.0, layout) for layout, seconds in enumerate([1.0] * 8)), 6, True, "", (0, 0)
    )
    assert above_one(1.0, timing, subject) == {}
    text = above_one(1.5, timing, subject)["above_one"]
    assert text.startswith("at least 1.5 times the ceilings: ")
    assert cause in text


def test_a_fraction_whose_interval_reaches_one_is_noise() -> None:
    from bench.hardware.timing import Sample, Timing
    from bench.metrics.roofline import above_one

    seconds = [0.9, 0.9, 0.95, 0.98, 1.0, 1.01, 1.02, 1.03]
    timing = Timing(tuple(Sample(each, 1.0, layout) for layout, each in enumerate(seconds)), 6, True, "", (0, 0))
    assert above_one(1.0, timing, Subject(build=torch.nn.ReLU, shape=(3, 4, 4))) == {}
