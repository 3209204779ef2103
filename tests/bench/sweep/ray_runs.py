"""What the tests on real Ray clusters have in common: commands in processes, faults that are asked for, what is stored.

What is to fail is asked for by a file of its name in the folder `faults`: the plug-in removes the file and does it, so
that nothing depends on time.
"""

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.results.store import Store
from bench.sweep.executors.cluster import OWN

WITHOUT_RAY = "" if importlib.util.find_spec("ray") else "Ray is not installed (pip install fovbench[ray])"
needs_ray = pytest.mark.skipif(bool(WITHOUT_RAY), reason=WITHOUT_RAY)

LONGEST = 600
"""Seconds after which a command that hangs is ended, and its test fails."""

ASKED = """
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
    \"\"\"Whether this fault is asked for; true once.\"\"\"
    try:
        (FAULTS / name).unlink()
    except FileNotFoundError:
        return False
    return True


def spare_node():
    \"\"\"The raylet above this process, where the driver does not need it; None elsewhere.\"\"\"
    spare = FAULTS / "spare.json"
    pids = json.loads(spare.read_text()) if spare.exists() else []
    return next((each for each in psutil.Process().parents() if each.pid in pids), None)
"""
"""How the plug-in of a project begins."""

CLUSTER = """
import json, sys
import psutil
from ray.cluster_utils import Cluster

options = {"num_cpus": 1, "node_ip_address": "127.0.0.1", "object_store_memory": 80_000_000}
cluster = Cluster(initialize_head=True, head_node_args={**options, "include_dashboard": False})
before = {each.pid for each in psutil.Process().children(recursive=True) if "raylet" in each.name()}
for _ in range(int(sys.argv[1])):
    cluster.add_node(**options)
raylets = {each.pid for each in psutil.Process().children(recursive=True) if "raylet" in each.name()}
print(json.dumps({"address": cluster.address, "spare": sorted(raylets - before)}), flush=True)
sys.stdin.read()
cluster.shutdown()
"""


def project(folder, plugin, values):
    """A project whose plug-in fails as it is asked to, with an ablation of so many values; the folder."""
    (folder / "faults").mkdir()
    ablation = "question: q\narchitecture: plain\nbaseline: {a: 0}\nvary: {a: [VALUES]}\nmetrics: [twice]\n"
    for name, text in {
        "fovbench.toml": 'plugins = ["plug.py"]',
        "plug.py": ASKED.format(faults=str(folder / "faults")) + plugin,
        "helper.py": "def doubled(value):\n    return 2 * value\n",
        "asked.yaml": ablation.replace("VALUES", ", ".join(map(str, values))),
    }.items():
        (folder / name).write_text(text)
    return folder


def environment(folder):
    ours = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = str(Path(__file__).parents[3])
    return {**ours, "PYTHONPATH": path, "XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}


def started(folder, store, *more, program=("-m", "bench.cli"), within=(), **variables):
    """A `bench run` of the project in a process; `within` is what comes before the command, such as nsenter."""
    command = [*within, sys.executable, *program, "run", "asked.yaml", "--no-report", "--store", store, *more]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env={**environment(folder), **variables}, **pipes)


def ended(process):
    """(exit status, stdout, stderr)"""
    with process:
        try:
            output, errors = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, output, errors


def run(folder, store, *more, **how):
    return ended(started(folder, store, *more, **how))


def ask(folder, *faults):
    for fault in faults:
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
    assert stored(folder / store)


@contextlib.contextmanager
def nodes(folder, spare=2):
    """The address of a cluster on loopback, of one node and `spare` ones; it tells the plug-in which may fail."""
    command = [sys.executable, "-c", CLUSTER, str(spare)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=folder, env={**environment(folder), **OWN}, **pipes) as process:
        try:
            said = json.loads(process.stdout.readline())
            (folder / "faults" / "spare.json").write_text(json.dumps(said["spare"]))
            yield said["address"]
        finally:
            process.stdin.close()
            process.wait(LONGEST)
