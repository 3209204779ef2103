"""The facts that a result depends on besides the code: the machine, its driver, the build of torch.

They are read from files and metadata, so that planning need not import torch.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import platform
from pathlib import Path
from typing import Any

from bench.registry.versions import library_version

LIBRARIES = ("torch", "torchvision", "timm", "numpy", "fovbench")


def device_kind(device: str) -> str:
    """`cuda:1` -> `cuda`."""
    return device.split(":")[0]


def usable_cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def cpu_name() -> str:
    """The processor's model name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


@functools.cache
def torch_build() -> str:
    """Version, CUDA and git revision of the installed torch, from its version file."""
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return "not installed"
    namespace: dict[str, Any] = {}
    text = (Path(next(iter(spec.submodule_search_locations))) / "version.py").read_text()
    exec(compile(text, "torch/version.py", "exec"), namespace)
    return f"{namespace['__version__']} cuda {namespace.get('cuda')} {str(namespace.get('git_version'))[:12]}"


@functools.cache
def clock_policy() -> str:
    """The frequency governor of the first core; `unknown` where the kernel does not report it."""
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return governor.read_text().strip() if governor.is_file() else "unknown"


@functools.cache
def device_facts(device: str) -> dict[str, str]:
    """Name, driver and clock policy of a device; `not reported` for what is not known of it.

    Raises ValueError for a device that this machine does not have, DriverError where the driver cannot be asked.
    """
    if device_kind(device) == "cpu":
        return {"device": cpu_name(), "driver": f"{platform.system()} {platform.release()}", "clock": clock_policy()}
    from bench.hardware import devices

    return devices.facts(device)


def snapshot(device: str) -> dict[str, Any]:
    """Everything worth keeping with a measurement; a superset of what keys use."""
    versions = {name: library_version(name) for name in LIBRARIES}
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "torch_build": torch_build()}
    return {**device_facts(device), **machine, "versions": versions}
