from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.hardware.environment import cpu_name, device_facts, snapshot, torch_build, usable_cores
from bench.registry.versions import __version__


def test_the_facts_of_the_processor_are_text() -> None:
    facts = device_facts("cpu")
    assert facts["device"] == cpu_name()
    assert set(facts) == {"device", "driver", "clock"}
    assert all(facts.values())


def test_a_device_that_is_not_here_is_refused_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=r"this machine has no device 'cuda:9'; it has: cpu$"):
        device_facts("cuda:9")
    with pytest.raises(ValueError, match="no device 'tpu'"):
        device_facts("tpu")


def test_the_build_of_torch_is_read_without_importing_it() -> None:
    import torch

    assert torch_build().startswith(f"{torch.__version__} cuda {torch.version.cuda}")


def test_a_snapshot_has_the_versions_of_the_libraries_and_of_fovbench() -> None:
    facts = snapshot("cpu")
    assert facts["versions"]["fovbench"] == __version__
    assert all(facts["versions"].values())
    assert facts["python"] == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.skipif(sys.platform != "linux", reason="cores are pinned on Linux only")
def test_usable_cores_are_those_that_this_process_may_run_on() -> None:
    allowed = Path("/proc/self/status").read_text().partition("Cpus_allowed:")[2].split()[0]
    assert usable_cores() == int(allowed.replace(",", ""), 16).bit_count()
