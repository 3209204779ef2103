from __future__ import annotations

import dataclasses
import functools
import itertools
import multiprocessing
import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
import torch
from torch import nn

from bench.hardware.stopwatch import Lap
from bench.hardware.subject import Subject
from bench.hardware.timing import Sample, Schedule, Timing, timed_call
from bench.metrics import latency as latency_module
from bench.metrics import memory as memory_module
from bench.metrics import train_memory as train_memory_module
from bench.metrics import train_step_latency as train_step_module
from bench.metrics.latency import latency
from bench.metrics.memory import can_reset_peak, memory
from bench.metrics.sample_seconds import sample_seconds
from bench.metrics.throughput import throughput
from bench.metrics.train_memory import train_memory
from bench.metrics.train_step_latency import Step, split_ms, train_step_latency
from bench.results.measurement import Reading
from bench.structure.tape import StructureError

MIB = 2**20
SAMPLES = (
    Sample(0.004, 0.003, 0),
    Sample(0.002, 0.001, 1),
    Sample(0.009, 0.001, 1, 3, "preempted"),
    Sample(0.003, 0.002, 2),
)
MADE_UP = Timing(SAMPLES, 6, True, "3 s", (0.5, 1.5), cores=(1,))
SHORT = functools.partial(timed_call, plan=Schedule(samples=5, round_seconds=0.0))


class Doubled(nn.Module):
    """y = 2x, sixteen times side by side: the peak is 2x and the result, 17 times the input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * 2).repeat(1, 16, 1, 1)


def subject(batch: int = 2) -> Subject:
    return Subject(build=Doubled, shape=(2, 512, 512), batch=batch)


class Drawing(nn.Module):
    """Draws images of noise, and counts how many."""

    drawn = 0

    def sample(self, count: int, generator: torch.Generator) -> torch.Tensor:
        self.drawn += count
        return torch.randint(0, 2, (count, 1, 4, 4), generator=generator, dtype=torch.uint8)


def test_seconds_of_a_sample_are_those_of_a_batch_shared_among_its_images(monkeypatch: pytest.MonkeyPatch) -> None:
    def made_up(call: Callable[[], object], *_: object, **__: object) -> Timing:
        call()
        return MADE_UP

    monkeypatch.setattr(latency_module, "timed_call", made_up)
    drawing = Subject(build=Drawing, shape=(1, 4, 4), batch=2)
    assert sample_seconds(drawing).value == [0.002, 0.001, 0.0015]
    assert drawing.model.drawn == 2
    assert sample_seconds(subject()).error == "Doubled has no sample()"


@pytest.fixture
def _made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency_module, "timed_call", lambda *_, **__: MADE_UP)


@pytest.mark.usefixtures("_made_up")
def test_latency_keeps_every_good_call_in_ms_and_says_how_it_was_timed() -> None:
    reading = latency(subject())
    assert reading.value == [4.0, 2.0, 3.0]
    told = dict(reading.detail)
    assert told.pop("percentiles_ms")["p50"] == 3.0
    assert told.pop("scope").startswith("forward pass")
    assert told == {
        "clock": "elapsed",
        "disturbed": False,
        "interval_ms": None,  # three layouts are too few for one
        "low_ms": pytest.approx(2.2),  # 10 % of the way from 2 to 3 to 4
        "cpu_ms": 1.5,
        "stopped": "3 s",
        "bad": {"preempted": 1},
        "bad_samples": [["preempted", 9.0]],
        "warmup": 6,
        "steady": True,
        "layouts": 3,
        "load": [0.5, 1.5],
        "cores": [1],
    }


@pytest.mark.usefixtures("_made_up")
def test_throughput_counts_the_images_of_a_batch() -> None:
    reading = throughput(subject(batch=6))
    assert reading.value == pytest.approx([1500, 3000, 2000])
    assert reading.detail["batch"] == 6


def test_where_no_sample_is_valid_there_is_an_error_and_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    throttled = dataclasses.replace(SAMPLES[2], trouble="throttled: power cap")
    bad = dataclasses.replace(MADE_UP, samples=(throttled,))
    monkeypatch.setattr(latency_module, "timed_call", lambda *_, **__: bad)
    reading = latency(subject())
    assert reading.value is None
    assert reading.error == "no valid sample: 1 throttled: power cap"
    assert reading.detail["bad_samples"] == [["throttled: power cap", 9.0]]


def test_latency_of_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency_module, "timed_call", SHORT)
    reading = latency(Subject(build=lambda: nn.Conv2d(3, 8, 3), shape=(3, 32, 32)))
    assert isinstance(reading.value, list)
    assert statistics.median(reading.value) > 0
    assert reading.detail["layouts"] >= 1


def small(**how: Any) -> Subject:
    return Subject(
        build=lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), shape=(3, 16, 16), batch=2, **how
    )


def test_a_timed_training_step_leaves_the_weights_and_the_subject(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_step_module, "timed_call", SHORT)
    given = small()
    before = {name: value.clone() for name, value in given.model.state_dict().items()}
    reading = train_step_latency(given)
    assert isinstance(reading.value, list)
    assert set(reading.detail["split_ms"]) == {"forward", "backward", "step"}
    assert all(torch.equal(value, before[name]) for name, value in given.model.state_dict().items())
    assert not given.model.training
    assert all(p.grad is None for p in given.model.parameters())


def test_a_step_trains_all_weights_but_moves_none() -> None:
    step = Step.of(small())
    before = [p.detach().clone() for p in step.model.parameters()]
    step()
    assert all(p.grad is not None for p in step.model.parameters())
    assert all(torch.equal(p, was) for p, was in zip(step.model.parameters(), before, strict=True))
    # two moments and a count for each weight
    assert len(step.state()) == 3 * len(before)
    assert step.model.training


def test_the_optimizer_has_its_state_and_no_gradient_is_there_before_the_first_sample_of_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps: list[Step] = []
    seen: list[tuple[int, int]] = []

    def watched(call: Callable[[], object], device: str) -> tuple[list[int], str]:
        seen.append((len(steps[0].state()), sum(p.grad is not None for p in steps[0].model.parameters())))
        return [1], "made up"

    def keep(subject: Subject) -> Step:
        steps.append(Step.of(subject))
        return steps[0]

    monkeypatch.setattr(train_memory_module, "added", watched)
    monkeypatch.setattr(train_memory_module, "Step", type("Keeping", (), {"of": staticmethod(keep)}))
    train_memory(small())
    assert seen == [(3 * 4, 0)]  # two moments and a count for each of four weights


def test_the_parts_of_a_step_are_timed_one_by_one() -> None:
    seconds = itertools.cycle([0.003, 0.006, 0.001])

    def press(call: Callable[[], object]) -> Lap:
        call()
        return Lap(next(seconds), 0.0)

    assert split_ms(Step.of(small()), press, threads=1) == pytest.approx({"forward": 3.0, "backward": 6.0, "step": 1.0})


def test_a_network_without_weights_cannot_be_trained() -> None:
    with pytest.raises(ValueError, match="no weights to train"):
        train_step_latency(subject())


class Wide(nn.Module):
    """Of one weight: y = w x, sixteen times side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.w).repeat(1, 16, 1, 1)


def memory_of_doubled() -> Reading:
    return memory(subject())


def train_memory_of_wide() -> Reading:
    return train_memory(Subject(build=Wide, shape=(2, 512, 512), batch=2))


def freshly(measure: Callable[[], Reading]) -> Reading:
    """In a process of its own, as a sweep measures: what thousands of tests leave behind changes what a pass adds."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(measure).result()


@pytest.mark.skipif(not can_reset_peak(), reason="the kernel does not let the peak be reset")
def test_train_memory_stands_beside_its_estimate() -> None:
    reading = freshly(train_memory_of_wide)
    # input 4 MiB; added: wx (4) and the result (64), beside which the gradient of wx (4) may stand or not
    assert reading.detail["fixed_mib"] == pytest.approx(4, abs=0.01)
    assert statistics.median(reading.value) == pytest.approx(74, abs=4)  # type: ignore[arg-type]
    assert reading.detail["estimate_mib"]["peak"] == pytest.approx(statistics.median(reading.value), rel=0.1)  # type: ignore[arg-type]


def test_memory_has_the_estimate_beside_it() -> None:
    # input (4), 2x (4) and the result (64)
    assert memory(subject()).detail["estimate_mib"]["peak"] == 72


def test_an_estimate_that_cannot_be_made_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise StructureError("aten.strange cannot be followed")

    monkeypatch.setattr(memory_module.lifetimes, "inference", refused)
    assert memory(subject()).detail["estimate_error"] == "aten.strange cannot be followed"


@pytest.mark.skipif(not can_reset_peak(), reason="the kernel does not let the peak be reset")
def test_memory_of_a_network_whose_peak_is_known() -> None:
    reading = freshly(memory_of_doubled)
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
