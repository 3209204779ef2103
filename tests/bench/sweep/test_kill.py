"""`kill -9` of a whole run, driver and workers, at twenty random moments: nothing is lost, nothing doubled."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.results.frame import load

TEXT = """
question: Does a run survive?
architecture: trivial
grid: {a: [%s], flag: [false, true]}
metrics: [slow, twice]
"""
CELLS = 2 * 2 * 400 + 2
MARK = "FOVBENCH_TEST_RUN"

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds a run's processes in /proc")


def start(folder, plugin, mark):
    command = [sys.executable, "-m", "bench.cli", "run", "a.yaml", "--plugin", plugin, "--no-report"]
    environment = {**os.environ, MARK: mark}
    return subprocess.Popen([*command, "--workers", "2", "--store", "s.sqlite"], cwd=folder, env=environment,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip


def processes(mark):
    """Every living process of the run: the driver, the fork server, the workers."""
    needle = f"{MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and needle in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)
        except OSError:
            continue


def kill_all(mark, generator):
    found = list(processes(mark))
    generator.shuffle(found)
    for pid in found:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def table(path):
    frame = load(path)
    return frame[["variant", "metric", "value"]].sort_values(["variant", "metric"]).reset_index(drop=True)


def count(path):
    if not path.exists():
        return 0
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT count(*) FROM measurement").fetchone()[0]
    except sqlite3.OperationalError:  # killed before it had made its tables
        return 0
    finally:
        connection.close()


def test_kill_minus_nine_at_twenty_random_moments(tmp_path, plugin):
    text = TEXT % ", ".join(map(str, range(1, 401)))
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.yaml").write_text(text)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    driver = start(whole, plugin, "whole")
    assert driver.wait(120) == 0
    generator = random.Random(9)
    seen = [0]
    for attempt in range(20):
        driver = start(killed, plugin, f"killed{attempt}")
        wait_for_progress(killed / "s.sqlite", seen[-1], driver, generator)
        kill_all(f"killed{attempt}", generator)
        driver.wait(30)
        time.sleep(0.2)
        assert not list(processes(f"killed{attempt}")), "a worker outlived its driver"
        seen.append(count(killed / "s.sqlite"))
    assert seen == sorted(seen), "rows were lost"
    assert 0 < seen[10] < seen[-1] < CELLS, f"the kills were not spread over the sweep: {seen}"
    driver = start(killed, plugin, "last")
    assert driver.wait(120) == 0
    assert len(table(whole / "s.sqlite")) == CELLS
    assert table(killed / "s.sqlite").equals(table(whole / "s.sqlite"))
    assert count(killed / "s.sqlite") == CELLS, "a measurement was doubled"


def wait_for_progress(path, before, driver, generator):
    """A random moment: between the start and some forty more rows."""
    target, deadline = before + generator.randrange(60), time.monotonic() + 20
    time.sleep(generator.random() * 0.4)
    while count(path) < target and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
