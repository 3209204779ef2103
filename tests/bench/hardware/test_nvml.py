"""Facts of an NVIDIA device, from a made-up driver."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from bench.hardware import environment, nvml
from bench.hardware.nvml import DriverError

SECOND = "b1"


class Error(Exception):
    pass


class NotSupportedError(Error):
    pass


class NotFoundError(Error):
    pass


class Driver(SimpleNamespace):
    """Two devices; the second is slowed down and computes for two processes. Other queries of NVML do not exist."""

    NVMLError, NVMLError_NotFound = Error, NotFoundError
    NVMLError_NotSupported = NVMLError_Deprecated = NVMLError_FunctionNotFound = NotSupportedError
    NVML_CLOCK_GRAPHICS = 0
    clocks = {"GPU-a0": 1410, "GPU-b1": 1980}

    def nvmlInit(self) -> None:
        pass

    def nvmlSystemGetDriverVersion(self) -> str:
        return "550.54.15"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid not in (*self.clocks, "MIG-c2"):
            raise NotFoundError("Not Found")
        return uuid

    def nvmlDeviceGetApplicationsClock(self, handle: str, clock: int) -> int:
        if handle not in self.clocks:
            raise NotSupportedError("Not Supported")
        return self.clocks[handle]

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: str) -> int:
        if handle == "MIG-c2":
            raise NotSupportedError("Not Supported")
        return {"GPU-a0": 0x1, "GPU-b1": 0x4}[handle]

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[int]:
        return {"GPU-a0": [], "GPU-b1": [41, 42]}[handle]


@pytest.fixture(autouse=True)
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    driver = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", driver)  # type: ignore[arg-type]
    forget()
    yield driver
    forget()


def forget() -> None:
    for function in (nvml._library, nvml._handle, environment.device_facts):
        function.cache_clear()


def test_every_fact_is_that_of_the_device_with_this_uuid() -> None:
    assert nvml.available()
    assert nvml.driver_version() == "550.54.15"
    assert [nvml.application_clock(uuid) for uuid in ("a0", SECOND)] == ["1410 MHz", "1980 MHz"]
    assert [nvml.throttle_reasons(uuid) for uuid in ("a0", SECOND)] == [0x1, 0x4]
    assert [nvml.compute_processes(uuid) for uuid in ("a0", SECOND)] == [0, 2]


def test_a_clock_that_the_driver_does_not_report_is_said_so_and_a_reason_is_an_error() -> None:
    assert nvml.application_clock("c2") == "not reported"
    with pytest.raises(DriverError, match="does not report why the device is slowed down: Not Supported"):
        nvml.throttle_reasons("c2")


def test_a_device_that_the_driver_does_not_have_is_an_error() -> None:
    with pytest.raises(DriverError, match="no device with UUID d3"):
        nvml.compute_processes("d3")


def test_a_missing_driver_and_a_missing_package_are_said_plainly(
    monkeypatch: pytest.MonkeyPatch, driver: Driver
) -> None:
    def fail() -> None:
        raise Error("NVML Shared Library Not Found")

    driver.nvmlInit = fail
    assert not nvml.available()
    with pytest.raises(DriverError, match=r"cannot be asked \(NVML Shared Library Not Found\); is it installed\?"):
        nvml.driver_version()
    monkeypatch.setitem(sys.modules, "pynvml", None)  # type: ignore[arg-type]
    with pytest.raises(DriverError, match="pip install nvidia-ml-py"):
        nvml.driver_version()


def test_the_facts_of_the_second_device_are_not_those_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = [SimpleNamespace(name="A", uuid="a0"), SimpleNamespace(name="B", uuid=SECOND)]
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: len(devices))
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda name: devices[int(name.partition(":")[2] or 0)])
    facts = [environment.device_facts(name) for name in ("cuda", "cuda:1")]
    assert [(f["device"], f["clock"]) for f in facts] == [("A", "1410 MHz"), ("B", "1980 MHz")]
    with pytest.raises(ValueError, match="no device 'cuda:2'; it has: cpu, cuda:0, cuda:1"):
        environment.device_facts("cuda:2")
