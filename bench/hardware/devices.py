"""The devices of this machine besides the CPU: which there are, and what is known of each.

Every kind of device is asked in the same way. What neither PyTorch nor a driver reports is said to be unknown.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import torch

from bench.hardware import nvml

UNKNOWN = "not reported"
"""Stands for a fact that nothing here reports."""

KINDS = ("cuda", "xpu", "mps")
"""The kinds of devices that are looked for by themselves; another one is looked for where it is named."""


def names() -> list[str]:
    """The devices of this machine as torch names them: `cpu`, `cuda:0`, `xpu:1`, `mps`."""
    return ["cpu", *(name for kind in KINDS for name in _names(kind))]


def _names(kind: str) -> Iterator[str]:
    if kind == "mps":  # there is at most one
        yield from ["mps"] * torch.backends.mps.is_available()
        return
    module = _module(kind)
    yield from [f"{kind}:{number}" for number in range(module.device_count())] if module is not None else []


def _module(kind: str) -> ModuleType | None:
    """`torch.cuda`, `torch.xpu` or a module like them, where it has a device; else None."""
    module = getattr(torch, kind, None)
    available = getattr(module, "is_available", None)
    return module if callable(available) and hasattr(module, "device_count") and available() else None


def facts(device: str) -> dict[str, str]:
    """Name, driver and clock of a device that is no CPU.

    Raises ValueError for a device that this machine does not have, DriverError where NVIDIA's driver cannot be asked.
    """
    kind, _, number = device.partition(":")
    here = list(_names(kind)) if kind != "cpu" else []
    if (device if number or kind == "mps" else f"{kind}:0") not in here:
        raise ValueError(f"this machine has no device '{device}'; it has: {', '.join(names())}")
    return READERS.get(kind, _of_module)(device)


def _of_cuda(device: str) -> dict[str, str]:
    """NVIDIA's devices, and AMD's: PyTorch calls both `cuda`, and NVML has the first alone."""
    properties = torch.cuda.get_device_properties(device)
    if torch.version.hip is not None:
        return {"device": properties.name, "driver": UNKNOWN, "clock": UNKNOWN}
    clock = nvml.application_clock(str(properties.uuid))
    return {"device": properties.name, "driver": nvml.driver_version(), "clock": clock}


def _of_module(device: str) -> dict[str, str]:
    """Intel's devices (`xpu`), and other kinds that have the functions of `torch.cuda`."""
    module: Any = _module(device.partition(":")[0])
    read = getattr(module, "get_device_properties", None)
    properties = read(device) if read is not None else None
    known = {"device": getattr(properties, "name", ""), "driver": getattr(properties, "driver_version", "")}
    return {**{name: str(value or UNKNOWN) for name, value in known.items()}, "clock": UNKNOWN}


def _of_mps(device: str) -> dict[str, str]:
    """Apple's device; its driver is part of the system."""
    name, system = getattr(torch.backends.mps, "get_name", str)(), platform.mac_ver()[0]
    return {"device": name or UNKNOWN, "driver": f"macOS {system}" if system else UNKNOWN, "clock": UNKNOWN}


READERS: Mapping[str, Callable[[str], dict[str, str]]] = {"cuda": _of_cuda, "mps": _of_mps}
