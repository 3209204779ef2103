"""Kills at random moments: of the driver, of a job, of its supervisor, of the fork server, and of all of them at once.

After the last resume the table equals that of an undisturbed run. The moments are numbers of events (a job submitted, a
measurement stored, a step trained) drawn from a seed. FOVBENCH_TEST_KILLS sets how many there are; the full matrix is
100, about a minute of CPU time, since most hit an ablation that needs no torch, so that starting again is cheap.
"""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from bench.results.frame import load

KILLS = int(os.environ.get("FOVBENCH_TEST_KILLS", "24"))
OF_TRAINING = max(3, KILLS // 12)
SEED = 9
MARK = "FOVBENCH_TEST_RUN"
TARGETS = ("driver", "job", "supervisor", "fork server", "all")
PATIENCE = 2
"""Kills without a result between, at most: five of one measurement are a result, and ten in a row end a run."""

VALUES = list(range(1, 25))
PLUGIN = '''
import time
from bench.registry import architecture, metric


@architecture(task="none", source="nobody")
def plain(*, a: int = 0):
    """A number."""
    return {"a": a}


@metric(unit="px", better="lower", kind="static")
def doubled(subject):
    """Twice a, after five milliseconds."""
    time.sleep(0.005)
    return 2 * subject.build()["a"]


@metric(unit="s", better="lower", kind="speed")
def timed(subject):
    """Three samples that depend on a, after five milliseconds."""
    time.sleep(0.005)
    return [subject.build()["a"] + sample / 10 for sample in range(3)]
'''
ABLATIONS = {
    "plain": f"""
question: Does a run survive?
architecture: plain
vary: {{a: {VALUES}}}
metrics: [doubled, timed]
""",
    "unet": """
question: Does a training run survive, also in a process that several share?
architecture: unet
baseline: {width: 0.125, depth: 1}
seeds: 12
metrics: [miou, pixel_accuracy]
workload: {dataset: {name: boundaries, train_count: 4, val_count: 4}, shape: [3, 32, 32]}
train: {steps: 4, batch: 2, mode: fp32}
""",
}
DRIVER = """
import sys
from bench.results.store import Store
from bench.spec.ablation import load
from bench.sweep.driver import run
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.plan import plan
from bench.sweep.running import preload
from bench.sweep.settings import Kept, Options


class Announcing(LocalExecutor):
    def submit(self, *arguments, **options):
        print("submitted", flush=True)
        return super().submit(*arguments, **options)


def main(path, store):
    with Store(store) as stored:
        planned = plan(load(path, (), ["plugin.py"]), stored)
        executor = Announcing(2, preload([planned]))
        notify = lambda event: print("kept" if isinstance(event, Kept) else "event", flush=True)
        try:
            run(planned, stored, executor, Options(workers=2, check_noop=False, notify=notify))
        finally:
            executor.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds a run's processes in /proc")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "driver.py").write_text(DRIVER)
    for name, text in ABLATIONS.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def start(folder, name, store, mark):
    command = [sys.executable, "driver.py", f"{name}.yaml", store]
    environment = {**os.environ, MARK: mark}
    with (folder / "log").open("a") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=log)


def processes(mark):
    """Every living process of the run: the driver, the fork server, supervisors, jobs."""
    needle = f"{MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and needle in (entry / "environ").read_bytes().split(b"\0"):
                yield int(entry.name)
        except OSError:
            continue


def victims(driver, target, mark):
    """The processes of a run that are such a target now."""
    if target == "all":
        return list(processes(mark))
    below = [psutil.Process(driver.pid)]
    if target == "fork server":
        return [each.pid for each in below[0].children() if "forkserver" in " ".join(each.cmdline())]
    for _ in range({"driver": 0, "supervisor": 2, "job": 3}[target]):
        below = [child for each in below for child in each.children()]
    return [each.pid for each in below]


def kill(driver, target, mark, generator):
    """Kill one process of that target, or all of the run, as soon as there is any; whether there was one in time."""
    ends = time.monotonic() + 2
    while driver.poll() is None and time.monotonic() < ends:
        with contextlib.suppress(psutil.Error):  # it ended meanwhile
            found = victims(driver, target, mark)
            chosen = found if target == "all" or not found else [generator.choice(found)]
            if sum(map(killed, chosen)):
                return True
    return False


def killed(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


class Killer:
    """Runs an ablation on one store again and again until it is complete, and kills as often as it is told."""

    def __init__(self, folder, name, kills, generator):
        self.folder, self.name, self.left, self.generator = folder, name, kills, generator
        self.kills, self.starts, self.since = Counter(), 0, 0

    def complete(self, store):
        """Run until the run ends by itself."""
        while not self._ended_by_itself(store):
            pass

    def _ended_by_itself(self, store):
        self.starts += 1
        mark = f"{self.name}{self.starts}"
        driver = start(self.folder, self.name, store, mark)
        with driver:
            self._watch(driver, mark)
        wait_for_end(mark)
        assert driver.returncode in (0, -signal.SIGKILL), (self.folder / "log").read_text()[-2000:]
        return driver.returncode == 0

    def _watch(self, driver, mark):
        events, target = self.generator.randrange(1, 5), self.generator.choice(TARGETS)
        for line in driver.stdout:
            events -= 1
            self.since = 0 if line == "kept\n" else self.since
            if self.left and events <= 0 and self.since < PATIENCE:
                hit = kill(driver, target, mark, self.generator)
                self.kills[target] += hit
                self.left -= hit
                self.since += hit
                events, target = self.generator.randrange(1, 5), self.generator.choice(TARGETS)


def wait_for_end(mark):
    """Until no process of the run is left: what a killed driver had started ends itself."""
    ends = time.monotonic() + 120
    while left := list(processes(mark)):
        assert time.monotonic() < ends, f"{left} outlived their driver"
        time.sleep(0.01)


def table(path):
    """{(variant, metric, seed, sample): value}; fails where a row is an error."""
    frame = load(path)
    assert frame["error"].isna().all(), frame["error"].dropna().unique()
    columns = (frame[name].astype(str) for name in ("variant", "metric", "seed", "sample"))
    return Counter(zip(*columns, frame["value"], strict=True))


def rows(path):
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT count(*) FROM measurement").fetchone()[0]
    finally:
        connection.close()


@pytest.mark.parametrize(("name", "kills"), [("plain", KILLS - OF_TRAINING), ("unet", OF_TRAINING)])
def test_kills_at_random_moments_lose_and_double_nothing(folder, name, kills, capsys):
    undisturbed = folder / "undisturbed.sqlite"
    Killer(folder, name, 0, random.Random(0)).complete("undisturbed.sqlite")
    killer, rounds, lost, doubled = Killer(folder, name, kills, random.Random(SEED)), 0, 0, 0
    while killer.left:
        rounds += 1
        killer.complete(f"{rounds}.sqlite")
        found, expected = table(folder / f"{rounds}.sqlite"), table(undisturbed)
        lost += (expected - found).total()
        doubled += (found - expected).total() + rows(folder / f"{rounds}.sqlite") - rows(undisturbed)
    by_target = ", ".join(f"{killer.kills[target]} of {target}" for target in TARGETS)
    with capsys.disabled():
        print(f"\n{name}: {kills} kills ({by_target}) in {rounds} sweeps of {rows(undisturbed)} measurements, "
              f"{killer.starts} starts: {lost} lost, {doubled} doubled")  # fmt: skip
    assert (lost, doubled) == (0, 0)
    assert all(killer.kills[target] for target in TARGETS) or kills < 50
