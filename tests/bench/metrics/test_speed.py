from __future__ import annotations

import functools
import statistics

import pytest
import torch
from torch import nn

from bench.metrics import latency as latency_module
from bench.metrics import memory as memory_module
from bench.metrics.latency import latency
from bench.metrics.memory import can_reset_peak, memory
from bench.metrics.throughput import throughput
from bench.stopwatch import Lap
from bench.subject import Subject
from bench.timing import Laps, Plan, timed_forward

MIB = 2**20
MADE_UP = Laps((Lap(0.004, 0.003), Lap(0.002, 0.001), Lap(0.003, 0.002)), 6, 2, "3 s", (0.5, 1.5))


class Doubled(nn.Module):
    """y = 2x, sixteen times side by side: the peak is 2x and the result, 17 times the input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * 2).repeat(1, 16, 1, 1)


def subject(batch: int = 2) -> Subject:
    return Subject(build=Doubled, shape=(2, 512, 512), batch=batch)


@pytest.fixture
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency_module, "timed_forward", lambda *_, **__: MADE_UP)


@pytest.mark.usefixtures("_made_up")
def test_latency_keeps_every_call_in_ms_and_says_how_it_was_timed() -> None:
    reading = latency(subject())
    assert reading.value == [4.0, 2.0, 3.0]
    assert reading.detail == {"cpu_ms": 2.0, "warmup": 6, "layouts": 2, "stopped": "3 s", "load": [0.5, 1.5]}


@pytest.mark.usefixtures("_made_up")
def test_throughput_counts_the_images_of_a_batch() -> None:
    reading = throughput(subject(batch=6))
    assert reading.value == pytest.approx([1500, 3000, 2000])
    assert reading.detail["batch"] == 6


def test_latency_of_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    short = functools.partial(timed_forward, plan=Plan(samples=5, round_seconds=0.0))
    monkeypatch.setattr(latency_module, "timed_forward", short)
    reading = latency(Subject(build=lambda: nn.Conv2d(3, 8, 3), shape=(3, 32, 32)))
    assert isinstance(reading.value, list)
    assert statistics.median(reading.value) > 0
    assert reading.detail["layouts"] >= 1


@pytest.mark.skipif(not can_reset_peak(), reason="the kernel does not let the peak be reset")
def test_memory_of_a_network_whose_peak_is_known() -> None:
    reading = memory(subject())
    # input 2 x 2 x 512 x 512 floats = 4 MiB; added: 2x (4 MiB) and the result (64 MiB)
    assert reading.detail["fixed_mib"] == 4
    for value, added in zip(reading.value, reading.detail["added_mib"], strict=True):  # type: ignore[arg-type]
        assert value == 4 + added
        assert added == pytest.approx(68, abs=2)


def test_memory_below_an_earlier_peak_is_an_error_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "can_reset_peak", lambda: False)
    monkeypatch.setattr(memory_module, "_max_resident", lambda: 100 * MIB)
    reading = memory(subject())
    assert reading.value is None
    assert reading.error is not None
    assert "earlier peak" in reading.error


def test_memory_without_a_resettable_peak_reads_its_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = iter([100 * MIB, 130 * MIB])
    monkeypatch.setattr(memory_module, "can_reset_peak", lambda: False)
    monkeypatch.setattr(memory_module, "_max_resident", lambda: next(peaks))
    reading = memory(subject())
    assert reading.value == [34.0]
    assert "ru_maxrss" in reading.detail["method"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_memory_on_cuda_whose_peak_is_known() -> None:
    reading = memory(Subject(build=Doubled, shape=(2, 512, 512), batch=2, device="cuda"))
    assert reading.detail["added_mib"] == pytest.approx([68, 68, 68])
