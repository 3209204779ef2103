"""What follows from the driver's answers; the rest needs a device."""

from __future__ import annotations

import pytest
import torch

from bench.hardware.accelerator import accelerator
from bench.hardware.nvidia import bound_by, replayed, trouble, trouble_reader
from bench.hardware.stopwatch import launch_seconds

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize(
    ("reasons", "processes", "problems"),
    [
        (0x0, 1, ""),
        (0x1, 1, ""),  # idle
        (0x2, 0, ""),  # a clock set by hand; a container that shows no processes
        (0x4, 1, "throttled: power cap"),
        (0x60, 1, "throttled: thermal (software), thermal (hardware)"),
        (0x1, 2, "another process on the device"),
        (0x8, 2, "throttled: hardware slowdown; another process on the device"),
    ],
)
def test_what_the_driver_s_answers_mean(reasons: int, processes: int, problems: str) -> None:
    assert trouble(reasons, processes) == problems


def test_a_cpu_has_no_trouble_of_this_kind() -> None:
    assert trouble_reader("cpu")() == ""


@pytest.mark.parametrize(
    ("launching", "device", "bound"),
    [
        (0.5, 0.6, "device"),
        (0.7, 0.6, "launches"),
        (0.89, None, "device"),  # not known: the elapsed time of 1 s says it
        (0.9, None, "launches"),
    ],
)
def test_the_longer_of_launches_and_device_bounds_the_time(launching: float, device: float | None, bound: str) -> None:
    assert bound_by(launching, device, elapsed=1.0) == bound


@CUDA
def test_a_replayed_graph_gives_what_the_call_gives() -> None:
    x = torch.randn(8, 8, device="cuda")
    replay = replayed(lambda: x @ x, "cuda")
    assert torch.equal(replay(), x @ x)  # type: ignore[arg-type]


@CUDA
def test_launching_is_shorter_than_the_work() -> None:
    x = torch.randn(8192, 8192, device="cuda")
    assert len(launch_seconds(lambda: x @ x, accelerator("cuda"), repeats=3)) == 3
