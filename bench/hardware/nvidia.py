"""What an NVIDIA device and its driver tell: throttling, other processes, caches, who waits for whom."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable

import torch

from bench.hardware.stopwatch import Call

THROTTLES = {
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "thermal (software)",
    0x40: "thermal (hardware)",
    0x80: "power brake",
}
"""Bits of NVML's clocks event reasons that slow a device down; idle and a clock set by hand do not count."""


def trouble_reader(device: str) -> Callable[[], str]:
    """A function that says what disturbs the device now: throttling, other processes; empty if nothing does.

    On a CPU always empty: what disturbs a CPU is seen in each sample. Where there is no nvidia-smi it is
    always empty too; `watched` tells.
    """
    if torch.device(device).type != "cuda" or not watched():
        return str
    identity = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    return lambda: trouble(
        _asked("--query-gpu=clocks_throttle_reasons.active", identity),
        _asked("--query-compute-apps=pid", identity),
    )


def watched() -> bool:
    """Whether throttling and other processes on an NVIDIA device can be read here."""
    return shutil.which("nvidia-smi") is not None


def _asked(query: str, identity: str) -> str:
    command = ["nvidia-smi", query, "--format=csv,noheader", "-i", identity]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def trouble(reasons: str, processes: str) -> str:
    """What nvidia-smi's answers mean: a mask of reasons (`0x0000000000000004`), and one process a line.

    One of the processes is this one; in a container its number may be another than it knows itself by.
    A device that does not tell its reasons (`[N/A]`) raises ValueError.
    """
    mask = int(reasons.strip(), 16)
    throttles = [name for bit, name in THROTTLES.items() if mask & bit]
    others = max(0, len(processes.split()) - 1)
    told = [f"throttled: {', '.join(throttles)}"] if throttles else []
    return "; ".join(told + ["another process on the device"] * (others > 0))


def flusher(device: str) -> Call:
    """A function that drives everything else out of the device's L2 cache, by writing twice its size."""
    size = torch.cuda.get_device_properties(device).L2_cache_size
    buffer = torch.empty(2 * size, dtype=torch.uint8, device=device)
    return buffer.zero_


def launch_seconds(call: Call, device: str, repeats: int = 10) -> list[float]:
    """Seconds until each of some calls returned, without autograd, from an idle device on, not waiting for its work."""
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
    """`launches` where handing the work out takes at least 0.9 of the time until it is done, else `device`."""
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
            kept = call()

    def replay() -> object:
        graph.replay()
        return kept

    return replay
