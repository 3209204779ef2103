from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bench.hardware.process import TOLERANCE, identity, is_running, this_process


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
    number, _, start = this_process().partition("@")
    assert is_running(f"{number}@{float(start) + shift}") is runs


@pytest.mark.parametrize("text", ["", "7", "@", "999999999@1.5", "x@1", "1@another boot/7"])
def test_what_names_no_running_process_does_not_run(text: str) -> None:
    assert not is_running(text)
