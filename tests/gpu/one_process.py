"""The times of one network in one fresh process, by our tool and by three others; prints them as JSON, in ms."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

OTHERS = ("timm", "torch", "triton")


def main(model: str, side: int, batch: int, device: str, seconds: float, first: int) -> None:
    """Each way in turn, beginning with number `first`, so that over processes none is always the first."""
    import timm

    from bench.hardware.subject import Subject

    how = {"shape": (3, side, side), "batch": batch, "device": device}
    subject = Subject(build=lambda: timm.create_model(model, pretrained=False), **how)  # type: ignore[arg-type]
    subject.forward()
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: ours(subject, seconds),
        "graph": lambda: graph(subject, seconds),
        "timm": lambda: timm_way(subject),
        "torch": lambda: torch_way(subject, seconds),
        "triton": lambda: triton_way(subject),
    }
    names = [*ways][first % len(ways) :] + [*ways][: first % len(ways)]
    print(json.dumps({name: outcome(ways[name]) for name in names}))


def outcome(way: Callable[[], Any]) -> Any:
    """What a way gives, or the reason why it gives nothing."""
    try:
        return way()
    except Exception as error:
        return {"reason": f"{type(error).__name__}: {error}"[:300]}


def ours(subject: Any, seconds: float) -> dict[str, Any]:
    """Elapsed, launch and device time."""
    from bench.hardware.timing import Schedule, explained
    from bench.metrics.latency import forward_timing, on_device

    timing = forward_timing(subject, plan=Schedule(seconds=seconds))
    return {"elapsed": 1e3 * median(timing.seconds), **explained(timing), **on_device(subject, timing)}


def graph(subject: Any, seconds: float) -> float:
    """Elapsed time of a replayed CUDA graph."""
    from dataclasses import replace

    from bench.hardware.timing import Schedule
    from bench.metrics.latency import forward_timing

    replayed = replace(subject, graph=True)
    return 1e3 * median(forward_timing(replayed, plan=Schedule(seconds=seconds)).seconds)


def timm_way(subject: Any) -> float:
    """10 calls to warm up, 40 calls, their mean, each waited for; as timm's benchmark script does."""
    import torch

    from bench.hardware.accelerator import accelerator

    wait = accelerator(subject.device).synchronize
    total = 0.0
    with torch.no_grad():
        for number in range(50):
            wait()
            start = time.perf_counter()
            subject.forward()
            wait()
            total += (time.perf_counter() - start) * (number >= 10)
    return 1e3 * total / 40


def torch_way(subject: Any, seconds: float) -> float:
    """`torch.utils.benchmark`, which waits for a CUDA device itself."""
    import torch
    from torch.utils.benchmark import Timer

    with torch.inference_mode():
        timer = Timer("forward()", globals={"forward": subject.forward}, num_threads=1)
        return 1e3 * timer.blocked_autorange(min_run_time=seconds).median


def triton_way(subject: Any) -> float:
    """Triton's `do_bench`: the median."""
    import torch
    from triton.testing import do_bench

    with torch.inference_mode():
        return float(do_bench(subject.forward, return_mode="median"))


if __name__ == "__main__":
    name, *numbers, on, limit, turn = sys.argv[1:]
    main(name, int(numbers[0]), int(numbers[1]), on, float(limit), int(turn))
