"""Examines the machine: its devices, ceilings and noise, and what is missing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench.hardware import nvml
from bench.hardware.environment import cpu_name, device_facts, snapshot, usable_cores
from bench.registry.cache import cache_folder
from bench.registry.versions import library_version, optional_requirements
from bench.stats.descriptive import median
from bench.sweep.executors.reservation import SUFFIX, in_use, locks_of_this_machine

if TYPE_CHECKING:
    from bench.hardware.timing import Timing

DTYPES = ("float32", "bfloat16")
REPEATS = 6
"""How many times one kernel is timed; the timings differ by noise only."""

LAYERS, CALLS = 60, 100
"""Of the network whose launch time is measured with and without a timing around it, and how often it is called."""


@dataclass(frozen=True)
class Finding:
    """One line of the examination. `value` is a number in `unit`, or text; `missing` is True for something missing."""

    section: str
    name: str
    value: Any
    unit: str = ""
    missing: bool = False


def examine(data: Path | None) -> Iterator[Finding]:
    """All findings, each as soon as it is measured. `data` is the folder of datasets, or None."""
    yield from devices()
    yield from versions()
    yield from ceilings()
    yield from noise()
    yield from slowing()
    yield from folders(data)
    yield from extras(optional_requirements())
    yield from tools()


def devices() -> Iterator[Finding]:
    """The processor, and every other device that torch finds."""
    from bench.hardware.devices import names

    yield Finding("devices", "cpu", cpu_name())
    yield Finding("devices", "cores to use", usable_cores())
    for device in names()[1:]:
        yield _device(device)
    if not _cuda():
        yield Finding("devices", "cuda", "none")


def _device(device: str) -> Finding:
    try:
        facts = device_facts(device)
    except nvml.DriverError as error:
        return Finding("devices", device, str(error), missing=True)
    return Finding("devices", device, f"{facts['device']}, driver {facts['driver']}")


def _cuda() -> list[str]:
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else []


def versions() -> Iterator[Finding]:
    """Python, the system, and the libraries that results depend on."""
    facts = snapshot("cpu")
    yield Finding("versions", "python", facts["python"])
    yield Finding("versions", "system", facts["driver"])
    for name, version in facts["versions"].items():
        yield Finding("versions", name, version or "not installed", missing=version is None)
    yield Finding("versions", "torch build", facts["torch_build"])
    yield Finding("versions", "clock policy", facts["clock"])


def ceilings(seconds: float = 0.12) -> Iterator[Finding]:
    """Matrix products per dtype and the bandwidth of large copies, on one thread and on all cores, per device."""
    from bench.hardware.ceilings import measured

    for device, threads in [*(("cpu", n) for n in sorted({1, usable_cores()})), *((d, 1) for d in _cuda())]:
        where = f"{device}, {threads} thread{'s' * (threads > 1)}" if device == "cpu" else device
        by_dtype = [measured(device, dtype, threads, seconds) for dtype in DTYPES]
        for each in by_dtype:
            yield Finding("ceilings", f"products {each.dtype}, {where}", each.flops / 1e9, "GFLOP/s")
        yield Finding("ceilings", f"copies, {where}", max(each.bandwidth for each in by_dtype) / 1e9, "GB/s")


def noise() -> Iterator[Finding]:
    """How much repeated timings of one small convolution differ, on one thread of the CPU."""
    yield from spread([_kernel(number) for number in range(REPEATS)])
    yield Finding("noise", "load average", psutil.getloadavg()[0])


def _kernel(seed: int) -> Timing:
    import torch
    from torch import nn

    from bench.hardware.timing import Schedule, timed_call

    layer, x = nn.Conv2d(32, 32, 3, padding=1), torch.ones(1, 32, 32, 32)
    plan = Schedule(seconds=0.35, warmup_seconds=0.05, round_seconds=0.01)
    return timed_call(lambda: layer(x), lambda: [*layer.parameters(), x], device="cpu", threads=1, seed=seed, plan=plan)


def spread(timings: Sequence[Timing]) -> Iterator[Finding]:
    """The noise of several timings of one call: bad samples in %, and the largest time over the smallest, minus 1."""
    bad = sum(sum(t.troubles.values()) for t in timings) / sum(len(t.samples) for t in timings)
    yield Finding("noise", "calls that lost their core", 100 * bad, "%")
    for name, values in (("median", [median(t.seconds) for t in timings]), ("low quantile", [t.low for t in timings])):
        yield Finding("noise", f"A/A spread, {name}", 100 * (max(values) / min(values) - 1), "%")
    disturbed = sum(t.disturbed for t in timings) / len(timings)
    yield Finding("noise", "timings of which too few calls kept their core", 100 * disturbed, "%")


def slowing() -> Iterator[Finding]:
    """Whether a timing slows what it times: launch time of a network of many small operators, alone and in a timing."""
    for device in ("cpu", *_cuda()):
        alone, timed = _launch_seconds(device)
        yield Finding("tool", f"launch time alone, {device}", 1e6 * alone, "us")
        yield Finding("tool", f"launch time in a timing, {device}", 1e6 * timed, "us")
        yield Finding("tool", f"slowed by the timing, {device}", 100 * (timed / alone - 1), "%")


def _launch_seconds(device: str) -> tuple[float, float]:
    """Median seconds until a call returns: alone, before and after, and inside `timed_call`."""
    import torch
    from torch import nn

    from bench.hardware.accelerator import accelerator
    from bench.hardware.stopwatch import launch_seconds, thread_count
    from bench.hardware.timing import Schedule, timed_call

    network, x = nn.Sequential(*(nn.Linear(8, 8) for _ in range(LAYERS))).to(device), torch.ones(1, 8, device=device)
    seconds: list[float] = []
    watched = watching_calls(lambda: network(x), seconds)
    plan, target = Schedule(seconds=0.3, warmup_seconds=0.05), accelerator(device)
    with thread_count(1):
        before = launch_seconds(lambda: network(x), target, repeats=CALLS)[CALLS // 5 :]
        timed_call(watched, lambda: [x], device=device, threads=1, plan=plan)
        after = launch_seconds(lambda: network(x), target, repeats=CALLS)
    return median([*before, *after]), median(seconds[len(seconds) // 5 :])


def watching_calls(call: Callable[[], object], seconds: list[float]) -> Callable[[], None]:
    """`call`, which adds to `seconds` how long each call took to return."""

    def watched() -> None:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)

    return watched


def folders(data: Path | None) -> Iterator[Finding]:
    """The folders of data, caches and locks, and whether they can be used; which locks a run holds."""
    if data is None:
        yield Finding("folders", "data", "none: set FOVBENCH_DATA; embedded datasets need none", missing=True)
    else:
        yield Finding("folders", "data", str(data))
    cache = cache_folder()
    state = str(cache) if _writable(cache) else f"{cache} is not writable, so no device can be locked"
    yield Finding("folders", "cache", state, missing=not _writable(cache))
    for path in sorted(locks_of_this_machine().glob(f"*{SUFFIX}")):
        yield Finding("folders", f"lock {path.stem}", "in use by a run" if in_use(path) else "free")


def _writable(folder: Path) -> bool:
    """Whether the folder can be written to; where it does not exist, its nearest existing parent."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(existing, os.W_OK | os.X_OK)


def extras(requirements: Iterable[str] | None) -> Iterator[Finding]:
    """The optional extras of the distribution, and which of their packages are not installed.

    `requirements` are those of the installed distribution, None where it is not installed.
    """
    if requirements is None:
        yield Finding(
            "extras", "fovbench", "not installed, so its extras are not listed: pip install -e .", missing=True
        )
        return
    for extra, names in by_extra(requirements).items():
        absent = [name for name in names if library_version(name) is None]
        state = f"not installed: {', '.join(absent)}; pip install 'fovbench[{extra}]'" if absent else "installed"
        yield Finding("extras", extra, state, missing=bool(absent))


def by_extra(requirements: Iterable[str]) -> dict[str, list[str]]:
    """Names of packages by extra, from lines such as `pytest>=8; extra == "test"`; fovbench itself is left out."""
    packages: dict[str, list[str]] = {}
    for line in requirements:
        extra = re.search(r"extra == ['\"](\w+)['\"]", line)
        name = re.match(r"[A-Za-z0-9._-]+", line)
        if extra and name and name[0] != "fovbench":
            packages.setdefault(extra[1], []).append(name[0])
    return packages


def tools() -> Iterator[Finding]:
    """Programs and libraries that some options need."""
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++", "cl"))), None)
    yield Finding("tools", "C++ compiler", compiler or "none: compile: true needs one on a CPU", missing=not compiler)
    if _cuda():
        state = "available" if nvml.available() else "none: throttling and other processes on a GPU go unnoticed"
        yield Finding("tools", "NVML", state, missing=not nvml.available())
    if platform.system() != "Linux":
        yield Finding("tools", "pinning of cores", "only on Linux", missing=True)
