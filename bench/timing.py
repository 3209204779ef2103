"""How a call is timed: warmed up until steady, in rounds on fresh memory layouts, until enough is known."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.stopwatch import Call, Lap, lap, thread_count


@dataclass(frozen=True)
class Laps:
    """The times of many calls, and what they were taken under.

    `warmup` is the number of calls before the first, `layouts` how often the memory layout was drawn,
    `stopped` says what ended the timing, `load` are the machine's load averages of a minute before and after.
    """

    laps: tuple[Lap, ...]
    warmup: int
    layouts: int
    stopped: str
    load: tuple[float, float]


@dataclass(frozen=True)
class Plan:
    """How long to time: until `samples` calls are timed or `seconds` have passed, at least `least` calls.

    A round lasts `round_seconds`; before each the memory layout is drawn afresh on a CPU.
    """

    samples: int = 300
    seconds: float = 3.0
    least: int = 5
    round_seconds: float = 0.05
    warmup_seconds: float = 1.0


def timed_forward(
    model: nn.Module, inputs: tuple[Tensor, ...], *, device: str, threads: int, seed: int = 0, plan: Plan = Plan()
) -> Laps:
    """Time forward passes of `model` on `inputs`, in eval mode without autograd, on `threads` threads.

    On a CPU a process keeps the speed of its memory layout for life, so weights and inputs are moved to
    other addresses before every round. The values stay, and so does the caller's number of threads.
    """
    generator = torch.Generator().manual_seed(seed)
    tensors = [*model.parameters(), *model.buffers(), *inputs]

    def redraw() -> Tensor | None:
        return moved(tensors, generator) if torch.device(device).type == "cpu" else None

    with thread_count(threads), torch.inference_mode():
        return timed(lambda: model(*inputs), redraw, device, plan)


def timed(call: Call, redraw: Call, device: str, plan: Plan) -> Laps:
    """Warm up, then time rounds of calls, with `redraw` before each; what it returns is kept for the round."""
    before, laps, rounds, stopped = _load(), list[Lap](), 0, ""
    warmup = warmed_up(lambda: lap(call, device).elapsed, plan.warmup_seconds)
    start = time.perf_counter()
    while not stopped:
        kept = redraw()
        laps += _round(call, device, plan)
        del kept
        rounds += 1
        stopped = _why_stop(len(laps), time.perf_counter() - start, plan)
    return Laps(tuple(laps), warmup, rounds, stopped, (before, _load()))


def warmed_up(timed_call: Callable[[], float], seconds: float, window: int = 3) -> int:
    """Call until the median of the last calls is no longer below 0.98 of that of the ones before; how often.

    At least two windows of calls; at most `seconds`, if that is longer.
    """
    times: list[float] = []
    while True:
        times += [timed_call() for _ in range(window)]
        if len(times) < 2 * window:
            continue
        earlier, later = (statistics.median(t) for t in (times[-2 * window : -window], times[-window:]))
        if later >= 0.98 * earlier or sum(times) >= seconds:
            return len(times)


def _round(call: Call, device: str, plan: Plan) -> list[Lap]:
    """One call on the new addresses that is not counted, then calls for the round's duration."""
    lap(call, device)
    laps = [lap(call, device)]
    while sum(taken.elapsed for taken in laps) < plan.round_seconds:
        laps.append(lap(call, device))
    return laps


def _why_stop(samples: int, seconds: float, plan: Plan) -> str:
    if samples >= plan.samples:
        return f"{plan.samples} samples"
    return f"{plan.seconds:g} s" if seconds >= plan.seconds and samples >= plan.least else ""


def moved(tensors: list[Tensor], generator: torch.Generator) -> Tensor:
    """Move tensors to other addresses, behind random padding; keep the result for as long as they should stay."""
    size = int(torch.randint(1, 1 << 20, (1,), generator=generator))
    padding = torch.empty(size, dtype=torch.uint8)
    with torch.inference_mode(False):  # weights made in inference mode could not be trained any more
        for tensor in tensors:
            tensor.data = tensor.data.clone()
    return padding


def _load() -> float:
    return os.getloadavg()[0]
