"""What matters for a timing on an NVIDIA device: throttling, other processes, caches, launches, CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from bench.hardware import nvml

THROTTLES = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "thermal (software)",
    0x40: "thermal (hardware)",
    0x80: "power brake",
}
"""The bits of NVML's mask that slow a device down. Idling and a clock that a person set do not count."""


@dataclass(frozen=True)
class Conditions:
    """The clock of a device's multiprocessors in MHz, and its power in watts; None where it is not reported."""

    clock: float | None = None
    watts: float | None = None


def conditions_reader(device: str) -> Callable[[], Conditions]:
    """A function that reads clock and power now; both are None where the driver cannot be asked or does not say."""
    if not watched():
        return Conditions
    uuid = str(torch.cuda.get_device_properties(device).uuid)
    return lambda: Conditions(nvml.reported(nvml.sm_clock, uuid), nvml.reported(nvml.power, uuid))


def trouble_reader(device: str) -> Callable[[], str]:
    """A function that says what disturbs the device now: throttling, other processes; empty if nothing does.

    It is always empty on a CPU, where each sample shows what disturbed it, and where the driver cannot be asked;
    `watched` says which. What the driver does not report, as of a slice of a device, counts as no trouble.
    """
    if torch.device(device).type != "cuda" or not watched():
        return str
    uuid = str(torch.cuda.get_device_properties(device).uuid)
    return lambda: trouble(
        nvml.reported(nvml.throttle_reasons, uuid) or 0, nvml.reported(nvml.compute_processes, uuid) or 0
    )


def watched() -> bool:
    """Whether the driver of NVIDIA devices can be asked for throttling, other processes, clock and power here."""
    return torch.version.cuda is not None and nvml.available()


def trouble(reasons: int, processes: int) -> str:
    """What the driver's answers mean: NVML's mask of reasons, and the number of processes on the device.

    One of the processes is this one. (Its number in a container may differ from that which the driver reports.)
    """
    throttles = [name for bit, name in THROTTLES.items() if reasons & bit]
    problems = [f"throttled: {', '.join(throttles)}"] if throttles else []
    return "; ".join(problems + ["another process on the device"] * (processes > 1))


def flusher(device: str) -> Callable[[], object]:
    """A function that clears the device's L2 cache, by writing twice its size."""
    size = torch.cuda.get_device_properties(device).L2_cache_size
    buffer = torch.empty(2 * size, dtype=torch.uint8, device=device)
    return buffer.zero_


def bound_by(launching: float, device: float | None, elapsed: float) -> str:
    """What bounds the elapsed time of a call: `launches` or `device`, whichever takes longer.

    All in seconds. Where device time is not known, `launches` where they take at least 0.9 of the elapsed time.
    """
    return "launches" if launching >= (0.9 * elapsed if device is None else device) else "device"


def replayed(call: Callable[[], object], device: str) -> Callable[[], object]:
    """`call` captured into a CUDA graph; calling the result replays it on the same memory.

    Raises RuntimeError (torch's) for work that can't be captured.
    """
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.device(device), torch.inference_mode():
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(3):  # libraries choose their kernels before the capture
                call()
        torch.cuda.current_stream(device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = call()

    def replay() -> object:
        graph.replay()
        return result

    return replay
