"""What stands between the driver's answers and a verdict; the rest needs a device."""

from __future__ import annotations

import pytest
import torch

from bench.hardware.nvidia import bound_by, launch_seconds, replayed, trouble, trouble_reader

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.mark.parametrize(
    ("reasons", "processes", "told"),
    [
        ("0x0000000000000000\n", "41\n", ""),
        ("0x0000000000000001\n", "41\n", ""),  # idle
        ("0x0000000000000002\n", "", ""),  # a clock set by hand; a container that shows no processes
        ("0x0000000000000004\n", "41\n", "throttled: power cap"),
        ("0x0000000000000060\n", "41\n", "throttled: thermal (software), thermal (hardware)"),
        ("0x0000000000000001\n", "41\n42\n", "another process on the device"),
        ("0x0000000000000008\n", "41\n42\n", "throttled: hardware slowdown; another process on the device"),
    ],
)
def test_what_the_driver_s_answers_mean(reasons: str, processes: str, told: str) -> None:
    assert trouble(reasons, processes) == told


def test_a_driver_that_does_not_tell_is_an_error() -> None:
    with pytest.raises(ValueError):
        trouble("[N/A]\n", "")


def test_a_cpu_has_no_trouble_of_this_kind() -> None:
    assert trouble_reader("cpu")() == ""


@pytest.mark.parametrize(
    ("launching", "told"), [(0.1, "device"), (0.89, "device"), (0.9, "launches"), (1.2, "launches")]
)
def test_who_waits_for_whom(launching: float, told: str) -> None:
    assert bound_by(launching, 1.0) == told


@CUDA
def test_a_replayed_graph_gives_what_the_call_gives() -> None:
    x = torch.randn(8, 8, device="cuda")
    replay = replayed(lambda: x @ x, "cuda")
    assert torch.equal(replay(), x @ x)  # type: ignore[arg-type]


@CUDA
def test_launching_is_shorter_than_the_work() -> None:
    x = torch.randn(8192, 8192, device="cuda")
    assert len(launch_seconds(lambda: x @ x, "cuda", repeats=3)) == 3
