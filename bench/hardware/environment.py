"""What a result depends on besides the code: the machine, its driver, the build of the library.

Read from files and metadata, so that planning need not import torch.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
from pathlib import Path
from typing import Any


def device_kind(device: str) -> str:
    """`cuda:1` -> `cuda`."""
    return device.split(":")[0]


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
    """The frequency governor of the first core; `unknown` where the kernel does not tell."""
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return governor.read_text().strip() if governor.is_file() else "unknown"


@functools.cache
def device_facts(device: str) -> dict[str, str]:
    """Name, driver and clock policy of a device. Raises ValueError for a device that is not here."""
    if device_kind(device) == "cpu":
        return {"device": cpu_name(), "driver": f"{platform.system()} {platform.release()}", "clock": clock_policy()}
    import torch

    if device_kind(device) != "cuda" or not torch.cuda.is_available():
        raise ValueError(f"there is no device '{device}' here; there is: cpu")
    query = ["nvidia-smi", "--query-gpu=driver_version,clocks.applications.graphics", "--format=csv,noheader"]
    driver, clock = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split("\n")[0].split(",")
    return {"device": torch.cuda.get_device_name(device), "driver": driver.strip(), "clock": clock.strip()}


def snapshot(device: str) -> dict[str, Any]:
    """Everything worth keeping beside a measurement; a superset of what keys use."""
    libraries = ("torch", "torchvision", "timm", "numpy", "fovbench")
    versions = {name: _installed(name) for name in libraries}
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "torch_build": torch_build()}
    return {**device_facts(device), **machine, "versions": versions}


@functools.cache
def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
