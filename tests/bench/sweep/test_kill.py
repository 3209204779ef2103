"""`kill -9` of a whole run, driver and workers, at twenty random moments: no measurement is lost or doubled."""

import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from itertools import product
from pathlib import Path

import pytest

from bench.results.frame import load

TEXT = """
question: Does a run survive?
architecture: trivial
grid: {a: [%s], flag: [false, true]}
metrics: [slow, twice]
"""
VALUES, KILLS = 300, 20
MEASUREMENTS = 2 * 2 * VALUES + 2
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
    pids = list(processes(mark))
    generator.shuffle(pids)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def values(path):
    """{(a, flag, metric): [values of its rows]} of a store; fails where a row is an error."""
    frame = load(path)
    assert frame["error"].isna().all(), frame["error"].dropna().unique()
    axes = [dict(part.split("=") for part in re.findall(r"\w+=\w+", name)) for name in frame["variant"]]
    rows = zip(axes, frame["metric"], frame["value"], strict=True)
    by_name = defaultdict(list)
    for stated, metric, value in rows:
        by_name[int(stated.get("a", 0)), stated.get("flag", "false"), metric].append(value)
    return by_name


def expected():
    """What both metrics of the plug-in give: twice and three times `a`, each once."""
    variants = [(0, "false"), *product(range(1, VALUES + 1), ("false", "true"))]
    return {(a, flag, metric): [n * a] for a, flag in variants for metric, n in (("twice", 2), ("slow", 3))}


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
    (tmp_path / "a.yaml").write_text(TEXT % ", ".join(map(str, range(1, VALUES + 1))))
    generator, store, seen = random.Random(9), tmp_path / "s.sqlite", [0]
    for attempt in range(KILLS):
        driver = start(tmp_path, plugin, f"run{attempt}")
        wait_for_progress(store, seen[-1], KILLS - attempt, driver, generator)
        kill_all(f"run{attempt}", generator)
        driver.wait(120)
        wait_for_end(f"run{attempt}")
        seen.append(count(store))
    assert seen == sorted(seen), "rows were lost"
    assert 0 < seen[KILLS // 2] < seen[-1] < MEASUREMENTS, f"the kills were not spread over the sweep: {seen}"
    assert start(tmp_path, plugin, "last").wait(300) == 0
    assert values(store) == expected()
    assert count(store) == MEASUREMENTS, "a measurement was doubled"


def wait_for_progress(path, before, kills, driver, generator):
    """A random moment: from the start of the run until a few more rows are kept, so that some are left for each kill."""
    target = before + generator.randrange(max(1, (MEASUREMENTS - before) // (2 * kills)))
    ends = time.monotonic() + 60
    time.sleep(generator.random() * 0.4)
    while count(path) < target and driver.poll() is None and time.monotonic() < ends:
        time.sleep(0.002)


def wait_for_end(mark):
    """Until no process of the run is left: what was being started when the run was killed ends itself."""
    ends = time.monotonic() + 120
    while left := list(processes(mark)):
        assert time.monotonic() < ends, f"{left} outlived their driver"
        time.sleep(0.02)
