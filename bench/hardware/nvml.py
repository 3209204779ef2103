"""Facts of an NVIDIA device from its driver, by NVML (the package nvidia-ml-py).

NVML numbers every device of the machine, torch only those that CUDA_VISIBLE_DEVICES names. Both report the UUID, so
a device is looked up by that.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

Fact = TypeVar("Fact")


class DriverError(RuntimeError):
    """The driver could not be asked, or does not report this fact of the device."""


def available() -> bool:
    """Whether the driver can be asked here."""
    try:
        _library()
    except DriverError:
        return False
    return True


def driver_version() -> str:
    """The version of the NVIDIA driver, such as `550.54.15`. Raises DriverError."""
    with _reported("the version of the driver"):
        return str(_library().nvmlSystemGetDriverVersion())


def application_clock(uuid: str) -> str:
    """The graphics clock that is set for applications, such as `1980 MHz`; `not reported` by some drivers.

    Raises DriverError.
    """
    library = _library()
    try:
        return f"{library.nvmlDeviceGetApplicationsClock(_handle(uuid), library.NVML_CLOCK_GRAPHICS)} MHz"
    except (library.NVMLError_NotSupported, library.NVMLError_Deprecated, library.NVMLError_FunctionNotFound):
        return "not reported"


def throttle_reasons(uuid: str) -> int:
    """NVML's mask of the reasons why the device is slowed down now. Raises DriverError."""
    with _reported("why the device is slowed down"):
        return int(_library().nvmlDeviceGetCurrentClocksThrottleReasons(_handle(uuid)))


def compute_processes(uuid: str) -> int:
    """How many processes compute on the device now; a container may hide some or all. Raises DriverError."""
    with _reported("the processes on the device"):
        return len(_library().nvmlDeviceGetComputeRunningProcesses(_handle(uuid)))


def sm_clock(uuid: str) -> float:
    """The clock of the multiprocessors now, in MHz. Raises DriverError."""
    with _reported("the clock of the device"):
        return float(_library().nvmlDeviceGetClockInfo(_handle(uuid), _library().NVML_CLOCK_SM))


def power(uuid: str) -> float:
    """The power that the device draws now, in watts. Raises DriverError."""
    with _reported("the power of the device"):
        return float(_library().nvmlDeviceGetPowerUsage(_handle(uuid))) / 1e3


def energy(uuid: str) -> float:
    """The energy that the device has drawn since its driver was loaded, in joules. Raises DriverError."""
    with _reported("the energy of the device"):
        return float(_library().nvmlDeviceGetTotalEnergyConsumption(_handle(uuid))) / 1e3


def memories() -> list[tuple[str, int]]:
    """(UUID with its prefix, bytes that are free) of every device of the machine. Raises DriverError."""
    library = _library()
    with _reported("the devices and their memory"):
        handles = [library.nvmlDeviceGetHandleByIndex(i) for i in range(library.nvmlDeviceGetCount())]
        return [(str(library.nvmlDeviceGetUUID(h)), int(library.nvmlDeviceGetMemoryInfo(h).free)) for h in handles]


def reported(fact: Callable[[str], Fact], uuid: str) -> Fact | None:
    """A fact of the device; None where the driver does not report it."""
    try:
        return fact(uuid)
    except DriverError:
        return None


@functools.cache
def _handle(uuid: str) -> Any:
    """The device, or the slice of one (MIG), with this UUID."""
    library = _library()
    for prefix in ("GPU", "MIG"):
        with contextlib.suppress(library.NVMLError_NotFound):
            return library.nvmlDeviceGetHandleByUUID(f"{prefix}-{uuid}")
    raise DriverError(f"the NVIDIA driver reports no device with UUID {uuid}")


@functools.cache
def _library() -> Any:
    """NVML, initialised once. Raises DriverError where the package or the driver is missing."""
    try:
        import pynvml
    except ImportError:
        raise DriverError("nvidia-ml-py is not installed: pip install nvidia-ml-py") from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise DriverError(f"the NVIDIA driver cannot be asked ({error}); is it installed?") from error
    return pynvml


@contextlib.contextmanager
def _reported(fact: str) -> Iterator[None]:
    """Turns NVML's errors into DriverError with the name of the fact."""
    library = _library()
    try:
        yield
    except library.NVMLError as error:
        raise DriverError(f"the NVIDIA driver does not report {fact}: {error}") from error
