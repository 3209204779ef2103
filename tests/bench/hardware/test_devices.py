"""What is known of devices of every kind, from made-up modules of torch."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.hardware import devices
from bench.hardware.accelerator import accelerator
from bench.hardware.environment import device_facts

UNKNOWN = "not reported"


@pytest.fixture(autouse=True)
def without_devices(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine with a CPU alone, whatever this one has."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch, "xpu", SimpleNamespace(is_available=lambda: False, device_count=lambda: 0))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    device_facts.cache_clear()
    yield
    device_facts.cache_clear()
    accelerator.cache_clear()


def module(*properties: Any, **more: Any) -> SimpleNamespace:
    """A module like `torch.cuda` with a device for each of these properties."""

    def of(device: str) -> Any:
        return properties[int(device.partition(":")[2] or 0)]

    counts = {"is_available": lambda: bool(properties), "device_count": lambda: len(properties)}
    return SimpleNamespace(**counts, get_device_properties=of, **more)


def intel(name: str, driver: str) -> SimpleNamespace:
    return SimpleNamespace(name=name, driver_version=driver)


def test_every_device_of_the_machine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.names() == ["cpu"]
    monkeypatch.setattr(torch, "xpu", module(intel("A", "1"), intel("B", "1")))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices.names() == ["cpu", "xpu:0", "xpu:1", "mps"]


def test_an_xpu_has_the_facts_that_torch_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "xpu", module(intel("Max 1100", "1.3.2"), intel("Max 1550", "")))
    assert device_facts("xpu") == device_facts("xpu:0")
    assert device_facts("xpu:0") == {"device": "Max 1100", "driver": "1.3.2", "clock": UNKNOWN}
    assert device_facts("xpu:1") == {"device": "Max 1550", "driver": UNKNOWN, "clock": UNKNOWN}
    with pytest.raises(ValueError, match=r"no device 'xpu:2'; it has: cpu, xpu:0, xpu:1$"):
        device_facts("xpu:2")


def test_the_accelerator_of_a_device_has_the_same_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "xpu", module(intel("Max 1100", "1.3.2"), synchronize=lambda device: None))
    assert accelerator("xpu:0").facts() == device_facts("xpu:0")


@pytest.mark.parametrize(
    ("reports", "system", "facts"),
    [
        ({"get_name": lambda: "Apple M3 Max"}, "14.4", ("Apple M3 Max", "macOS 14.4")),
        ({}, "14.4", (UNKNOWN, "macOS 14.4")),
        ({}, "", (UNKNOWN, UNKNOWN)),
    ],
)
def test_mps_has_what_torch_and_the_system_report(
    monkeypatch: pytest.MonkeyPatch, reports: dict[str, Any], system: str, facts: tuple[str, str]
) -> None:
    monkeypatch.setattr(torch.backends, "mps", SimpleNamespace(is_available=lambda: True, **reports))
    monkeypatch.setattr("platform.mac_ver", lambda: (system, ("", "", ""), ""))
    assert device_facts("mps") == {"device": facts[0], "driver": facts[1], "clock": UNKNOWN}
    with pytest.raises(ValueError, match=r"no device 'mps:1'; it has: cpu, mps$"):
        device_facts("mps:1")


def test_a_device_of_amd_is_cuda_without_nvidias_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "cuda", module(SimpleNamespace(name="MI300X")))
    monkeypatch.setattr(torch.version, "hip", "6.2")
    assert device_facts("cuda:0") == {"device": "MI300X", "driver": UNKNOWN, "clock": UNKNOWN}


def test_a_kind_that_is_like_cuda_is_asked_like_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "npu", module(SimpleNamespace(name="Ascend")), raising=False)
    assert device_facts("npu:0") == {"device": "Ascend", "driver": UNKNOWN, "clock": UNKNOWN}
    with pytest.raises(ValueError, match="no device 'tpu'"):
        device_facts("tpu")
