"""Runs on real Ray clusters, on loopback and without dashboard; skipped where Ray is not installed.

What is to fail is asked for by a file of its name in the folder FAULTS: the plug-in removes the file and does it, so
that nothing depends on time. Without Ray, `test_cluster.py` tests the same on processes in its place.
"""

import contextlib
import importlib.util
import ipaddress
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.results.store import Store
from bench.sweep.executors.cluster import OWN

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (pip install fovbench[ray])"
)
LONGEST = 600
"""Seconds after which a command that hangs is ended, and its test fails."""

PLUGIN = '''
import json
import os
import signal
import time
from pathlib import Path
import psutil
from bench.registry import architecture, metric
import helper

FAULTS = Path({faults!r})


def asked(name):
    """Whether this fault is asked for; true once."""
    try:
        (FAULTS / name).unlink()
    except FileNotFoundError:
        return False
    return True


def above(name):
    """The process above this one whose command line has `name` in it."""
    return next(each for each in psutil.Process().parents() if name in " ".join(each.cmdline()))


def end(*processes):
    """Kill processes that this one depends on, and wait to end with them."""
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
    time.sleep(60)


def spare_node():
    """The raylet above this process, where the driver does not need it; None elsewhere."""
    spare = FAULTS / "spare.json"
    pids = json.loads(spare.read_text()) if spare.exists() else []
    return next((each for each in psutil.Process().parents() if each.pid in pids), None)


@architecture(task="none", source="nobody")
def plain(*, a: int = 0):
    if asked("other code"):
        Path(helper.__file__).write_text("def doubled(value):\\n    return 3 * value\\n")
    return a


@metric(unit="px", better="lower", kind="static")
def twice(subject):
    a = subject.build()
    if asked("addresses"):
        (FAULTS / "seen.json").write_text(json.dumps(addresses()))
    if asked(f"worker {{a}}"):
        end(above("ray::"))
    if a == 2 and asked("driver"):
        end(psutil.Process(int((FAULTS / "driver.pid").read_text())))
    node = spare_node()
    if node and asked("node"):
        end(node, *node.children())
    return helper.doubled(a)


def addresses():
    """The addresses on which processes of Ray listen."""
    listening = set()
    for process in psutil.process_iter():
        try:
            if "ray" in " ".join(process.cmdline()):
                listening |= {{each.laddr.ip for each in process.net_connections("inet") if each.status == "LISTEN"}}
        except psutil.Error:
            pass
    return sorted(listening)
'''
KILLS = int(os.environ.get("FOVBENCH_TEST_RAY_KILLS", "2"))
"""So many processes of a cluster are killed in one run; a full matrix has 20 and more."""

VALUES = range(1, max(9, KILLS + 1))
ROWS = len(VALUES) + 1
ABLATION = """
question: q
architecture: plain
baseline: {a: 0}
vary: {a: [VALUES]}
metrics: [twice]
"""
CLUSTER = """
import json, sys
import psutil
from ray.cluster_utils import Cluster

options = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80_000_000}
cluster = Cluster(initialize_head=True, head_node_args={**options, "include_dashboard": False})
before = {each.pid for each in psutil.Process().children(recursive=True) if "raylet" in each.name()}
for _ in range(2):
    cluster.add_node(**options)
raylets = {each.pid for each in psutil.Process().children(recursive=True) if "raylet" in each.name()}
print(json.dumps({"address": cluster.address, "spare": sorted(raylets - before)}), flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture
def folder(tmp_path):
    """A project whose plug-in fails as it is asked to."""
    (tmp_path / "faults").mkdir()
    for name, text in {
        "fovbench.toml": 'plugins = ["plug.py"]',
        "plug.py": PLUGIN.format(faults=str(tmp_path / "faults")),
        "helper.py": "def doubled(value):\n    return 2 * value\n",
        "asked.yaml": ABLATION.replace("VALUES", ", ".join(map(str, VALUES))),
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def environment(folder):
    ours = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = str(Path(__file__).parents[3])
    return {**ours, "PYTHONPATH": path, "XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}


def started(folder, store, *more):
    command = [sys.executable, "-m", "bench.cli", "run", "asked.yaml", "--no-report", "--store", store, *more]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment(folder), **pipes)


def ended(process):
    """(exit status, stdout, stderr)"""
    with process:
        try:
            output, errors = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, output, errors


def run(folder, store, *more):
    return ended(started(folder, store, *more))


def ask(folder, fault):
    (folder / "faults" / fault).touch()


def was_done(folder, fault):
    return not (folder / "faults" / fault).exists()


def stored(path):
    """(key, value) of each row, failures included: a measurement that was lost or doubled shows."""
    with Store(path) as store:
        rows = store.query("SELECT id FROM measurement")
        values = sorted((each.measurement.key, each.measurement.samples) for each in store.records())
    assert len(rows) == len(values)
    return values


def assert_as_undisturbed(folder, store, output):
    """The table and the rows of a store are those of a local run without faults."""
    status, undisturbed, errors = run(folder, "local.sqlite")
    assert status == 0, errors
    assert output == undisturbed
    assert stored(folder / store) == stored(folder / "local.sqlite")
    assert len(stored(folder / store)) == ROWS


def test_a_run_on_ray_equals_a_local_one_and_its_cluster_listens_on_loopback_only(folder):
    ask(folder, "addresses")
    status, output, errors = run(folder, "ray.sqlite", "--on", "ray", "--workers", "2")
    assert status == 0, errors
    addresses = json.loads((folder / "faults" / "seen.json").read_text())
    assert addresses
    assert all(ipaddress.ip_address(each.removeprefix("::ffff:")).is_loopback for each in addresses)
    assert_as_undisturbed(folder, "ray.sqlite", output)


def test_processes_of_the_cluster_that_are_killed_cost_nothing(folder):
    faults = [f"worker {value}" for value in VALUES[:KILLS]]
    for fault in faults:
        ask(folder, fault)
    status, output, errors = run(folder, "ray.sqlite", "--on", "ray", "--workers", "1")
    assert status == 0, errors
    assert all(was_done(folder, fault) for fault in faults)
    assert errors.count("it is measured again") == KILLS
    assert_as_undisturbed(folder, "ray.sqlite", output)


def test_a_driver_that_is_killed_goes_on_with_the_same_command(folder):
    ask(folder, "driver")
    driver = started(folder, "ray.sqlite", "--on", "ray", "--workers", "1")
    (folder / "faults" / "driver.pid").write_text(str(driver.pid))
    assert ended(driver)[0] == -signal.SIGKILL
    assert was_done(folder, "driver")
    assert 0 < len(stored(folder / "ray.sqlite")) < ROWS
    status, output, errors = run(folder, "ray.sqlite", "--on", "ray", "--workers", "1")
    assert status == 0, errors
    assert_as_undisturbed(folder, "ray.sqlite", output)


def test_a_plugin_that_is_another_one_on_the_node_is_refused_by_its_digest(folder):
    ask(folder, "other code")
    status, _, errors = run(folder, "ray.sqlite", "--on", "ray", "--workers", "1")
    assert status == 2
    assert was_done(folder, "other code")
    assert "helper.py on the node" in errors
    assert "is not the file that the keys name" in errors
    assert stored(folder / "ray.sqlite") == []


@contextlib.contextmanager
def three_nodes(folder):
    """The address of a cluster of three nodes on loopback; it tells the plug-in which of them may fail."""
    command = [sys.executable, "-c", CLUSTER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, env={**environment(folder), **OWN}, **pipes) as process:
        try:
            said = json.loads(process.stdout.readline())
            (folder / "faults" / "spare.json").write_text(json.dumps(said["spare"]))
            yield said["address"]
        finally:
            process.stdin.close()
            process.wait(LONGEST)


def test_of_three_nodes_one_is_killed_and_the_run_completes(folder):
    ask(folder, "node")
    with three_nodes(folder) as address:
        status, output, errors = run(folder, "ray.sqlite", "--on", address, "--workers", "3")
    assert status == 0, errors
    assert was_done(folder, "node")
    assert "it is measured again" in errors
    assert_as_undisturbed(folder, "ray.sqlite", output)
