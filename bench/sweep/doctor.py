"""What this machine is, what it can do, how quiet it is, and what is missing: findings, one by one."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.hardware.environment import cpu_name, device_facts, snapshot
from bench.registry.cache import cache_folder
from bench.stats.descriptive import median

if TYPE_CHECKING:
    from bench.hardware.timing import Timing

DTYPES = ("float32", "bfloat16")
REPEATS = 6
"""Timings of the same kernel, whose difference is noise."""


@dataclass(frozen=True)
class Finding:
    """One line of the examination. `value` is a number in `unit`, or text; `missing` is True where it is a lack."""

    section: str
    name: str
    value: Any
    unit: str = ""
    missing: bool = False


def examine(data: Path | None) -> Iterator[Finding]:
    """All findings, each as soon as it is known; `data` is the folder of datasets, if there is one."""
    yield from devices()
    yield from versions()
    yield from ceilings()
    yield from noise()
    yield from folders(data)
    yield from extras()
    yield from tools()


def devices() -> Iterator[Finding]:
    """The processor, and every CUDA device."""
    yield Finding("devices", "cpu", cpu_name())
    yield Finding("devices", "cores to use", _cores())
    for device in _cuda():
        facts = device_facts(device)
        yield Finding("devices", device, f"{facts['device']}, driver {facts['driver']}")
    if not _cuda():
        yield Finding("devices", "cuda", "none")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cuda() -> list[str]:
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []


def versions() -> Iterator[Finding]:
    """Python, the system, and the libraries that results depend on."""
    known = snapshot("cpu")
    yield Finding("versions", "python", known["python"])
    yield Finding("versions", "system", known["driver"])
    for name, version in known["versions"].items():
        yield Finding("versions", name, version or "not installed", missing=version is None)
    yield Finding("versions", "torch build", known["torch_build"])
    yield Finding("versions", "clock policy", known["clock"])


def ceilings(seconds: float = 0.12) -> Iterator[Finding]:
    """Matrix products per dtype and the bandwidth of large copies, on one thread and on all cores, per device."""
    from bench.hardware.ceilings import measured

    for device, threads in [*(("cpu", n) for n in sorted({1, _cores()})), *((d, 1) for d in _cuda())]:
        where = f"{device}, {threads} thread{'s' * (threads > 1)}" if device == "cpu" else device
        found = [measured(device, dtype, threads, seconds) for dtype in DTYPES]
        for each in found:
            yield Finding("ceilings", f"products {each.dtype}, {where}", each.flops / 1e9, "GFLOP/s")
        yield Finding("ceilings", f"copies, {where}", max(each.bandwidth for each in found) / 1e9, "GB/s")


def noise() -> Iterator[Finding]:
    """How far timings of one and the same small convolution lie apart, on one thread of the CPU."""
    yield from spread([_kernel(number) for number in range(REPEATS)])
    yield Finding("noise", "load average", os.getloadavg()[0])


def _kernel(seed: int) -> Timing:
    import torch
    from torch import nn

    from bench.hardware.timing import Plan, timed_call

    layer, x = nn.Conv2d(32, 32, 3, padding=1), torch.ones(1, 32, 32, 32)
    plan = Plan(seconds=0.35, warmup_seconds=0.05, round_seconds=0.01)
    return timed_call(lambda: layer(x), lambda: [*layer.parameters(), x], device="cpu", threads=1, seed=seed, plan=plan)


def spread(taken: Sequence[Timing]) -> Iterator[Finding]:
    """Of timings of the same: the fraction of bad samples, and the largest over the smallest, minus 1."""
    bad = sum(sum(t.troubles.values()) for t in taken) / sum(len(t.samples) for t in taken)
    yield Finding("noise", "calls that lost their core", 100 * bad, "%")
    for name, values in (("median", [median(t.seconds) for t in taken]), ("low quantile", [t.low for t in taken])):
        yield Finding("noise", f"A/A spread, {name}", 100 * (max(values) / min(values) - 1), "%")
    yield Finding("noise", "clock that was read", ", ".join(sorted({t.clock for t in taken})))


def folders(data: Path | None) -> Iterator[Finding]:
    """Where data, caches and locks lie, and whether they can be used; which locks another run holds."""
    if data is None:
        yield Finding("folders", "data", "none: set FOVBENCH_DATA; embedded data work without", missing=True)
    else:
        yield Finding("folders", "data", str(data))
    cache = cache_folder()
    told = str(cache) if _writable(cache) else f"{cache} cannot be written to, and no lock can be taken"
    yield Finding("folders", "cache", told, missing=not _writable(cache))
    for path in sorted((cache / "locks").glob("*.db")):
        yield Finding("folders", f"lock {path.stem}", "in use by a run" if in_use(path) else "free")


def _writable(folder: Path) -> bool:
    """Whether the folder, or the nearest there is above it, can be written to."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(there, os.W_OK | os.X_OK)


def in_use(lock: Path) -> bool:
    """Whether anybody holds this device's lock now, shared or alone."""
    from filelock import ReadWriteLock, Timeout

    held = ReadWriteLock(lock)
    try:
        with held.write_lock(blocking=False):
            return False
    except Timeout:
        return True


def extras(requirements: Callable[[], list[str]] | None = None) -> Iterator[Finding]:
    """The optional extras of the distribution, and which of their packages are not installed."""
    lines = requirements() if requirements else importlib.metadata.requires("fovbench") or []
    for extra, names in by_extra(lines).items():
        absent = [name for name in names if not _installed(name)]
        told = f"not installed: {', '.join(absent)}; pip install 'fovbench[{extra}]'" if absent else "installed"
        yield Finding("extras", extra, told, missing=bool(absent))


def by_extra(requirements: list[str]) -> dict[str, list[str]]:
    """Names of packages by extra, from lines like `pytest>=8; extra == "test"`; the project's own extras left out."""
    found: dict[str, list[str]] = {}
    for line in requirements:
        extra = re.search(r"extra == ['\"](\w+)['\"]", line)
        name = re.match(r"[A-Za-z0-9._-]+", line)
        if extra and name and name[0] != "fovbench":
            found.setdefault(extra[1], []).append(name[0])
    return found


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def tools() -> Iterator[Finding]:
    """Programs that some options need."""
    compiler = next((found for name in ("c++", "g++", "clang++", "cl") if (found := shutil.which(name))), None)
    yield Finding("tools", "C++ compiler", compiler or "none: compile: true needs one on a CPU", missing=not compiler)
    if _cuda():
        found = shutil.which("nvidia-smi")
        told = found or "none: throttling and other processes on a GPU go unnoticed"
        yield Finding("tools", "nvidia-smi", told, missing=not found)
    if platform.system() != "Linux":
        yield Finding("tools", "pinning of cores", "only on Linux", missing=True)
