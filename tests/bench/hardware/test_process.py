from __future__ import annotations

import os
import re
import subprocess
import sys

import psutil
import pytest

from bench.hardware.process import BOOT, TOLERANCE, identity, is_running, this_process


def test_this_process_runs_under_its_own_number() -> None:
    assert this_process().partition("@")[0] == str(os.getpid())
    assert is_running(this_process())


def test_a_child_runs_until_it_ends_and_a_zombie_does_not_run() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = identity(child.pid)
        assert is_running(process)
        child.stdin.close()  # type: ignore[union-attr]
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not is_running(process), "ended, and not yet waited for"
        child.wait()
        assert not is_running(process)


@pytest.mark.parametrize(("shift", "runs"), [(TOLERANCE / 2, True), (-TOLERANCE / 2, True), (3 * TOLERANCE, False)])
def test_a_number_that_another_process_has_now_is_told_by_its_start(shift: float, runs: bool) -> None:
    """The start in seconds since 1970, as systems have it that count nothing from the boot, and earlier versions."""
    assert is_running(f"{os.getpid()}@{psutil.Process().create_time() + shift}") is runs


@pytest.mark.skipif(not BOOT.exists(), reason="this system has no name for its boot")
def test_a_process_still_runs_where_the_clock_was_set_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its claims would be another run's otherwise, and it would be measured twice."""
    named = this_process()
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: 0.0)
    assert is_running(named)
    assert this_process() == named


@pytest.mark.skipif(not BOOT.exists(), reason="this system has no name for its boot")
def test_a_start_is_that_of_one_boot() -> None:
    named = this_process()
    number, boot, ticks = re.split("[@+]", named)
    assert not is_running(f"{number}@{boot}+{int(ticks) + 1}")
    assert not is_running(f"{number}@{boot[::-1]}x+{ticks}")


@pytest.mark.parametrize("text", ["", "7", "@", "999999999@1.5", "x@1", "1@another boot/7", "1@another+7"])
def test_what_names_no_running_process_does_not_run(text: str) -> None:
    assert not is_running(text)
