"""Peak memory of a forward pass."""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import platform
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from bench.hardware.accelerator import Accelerator, accelerator
from bench.hardware.free_memory import free_bytes
from bench.hardware.stopwatch import thread_count
from bench.hardware.subject import Subject
from bench.metrics.latency import tensors_of
from bench.registry import metric
from bench.registry.errors import DoesNotApplyError
from bench.results.measurement import Reading
from bench.structure import lifetimes
from bench.structure.allocation import EXACT, Allocator, cuda_allocator
from bench.structure.tape import StructureError

REPEATS = 3
MIB = 2**20
LEFT_OUT = "workspace of kernels: columns of im2col, reordered copies"
LEFT_OUT_ON_CUDA = "workspace of kernels other than cuDNN's copies in channels last; what cuBLAS keeps for each stream"


@metric(unit="MiB", better="lower", kind="speed", bounds=(0, None))
def memory(subject: Subject) -> Reading:
    """Peak memory of inference on one batch: weights, buffers and input, plus the most that a forward pass adds.

    The added part (activations, workspaces, the output) is measured after one pass that loads the libraries: on CUDA
    and XPU by the allocator's peak, on a CPU by the peak of the process's resident memory, preferably in a new process.
    It does not apply to a device that counts neither. Detail: the two parts in MiB, the method, and the estimate by
    kind of `structure.lifetimes`, which does not run the network (`estimate_mib`, or the reason why there is none); the
    memory that is free (`free_mib`), what an image adds, and the largest batch for which it suffices
    (`largest_batch`), if memory grows in proportion to the batch.
    """
    forward = subject.forward
    with thread_count(subject.threads), torch.inference_mode():
        forward()
        growth, method = added(forward, subject.device)
    estimate = estimated(lambda: lifetimes.inference(subject.tape, allocator(subject)), subject.device)
    activations = estimate.get("estimate_mib", {}).get("activations", 0)
    room = fitting(free_bytes(subject.device), max(*growth, int(activations * MIB)), subject.batch)
    return peak_reading(bytes_of(tensors_of(subject)), growth, {"method": method, **estimate, **room})


def fitting(free: int | None, added: int, batch: int) -> dict[str, object]:
    """The largest batch that fits into `free` bytes, where a batch adds so many; nothing where one is unknown.

    Weights and the network's libraries are loaded, so that `free` lacks them already.
    """
    if free is None or not added:
        return {}
    image = added / batch
    return {"free_mib": free / MIB, "image_mib": image / MIB, "largest_batch": int(free / image)}


def peak_reading(fixed: int, growth: list[int], detail: Mapping[str, object]) -> Reading:
    """Peaks in MiB from the bytes in use before (`fixed`) and the bytes added in each run (`growth`)."""
    if not any(growth):
        return Reading(None, detail, "the pass did not exceed an earlier peak of the process")
    parts = {"fixed_mib": fixed / MIB, "added_mib": [g / MIB for g in growth]}
    return Reading([(fixed + g) / MIB for g in growth], {**parts, **detail})


def bytes_of(tensors: list[torch.Tensor]) -> int:
    """Total bytes of the tensors."""
    return sum(t.numel() * t.element_size() for t in tensors)


def allocator(subject: Subject) -> Allocator:
    """What the subject's device adds to the sizes of tensors; nothing where that is not known.

    On CUDA the kernels of tensor cores (TF32 where the numeric policy allows it, and half precision) compute in
    channels last, so that tensors in another layout are copied.
    """
    if torch.device(subject.device).type != "cuda":
        return EXACT
    tensor_cores = subject.dtype in ("float16", "bfloat16") or torch.backends.cudnn.allow_tf32
    return cuda_allocator(reorders=tensor_cores and subject.layout == "contiguous")


def estimated(estimate: Callable[[], lifetimes.Memory], device: str) -> dict[str, Any]:
    """An estimate by kind and its peak in MiB, or the reason why there is none, as part of a detail."""
    try:
        memory = estimate()
    except StructureError as error:
        return {"estimate_error": str(error)}
    return {
        "estimate_leaves_out": LEFT_OUT_ON_CUDA if torch.device(device).type == "cuda" else LEFT_OUT,
        "estimate_mib": {k: v / MIB for k, v in (dataclasses.asdict(memory) | {"peak": memory.peak}).items()},
    }


def added(call: Callable[[], object], device: str) -> tuple[list[int], str]:
    """The most bytes that each of some runs of `call` added to those in use before, and the method."""
    target = accelerator(device)
    if target.kind == "cpu":
        return _cpu_growth(call)
    if target.memory is None:
        raise DoesNotApplyError(f"the peak of memory of a device of kind '{target.kind}' is not counted")
    return allocator_growth(call, target), f"peak of the {target.kind.upper()} caching allocator"


def allocator_growth(call: Callable[[], object], target: Accelerator) -> list[int]:
    """Bytes by which the allocator's peak during each of some runs exceeds what was in use before."""
    assert target.memory is not None
    growth = []
    for _ in range(REPEATS):
        target.synchronize()
        target.memory.reset()
        before = target.memory.allocated()
        call()
        growth.append(target.memory.peak() - before)
    return growth


def _cpu_growth(call: Callable[[], object]) -> tuple[list[int], str]:
    """The most bytes by which resident memory grew, in each of some runs."""
    if can_reset_peak():
        return [_risen(call) for _ in range(REPEATS)], "VmHWM, reset before the pass"
    before = _max_resident()
    call()
    return [_max_resident() - before], "growth of ru_maxrss, which cannot be reset here"


def can_reset_peak() -> bool:
    """Whether the kernel lets this process reset its peak of resident memory."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _risen(call: Callable[[], object]) -> int:
    """Bytes by which the peak of resident memory during `call` exceeds the resident memory before it."""
    _give_back_freed_memory()
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    call()
    return max(0, _status("VmHWM") - before)


def _give_back_freed_memory() -> None:
    """Free pages of the previous pass; otherwise the next pass reuses them and seems to need no memory."""
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def _max_resident() -> int:
    """Peak resident memory in bytes; Linux reports ru_maxrss in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
