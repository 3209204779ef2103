from __future__ import annotations

import time

import pytest
import torch

from bench.hardware.stopwatch import Lap, lap, thread_count


def test_a_lap_reads_both_clocks_before_and_after_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """On clocks that only the call moves: it takes 5 s, of which it works 2 s."""
    clocks = {"perf_counter": 100.0, "process_time": 7.0}

    def call() -> None:
        clocks.update(perf_counter=105.0, process_time=9.0)

    for name in clocks:
        monkeypatch.setattr(time, name, lambda name=name: clocks[name])
    assert lap(call, "cpu") == Lap(elapsed=5.0, cpu=2.0)


def test_the_threads_are_restored_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), thread_count(before + 1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_lap_on_cuda_waits_for_the_device() -> None:
    x = torch.randn(4096, 4096, device="cuda")

    def work() -> None:
        for _ in range(50):
            x @ x

    lap(work, "cuda")
    time_of_work = lap(work, "cuda")
    assert time_of_work.elapsed > 50 * 2 * 4096**3 / 1e15  # no device multiplies faster than 1 PFLOP/s in fp32
