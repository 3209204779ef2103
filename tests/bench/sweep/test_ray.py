"""Runs on real Ray clusters, on loopback and without dashboard; skipped where Ray is not installed.

Without Ray, `test_cluster.py` tests the same on processes in its place. `test_ray_faults.py` has what is wrong with
machines and networks.
"""

import ipaddress
import json
import os
import signal

import pytest

from tests.bench.sweep.ray_runs import (
    ask,
    assert_as_undisturbed,
    ended,
    needs_ray,
    nodes,
    project,
    run,
    started,
    stored,
    was_done,
)

pytestmark = needs_ray
PLUGIN = '''
def above(name):
    """The process above this one whose command line has `name` in it."""
    return next(each for each in psutil.Process().parents() if name in " ".join(each.cmdline()))


def end(*processes):
    """Kill processes that this one depends on, and wait to end with them."""
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
    time.sleep(60)


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
    if asked(f"worker {a}"):
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
                listening |= {each.laddr.ip for each in process.net_connections("inet") if each.status == "LISTEN"}
        except psutil.Error:
            pass
    return sorted(listening)
'''
KILLS = int(os.environ.get("FOVBENCH_TEST_RAY_KILLS", "2"))
"""So many processes of a cluster are killed in one run; a full matrix has 20 and more."""

VALUES = range(1, max(9, KILLS + 1))
ROWS = len(VALUES) + 1


@pytest.fixture
def folder(tmp_path):
    return project(tmp_path, PLUGIN, VALUES)


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


def test_of_three_nodes_one_is_killed_and_the_run_completes(folder):
    ask(folder, "node")
    with nodes(folder) as address:
        status, output, errors = run(folder, "ray.sqlite", "--on", address, "--workers", "3")
    assert status == 0, errors
    assert was_done(folder, "node")
    assert "it is measured again" in errors
    assert_as_undisturbed(folder, "ray.sqlite", output)
