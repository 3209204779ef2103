"""The examination of a machine: its findings on artificial machines, and that it runs on this one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import bench
from bench.hardware.ceilings import Ceilings
from bench.hardware.timing import Sample, Timing
from bench.sweep import doctor
from bench.sweep.doctor import Finding, by_extra, extras, folders, in_use, spread


def timing(*seconds: float, bad: int = 0) -> Timing:
    good = [Sample(s, s, layout) for layout, s in enumerate(seconds)]
    return Timing((*good, *[Sample(9.0, 1.0, 0, 1, "preempted")] * bad), 6, True, "3 s", (0.0, 0.0))


def test_noise_is_the_largest_over_the_smallest() -> None:
    noise = {f.name: f.value for f in spread([timing(1.0, 1.0, 1.0, bad=1), timing(1.0, 1.2, 1.2, bad=1)])}
    # medians 1 and 1.2; 10 % quantiles 1 and 1 + 0.2 x 0.2
    assert noise["A/A spread, median"] == pytest.approx(20)
    assert noise["A/A spread, low quantile"] == pytest.approx(4)
    assert noise["calls that lost their core"] == 25
    assert noise["timings of which too few calls kept their core"] == 0


def test_extras_are_read_from_the_distribution() -> None:
    lines = ["torch>=2", 'pytest>=8; extra == "test"', "ruff>=0.8; extra == 'lint'", "fovbench[test]; extra == 'dev'"]
    assert by_extra(lines) == {"test": ["pytest"], "lint": ["ruff"]}
    first, second = extras([*lines, 'no-such-thing; extra == "test"'])
    assert (first.name, first.missing, second.name) == ("test", True, "lint")
    assert first.value == "not installed: no-such-thing; pip install 'fovbench[test]'"


def test_where_the_distribution_is_not_installed_its_extras_are_missing() -> None:
    (finding,) = extras(None)
    assert finding.missing
    assert "pip install -e ." in finding.value


HOLDER = """
import sys
from filelock import ReadWriteLock
lock = ReadWriteLock(sys.argv[1])
with getattr(lock, sys.argv[2])():
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["read_lock", "write_lock"])
def test_a_lock_is_in_use_while_another_process_holds_it(how: str, tmp_path: Path) -> None:
    path = tmp_path / "cpu.db"
    command = [sys.executable, "-c", HOLDER, str(path), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        assert in_use(path)
        holder.communicate("")
    assert not in_use(path)


def test_folders_say_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    findings = {f.name: f for f in folders(None)}
    assert findings["data"].missing
    assert findings["cache"] == Finding("folders", "cache", str(tmp_path / "fovbench"))
    assert not {f.name: f for f in folders(tmp_path)}["data"].missing


def test_the_command_prints_one_object_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made_up = lambda device, dtype, threads, seconds: Ceilings(device, dtype, threads, 5e10, ((1, 2e10),))  # noqa: E731
    monkeypatch.setattr("bench.hardware.ceilings.measured", made_up)
    monkeypatch.setattr(doctor, "_kernel", lambda seed: timing(1.0, 1.0))
    done = CliRunner().invoke(bench, ["doctor", "--json"])
    assert done.exit_code == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["section"] for row in rows} >= {
        "devices",
        "versions",
        "ceilings",
        "noise",
        "folders",
        "extras",
        "tools",
    }
    by_name = {row["name"]: row for row in rows}
    assert (by_name["products bfloat16, cpu, 1 thread"]["value"], by_name["copies, cpu, 1 thread"]["unit"]) == (
        50,
        "GB/s",
    )
    plain = CliRunner().invoke(bench, ["doctor"])
    assert "  copies, cpu, 1 thread                20 GB/s" in plain.stdout.splitlines()


def test_the_launch_time_of_a_network_is_stated_alone_and_in_a_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_launch_seconds", lambda device: (2e-4, 3e-4))
    monkeypatch.setattr(doctor, "_cuda", lambda: ["cuda:0"])
    findings = {f.name: (round(f.value, 9), f.unit) for f in doctor.slowing()}
    assert findings["launch time alone, cuda:0"] == (200.0, "us")
    assert findings["launch time in a timing, cuda:0"] == (300.0, "us")
    assert findings["slowed by the timing, cuda:0"] == findings["slowed by the timing, cpu"] == (50.0, "%")


def test_every_call_inside_a_timing_is_watched() -> None:
    seconds: list[float] = []
    call = doctor.watching_calls(lambda: None, seconds)
    call()
    call()
    assert len(seconds) == 2
    assert min(seconds) >= 0
