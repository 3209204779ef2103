from __future__ import annotations

import time

import pytest
import torch

from bench.hardware.stopwatch import lap, thread_count


def test_a_lap_tells_waiting_from_working() -> None:
    waited = lap(lambda: time.sleep(0.05), "cpu")
    assert waited.elapsed >= 0.05
    assert waited.cpu < 0.04


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
    taken = lap(work, "cuda")
    assert taken.elapsed > 50 * 2 * 4096**3 / 1e15  # no device multiplies faster than 1 PFLOP/s in fp32
