"""Peak memory of a forward pass."""

from __future__ import annotations

import ctypes
import gc
import platform
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from bench.measurement import Reading
from bench.registry import metric
from bench.stopwatch import thread_count
from bench.subject import Subject

REPEATS = 3
MIB = 2**20


@metric(unit="MiB", better="lower", kind="speed")
def memory(subject: Subject) -> Reading:
    """Peak memory of inference on one batch: weights, buffers and input, plus what a forward pass adds at most.

    What it adds (activations, workspaces, the output) is measured: on CUDA by the allocator's peak, on a CPU
    by the peak of the process's resident memory, best in a fresh worker, after one pass that loads the
    libraries. Detail: the two parts in MiB, and the method.
    """
    fixed = sum(t.numel() * t.element_size() for t in _tensors(subject))
    with thread_count(subject.threads), torch.inference_mode():
        subject.model(*subject.inputs)
        growth, method = _cuda_growth(subject) if subject.device.startswith("cuda") else _cpu_growth(subject)
    if not any(growth):
        return Reading(None, {"method": method}, "the pass did not rise above an earlier peak of the process")
    detail = {"fixed_mib": fixed / MIB, "added_mib": [g / MIB for g in growth], "method": method}
    return Reading([(fixed + g) / MIB for g in growth], detail)


def _tensors(subject: Subject) -> list[torch.Tensor]:
    return [*subject.model.parameters(), *subject.model.buffers(), *subject.inputs]


def _cuda_growth(subject: Subject) -> tuple[list[int], str]:
    growth = []
    for _ in range(REPEATS):
        torch.cuda.synchronize(subject.device)
        torch.cuda.reset_peak_memory_stats(subject.device)
        before = torch.cuda.memory_allocated(subject.device)
        subject.model(*subject.inputs)
        growth.append(torch.cuda.max_memory_allocated(subject.device) - before)
    return growth, "peak of the CUDA caching allocator"


def _cpu_growth(subject: Subject) -> tuple[list[int], str]:
    """Bytes by which resident memory rose at most, in each of some passes."""
    if can_reset_peak():
        return [_risen(lambda: subject.model(*subject.inputs)) for _ in range(REPEATS)], "VmHWM, reset before the pass"
    before = _max_resident()
    subject.model(*subject.inputs)
    return [_max_resident() - before], "growth of ru_maxrss, which cannot be reset here"


def can_reset_peak() -> bool:
    """Whether the kernel lets this process reset its peak of resident memory."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _risen(call: Callable[[], object]) -> int:
    """Bytes by which the peak during `call` stands above the resident memory before it."""
    _give_back_freed_memory()
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    call()
    return max(0, _status("VmHWM") - before)


def _give_back_freed_memory() -> None:
    """Without this a pass would live in the pages that the one before left behind, and seem to need none."""
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def _max_resident() -> int:
    """Bytes; Linux counts ru_maxrss in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
