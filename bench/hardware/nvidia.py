"""What matters for a timing on an NVIDIA device: throttling, other processes, caches, launches, CUDA graphs."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from bench.hardware import nvml
from bench.hardware.stopwatch import Call

THROTTLES = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "thermal (software)",
    0x40: "thermal (hardware)",
    0x80: "power brake",
}
"""The bits of NVML's mask that slow a device down. Idling and a clock that a person set do not count."""


def trouble_reader(device: str) -> Callable[[], str]:
    """A function that says what disturbs the device now: throttling, other processes; empty if nothing does.

    It is always empty on a CPU, where each sample shows what disturbed it, and where the driver cannot be asked;
    `watched` says which.
    """
    if torch.device(device).type != "cuda" or not watched():
        return str
    uuid = str(torch.cuda.get_device_properties(device).uuid)
    return lambda: trouble(nvml.throttle_reasons(uuid), nvml.compute_processes(uuid))


def watched() -> bool:
    """Whether throttling and other processes on an NVIDIA device can be read here."""
    return nvml.available()


def trouble(reasons: int, processes: int) -> str:
    """What the driver's answers mean: NVML's mask of reasons, and the number of processes on the device.

    One of the processes is this one. (Its number in a container may differ from that which the driver reports.)
    """
    throttles = [name for bit, name in THROTTLES.items() if reasons & bit]
    problems = [f"throttled: {', '.join(throttles)}"] if throttles else []
    return "; ".join(problems + ["another process on the device"] * (processes > 1))


def flusher(device: str) -> Call:
    """A function that clears the device's L2 cache, by writing twice its size."""
    size = torch.cuda.get_device_properties(device).L2_cache_size
    buffer = torch.empty(2 * size, dtype=torch.uint8, device=device)
    return buffer.zero_


def launch_seconds(call: Call, device: str, repeats: int = 10) -> list[float]:
    """Seconds until each of `repeats` calls returned, without autograd. The device is idle before each call and its
    work is not waited for."""
    seconds = []
    with torch.inference_mode():
        for _ in range(repeats):
            torch.cuda.synchronize(device)
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        torch.cuda.synchronize(device)
    return seconds


def bound_by(launching: float, elapsed: float) -> str:
    """`launches` where launching the kernels takes at least 0.9 of the time until they have finished, else `device`."""
    return "launches" if launching >= 0.9 * elapsed else "device"


def replayed(call: Call, device: str) -> Call:
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
