"""Faults of machines and networks on real Ray clusters; skipped where Ray is not installed.

Machines are namespaces of Linux with a cable between them, which is pulled out and put in again. Nothing waits for a
time to pass: the plug-in asks for a fault by a file, and waits until it is there.
"""

import contextlib
import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest

from bench.results.store import Store
from bench.sweep.executors.cluster import OWN
from tests.bench.sweep import machines
from tests.bench.sweep.clocks import wrong_clock
from tests.bench.sweep.machines import FIRST, Machine, ray_started, short_folder
from tests.bench.sweep.ray_runs import (
    ask,
    assert_as_undisturbed,
    ended,
    environment,
    needs_ray,
    nodes,
    project,
    run,
    started,
    stored,
    was_done,
)

pytestmark = needs_ray
VALUES = range(1, 7)
PLUGIN = '''
import tempfile


def wait_for(condition):
    """Until a condition holds, which another process brings about."""
    while not condition():
        time.sleep(0.02)


def once(name, value):
    """Note that a fault hit the measurement of this value."""
    (FAULTS / f"{name}.value").write_text(str(value))


def is_again(name, value):
    """Whether this is the measurement that a fault hit, on its second node."""
    noted = FAULTS / f"{name}.value"
    return noted.exists() and noted.read_text() == str(value)


def happens(name):
    """Ask the test to do something, and wait until it has."""
    (FAULTS / f"do {name}").touch()
    wait_for(lambda: (FAULTS / f"did {name}").exists())


def stop(*pids):
    """Stop these processes, and note which they are."""
    (FAULTS / "stopped.json").write_text(json.dumps(pids))
    for each in pids:
        os.kill(each, signal.SIGSTOP)


def of_node(node):
    """All processes of this node, this one as the last."""
    return *(each.pid for each in [node, *node.children(recursive=True)] if each.pid != os.getpid()), os.getpid()


def head():
    """The head of the cluster that this process belongs to."""
    raylet = next(each for each in psutil.Process().parents() if "raylet" in each.name())
    return next(each.pid for each in raylet.parent().children() if "gcs_server" in each.name())


def go_on():
    """Let the stopped node go on; what of it has ended meanwhile is let alone."""
    for each in json.loads((FAULTS / "stopped.json").read_text()):
        try:
            os.kill(each, signal.SIGCONT)
        except ProcessLookupError:
            pass


@architecture(task="none", source="nobody")
def plain(*, a: int = 0):
    if asked("silent head"):
        stop(head())
    return a


@metric(unit="px", better="lower", kind="static")
def twice(subject):
    a = subject.build()
    machine = os.environ.get("TEST_MACHINE", "")
    if machine and asked("partition"):
        once("partition", a)
        happens("pull out")
    elif machine != "other" and is_again("partition", a) and asked("heal"):
        happens("put in")
    node = spare_node()
    if node and asked("hang"):
        once("hang", a)
        stop(*of_node(node))
    elif not node and is_again("hang", a):
        go_on()
    if asked("two drivers"):
        wait_for(lambda: all((FAULTS / f"connected {number}").exists() for number in (1, 2, 3)))
    if asked("note clock"):
        (FAULTS / "clock").write_text(str(time.time()))
    if (FAULTS / "use disk").exists():
        with tempfile.TemporaryFile() as file:
            file.write(bytes(2**20))
    return helper.doubled(a)
'''
IMPATIENT = """
import os, runpy, sys
from pathlib import Path
from bench.sweep import running
from bench.sweep.executors.cluster import Patience, RayExecutor


def impatient(*given):
    executor = RayExecutor(*given, patience=Patience(beat=0.5, silence=SILENCE, answer=3.0, start=60.0))
    if "TEST_CONNECTED" in os.environ:
        Path(os.environ["TEST_CONNECTED"]).touch()
    return executor


running.RayExecutor = impatient
runpy.run_module("bench.cli", run_name="__main__", alter_sys=True)
"""
"""The command `bench` with a driver that waits for a silent node for seconds only."""


def impatient(silence=4.0):
    return ("-c", IMPATIENT.replace("SILENCE", str(silence)))


@pytest.fixture
def folder(tmp_path):
    return project(tmp_path, PLUGIN, VALUES)


@pytest.fixture
def two_machines():
    """The machine of driver and head, and another one."""
    if reason := machines.why_not():
        pytest.skip(reason)
    with contextlib.ExitStack() as stack:
        first = Machine(stack)
        yield first, first.cabled(stack)


OPTIONS = ("--object-store-memory=80000000",)
SETTINGS = {name: value for name, value in OWN.items() if not name.startswith("RAY_ENABLE")}
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}


@contextlib.contextmanager
def cluster_of(folder, first, other, cpus=1, on_first=None, on_other=None, size=""):
    """A cluster of the two machines; the first has so many CPUs, and `size` is that of the other's temporary folder."""
    variables = {**environment(folder), **SETTINGS, **TOKEN}
    log = folder / "ray.log"
    with short_folder() as files, short_folder() as temporary:
        variables["TMPDIR"] = str(temporary)
        for machine in (first, other):
            machine.mount_memory(files)
        if size:
            other.mount_memory(temporary, size)
        head = ("--head", "--port=6379", "--include-dashboard=false", f"--temp-dir={files}", f"--num-cpus={cpus}")
        with ray_started(first, log, *head, *OPTIONS, **variables, **(on_first or {})):
            wait_for_line(log, "This command will now block", 1)
            more = {**variables, "TEST_MACHINE": "other", **(on_other or {})}
            with ray_started(other, log, f"--address={FIRST}:6379", "--num-cpus=1", *OPTIONS, **more):
                wait_for_line(log, "This command will now block", 2)
                yield f"{FIRST}:6379", temporary


def wait_for_line(log, text, times):
    ends = time.monotonic() + 50
    while log.read_text().count(text) < times:
        assert time.monotonic() < ends, log.read_text()
        time.sleep(0.05)


def served(folder, driver, **actions):
    """What a driver gives, while what the plug-in asks for is done: name with underscores -> what does it."""
    ends = time.monotonic() + 150
    while driver.poll() is None and time.monotonic() < ends:
        for name, action in actions.items():
            name = name.replace("_", " ")
            if (folder / "faults" / f"do {name}").exists():
                (folder / "faults" / f"do {name}").unlink()
                action()
                (folder / "faults" / f"did {name}").touch()
        time.sleep(0.02)
    return ended(driver)


def test_a_partition_that_heals_loses_and_doubles_nothing(folder, two_machines):
    """The node's result comes late, when the same measurement runs on the other machine already."""
    first, other = two_machines
    ask(folder, "partition", "heal")
    with cluster_of(folder, first, other) as (address, _):
        driver = started(
            folder, "ray.sqlite", "--on", address, "--workers", "2", program=impatient(), within=first.within, **TOKEN
        )
        status, output, errors = served(folder, driver, pull_out=other.pull_out, put_in=other.put_in)
    assert status == 0, errors
    assert was_done(folder, "partition")
    assert was_done(folder, "heal")
    assert "was silent for" in errors
    assert_as_undisturbed(folder, "ray.sqlite", output)


def test_a_node_that_ray_gives_up_during_a_partition_costs_nothing(folder, two_machines):
    """Ray counts the node as dead before our deadline; it comes back when the run goes on without it."""
    first, other = two_machines
    ask(folder, "partition", "heal")
    quick = {f"RAY_health_check_{name}": value for name, value in HEALTH.items()}
    with cluster_of(folder, first, other, on_first=quick) as (address, _):
        driver = started(
            folder,
            "ray.sqlite",
            "--on",
            address,
            "--workers",
            "2",
            program=impatient(60.0),
            within=first.within,
            **TOKEN,
        )
        status, output, errors = served(folder, driver, pull_out=other.pull_out, put_in=other.put_in)
    assert status == 0, errors
    assert was_done(folder, "heal")
    assert "it is measured again" in errors
    assert_as_undisturbed(folder, "ray.sqlite", output)


HEALTH = {"initial_delay_ms": "500", "period_ms": "500", "timeout_ms": "500", "failure_threshold": "3"}


def test_a_driver_that_reaches_no_node_ends_and_says_so_and_the_same_command_goes_on(folder, two_machines):
    first, other = two_machines
    ask(folder, "partition")
    command = (folder, "ray.sqlite", "--workers", "1")
    with cluster_of(folder, first, other, cpus=0) as (address, _):
        how = {"program": impatient(), "within": first.within, **TOKEN}
        driver = started(*command, "--on", address, **how)
        status, _, errors = served(folder, driver, pull_out=other.pull_out)
        assert status == 2, errors
        assert "no node of the cluster has CPU 1" in errors
        assert "was silent for" in errors
        other.put_in()
        status, output, errors = run(*command, "--on", address, **how)
    assert status == 0, errors
    assert_as_undisturbed(folder, "ray.sqlite", output)


def test_a_driver_that_loses_the_head_ends_and_says_so_and_the_same_command_goes_on(folder):
    """The head says nothing any more, as behind a cable that is pulled out, while networks are compared."""
    ask(folder, "silent head")
    with nodes(folder, 1) as address:
        command = (folder, "ray.sqlite", "--on", address, "--workers", "1")
        try:
            status, _, errors = ended(started(*command, program=impatient()))
        finally:
            let_go_on(folder)
        assert status == 2, errors
        assert was_done(folder, "silent head")
        assert "the head of the cluster does not answer" in errors
        assert stored(folder / "ray.sqlite") == []
        status, output, errors = run(*command)
    assert status == 0, errors
    assert_as_undisturbed(folder, "ray.sqlite", output)


def test_a_node_that_hangs_and_goes_on_later_loses_and_doubles_nothing(folder):
    """All of its processes are stopped; they go on while what they were to measure runs on another node."""
    ask(folder, "hang")
    try:
        with nodes(folder, 1) as address:
            status, output, errors = run(folder, "ray.sqlite", "--on", address, "--workers", "2", program=impatient())
    finally:
        let_go_on(folder)
    assert status == 0, errors
    assert was_done(folder, "hang")
    assert "was silent for" in errors
    assert_as_undisturbed(folder, "ray.sqlite", output)


def let_go_on(folder):
    """Let what was stopped go on, where the run did not."""
    stopped = folder / "faults" / "stopped.json"
    for pid in json.loads(stopped.read_text()) if stopped.exists() else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_drivers_on_one_cluster_at_once_measure_all_once(folder):
    """Two of them share a store, and a third has its own; each has connected before the first measures."""
    ask(folder, "two drivers")
    with nodes(folder, 1) as address:
        drivers = [
            started(folder, store, "--on", address, "--workers", "2", program=impatient(30.0),
                    TEST_CONNECTED=str(folder / "faults" / f"connected {number}"))
            for number, store in ((1, "ray.sqlite"), (2, "ray.sqlite"), (3, "third.sqlite"))
        ]  # fmt: skip
        ends = [ended(driver) for driver in drivers]
    assert [status for status, _, _ in ends] == [0, 0, 0], ends
    assert was_done(folder, "two drivers")
    for store, output in (("ray.sqlite", ends[0][1]), ("third.sqlite", ends[2][1])):
        assert_as_undisturbed(folder, store, output)
    assert ends[1][1] == ends[0][1]


def test_a_node_whose_disk_is_full_has_no_jobs_and_nothing_of_it_is_stored_as_failed(folder, two_machines):
    first, other = two_machines
    ask(folder, "use disk")
    with cluster_of(folder, first, other, size="500k") as (address, _):
        status, output, errors = run(
            folder, "ray.sqlite", "--on", address, "--workers", "2", within=first.within, **TOKEN
        )
    assert status == 0, errors
    assert "a disk is full or faulty (OSError: [Errno 28] No space left on device" in errors
    assert_as_undisturbed(folder, "ray.sqlite", output)


def test_where_all_disks_are_full_the_run_ends_and_says_so_and_goes_on_when_there_is_space(folder, two_machines):
    first, other = two_machines
    ask(folder, "use disk")
    with cluster_of(folder, first, other, cpus=0, size="500k") as (address, temporary):
        command = (folder, "ray.sqlite", "--on", address, "--workers", "1")
        status, _, errors = run(*command, within=first.within, **TOKEN)
        assert status == 2, errors
        assert "a disk is full or faulty" in errors
        assert "free space there" in errors
        assert stored(folder / "ray.sqlite") == []
        other.run("mount", "-o", "remount,size=10m", str(temporary))
        status, output, errors = run(*command, within=first.within, **TOKEN)
    assert status == 0, errors
    assert_as_undisturbed(folder, "ray.sqlite", output)


@pytest.mark.parametrize("hours", [3, -3])
def test_a_node_with_another_clock_changes_nothing(folder, two_machines, hours):
    """Every process of one node, Ray's own too, has a clock that is wrong by hours."""
    first, other = two_machines
    ask(folder, "note clock")
    wrong = wrong_clock(folder, 3600 * hours)
    with cluster_of(folder, first, other, cpus=0, on_other=wrong) as (address, _):
        status, output, errors = run(
            folder, "ray.sqlite", "--on", address, "--workers", "1", within=first.within, **TOKEN
        )
    assert status == 0, errors
    assert_as_undisturbed(folder, "ray.sqlite", output)
    noted = float((folder / "faults" / "clock").read_text())
    assert round((noted - time.time()) / 3600) == hours, "the clock of the node is another one"
    now = datetime.now(UTC)
    with Store(folder / "ray.sqlite") as store:
        dates = [datetime.fromisoformat(record.created) for record in store.records()]
    assert all(abs(now - date) < timedelta(hours=1) for date in dates), "dates are the driver's"
