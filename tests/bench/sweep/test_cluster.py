"""Runs on a cluster: what is sent, what a node refuses, and that nothing is lost or doubled where nodes are."""

import contextlib
import errno
import os
import pickle
import sys
import threading
import types
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bench.results.keyed import keyed
from bench.results.measurement import Measurement
from bench.results.store import Store
from bench.spec.ablation import load as load_ablation
from bench.sweep.executors import Exit, WorkerError, cluster
from bench.sweep.executors.cluster import Patience, RayExecutor
from bench.sweep.executors.node import Beat, Order, Refused
from bench.sweep.executors.shipping import moved, other_code, relocated, resolved, shipment
from bench.sweep.plan import places_of, plan
from bench.sweep.running import Job, run_all
from bench.sweep.together import series
from bench.sweep.watched import watched
from bench.sweep.worker import Evaluated, MeasureJob, TrainJob
from tests.bench.sweep.fake_ray import FakeRay

PLUGIN = """
import os
import time
from pathlib import Path
from bench.registry import architecture, metric
from helper import doubled

@architecture(task="none", source="nobody")
def plain(*, a: int = 0):
    return a

@metric(unit="px", better="lower", kind="static")
def twice(subject):
    kills = Path({kills!r})
    if subject.build() == 2 and kills.exists():
        kills.unlink()
        os.kill(int(Path({kills!r} + ".node").read_text()), 9)
        time.sleep(60)
    if Path({kills!r} + ".full").exists() and os.environ["TEST_NODE"] == "node0":
        Path("/dev/full").write_text("x")
    return doubled(subject.build())
"""
ABLATION = """
question: q
architecture: plain
baseline: {a: 0}
vary: {a: [1, 2, 3]}
metrics: [twice]
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a plug-in, a module that it imports, and much that nobody may see."""
    folder = tmp_path / "project"
    for name, text in {
        "fovbench.toml": 'plugins = ["plug.py"]',
        "plug.py": PLUGIN.format(kills=str(tmp_path / "kill")),
        "helper.py": "def doubled(value):\n    return 2 * value\n",
        "unused.py": "",
        "asked.yaml": ABLATION,
        "other.yaml": ABLATION,
        ".env": "TOKEN=1",
        "id_rsa": "key",
        "key.pem": "key",
        ".git/config": "url",
        "results/store.sqlite": "x",
        "data/image.png": "x",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "results/store.sqlite").unlink()
    monkeypatch.chdir(folder)
    return folder


def planned(project, store):
    return plan(load_ablation("asked.yaml", (), (str(project / "plug.py"),)), store)


@pytest.fixture
def plan_of_project(project, tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        yield planned(project, store)


def test_only_code_that_keys_name_is_sent(plan_of_project, project, tmp_path):
    sent = shipment([plan_of_project])
    folder = sent.write(tmp_path / "sent")
    own = sorted(str(path.relative_to(folder)) for path in (folder / "project").rglob("*") if path.is_file())
    assert own == ["project/asked.yaml", "project/helper.py", "project/plug.py"]
    assert (folder / "bench" / "sweep" / "executors" / "node.py").is_file()
    assert (folder / "architectures" / "fcn.py").is_file()
    names = {path.name for path in folder.rglob("*")}
    assert not names & {".env", "id_rsa", "key.pem", ".git", "results", "store.sqlite", "__pycache__", "data"} - {
        "results", "data",
    }  # fmt: skip
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} <= {
        ".py", ".yaml", ".css", ".j2", ".js", ".txt", ".typed",
    }  # fmt: skip
    assert not (folder / "results").exists()
    assert not (folder / "data").exists()


def test_a_link_to_a_secret_is_not_sent(plan_of_project, project, tmp_path):
    (project / "secret.py").symlink_to(project / ".env")
    linked = replace(plan_of_project.ablation, plugins=(*plan_of_project.ablation.plugins, str(project / "secret.py")))
    sent = shipment([replace(plan_of_project, ablation=linked, planned=())])
    names = {Path(source).name for source, _ in sent.files if "architectures" not in source and "bench" not in source}
    assert names == {"asked.yaml", "plug.py"}


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("/home/u/p/plug.py", "/node/project/plug.py"),
        ("/home/u/p", "/node/project"),
        ("/home/u/p/deep/plug.py", "/node/others/0/plug.py"),
        ("/home/u/pp/plug.py", "/home/u/pp/plug.py"),
        ("/data/camvid", "/data/camvid"),
    ],
)
def test_a_path_is_moved_with_the_innermost_folder_that_was_sent(path, there):
    assert moved(path, (("/home/u/p", "/node/project"), ("/home/u/p/deep", "/node/others/0"))) == there


def job_of(plan):
    job = MeasureJob(tuple(plan.due), plan.ablation.plugins)
    return watched(job, keyed(plan.due, plan.ablation.plugins), places_of(plan.ablation, plan.data))


def orders(plan, tmp_path):
    sent = shipment([plan])
    return (
        sent,
        sent.write(tmp_path / "sent"),
        Order(resolved(job_of(plan)), sent.roots, sent.current, (), 60.0, "cpu", "shared"),
    )


def test_a_node_with_another_plugin_is_found_by_its_digest(plan_of_project, tmp_path):
    sent, folder, order = orders(plan_of_project, tmp_path)
    roots = [(source, str(folder / place)) for source, place in sent.roots]
    there = relocated(order.watched, roots)
    assert other_code(there) == ""
    (folder / "project" / "helper.py").write_text("def doubled(value):\n    return 3 * value\n")
    assert other_code(there) == str(folder / "project" / "helper.py")


def on_node(folder, order):
    """What the code that was sent gives for an order, in a process of its own."""
    fake = FakeRay(folder)
    stream = fake.remote()(perform_).options(scheduling_strategy="node0").remote(pickle.dumps(order), None, 60.0)
    items = []
    while fake.wait([stream], 120)[0]:
        try:
            items.append(pickle.loads(fake.get(next(stream), 1)))
        except StopIteration:
            return [item for item in items if not isinstance(item, Beat)]
    raise AssertionError("the node says nothing")


def perform_(*_):
    """Stands for `bench.sweep.executors.node.perform`, which the process of the node calls."""


def test_a_node_runs_what_was_sent_and_refuses_other_code_libraries_and_machines(plan_of_project, tmp_path):
    _, folder, order = orders(plan_of_project, tmp_path)
    *measured, end = on_node(folder, order)
    assert end == Exit()
    assert [item.samples for item in measured] == [(0.0,), (2.0,), (4.0,), (6.0,)]
    assert {item.key for item in measured} == {request.key for request in plan_of_project.due}

    def refused(parts):
        requests = tuple(replace(r, shared={**r.shared, **parts}) for r in order.watched.job.requests)
        other = replace(order.watched, job=replace(order.watched.job, requests=requests))
        (reply,) = on_node(folder, replace(order, watched=other))
        assert isinstance(reply, Refused)
        return reply

    assert (
        "has no_such_library not installed, the driver 1.0" in refused({"libraries": {"no_such_library": "1.0"}}).reason
    )
    machine = refused({"machine": {"device": "another processor"}})
    assert machine.device
    assert "not another processor" in machine.reason
    (folder / "project" / "plug.py").write_text("")
    (reply,) = on_node(folder, order)
    assert "plug.py on the node" in reply.reason
    assert not reply.device


TRAININGS = """
question: q
architecture: unet
baseline: {width: 0.125, depth: 1}
metrics: [miou]
workload: {dataset: {name: boundaries, train_count: 4, val_count: 4}, shape: [3, 32, 32]}
train: {steps: 1, batch: 2, mode: fp32}
seeds: 2
"""


def test_a_node_performs_training_runs_in_a_row_without_the_plug_in_of_their_ablation(project, tmp_path):
    (project / "trainings.yaml").write_text(TRAININGS)
    ablation = load_ablation("trainings.yaml", (), (str(project / "plug.py"),))
    with Store(tmp_path / "s.sqlite") as store:
        planned = plan(ablation, store)
    _, folder, order = orders(planned, tmp_path)
    jobs = [TrainJob((each,), ablation.recipe_of(each.variant), None, ablation.plugins) for each in planned.due]
    together = watched(series(jobs), keyed(planned.due, ablation.plugins), places_of(ablation, None))
    (project / "plug.py").unlink()
    *emitted, end = on_node(folder, replace(order, watched=resolved(together)))
    assert end == Exit()
    assert [item.training_run for item in emitted if isinstance(item, Evaluated)] == [
        r.training_run for r in planned.due
    ]
    assert [item.key for item in emitted if isinstance(item, Measurement)] == [r.key for r in planned.due]
    assert not [item.error for item in emitted if isinstance(item, Measurement) if item.error]


IMPATIENT = Patience(1.0, 60.0, 0.0, 0.0)
"""The fake says at once that a node is silent, so that no test waits for it."""


@pytest.fixture
def on_cluster(monkeypatch):
    """Runs the project's ablation on a cluster of processes; gives the fake, and the rows of the store."""

    def run(project, path, nodes=1, hung=(), prepare=lambda fake: None, patience=IMPATIENT):
        made = []

        def connected(address, folder, code, workers, threads):
            fake = FakeRay(code, nodes)
            fake.hung |= set(hung)
            prepare(fake)
            made.append(fake)
            return fake

        monkeypatch.setattr(cluster, "_connected", connected)
        monkeypatch.setattr(cluster, "_on", lambda node: node["NodeID"])
        monkeypatch.setattr("bench.sweep.running.RayExecutor", partial(RayExecutor, patience=patience))
        with Store(path) as store:
            ablation = load_ablation("asked.yaml", (), (str(project / "plug.py"),))
            run_all(Job([ablation], store, None, on="ray", verbosity=-1), lambda plan: None, lambda plan: None)
            return made[0], sorted((r.measurement.variant.name, r.measurement.value) for r in store.records())

    return run


EXPECTED = [("plain(a=0)", 0.0), ("plain(a=1)", 2.0), ("plain(a=2)", 4.0), ("plain(a=3)", 6.0)]


def test_a_run_on_a_cluster_gives_what_a_local_run_gives(on_cluster, project, tmp_path):
    assert on_cluster(project, tmp_path / "s.sqlite")[1] == EXPECTED
    with Store(tmp_path / "local.sqlite") as local:
        ablation = load_ablation("asked.yaml", (), (str(project / "plug.py"),))
        run_all(Job([ablation], local, None, verbosity=-1), lambda plan: None, lambda plan: None)
        expected = values_of(local)
    with Store(tmp_path / "s.sqlite") as store:
        assert values_of(store) == expected


def values_of(store):
    return sorted((record.measurement.key, record.measurement.samples) for record in store.records())


def test_a_silent_node_is_left_alone_and_its_job_runs_on_another(on_cluster, project, tmp_path):
    fake, rows = on_cluster(project, tmp_path / "s.sqlite", nodes=2, hung={"node0"})
    assert rows == EXPECTED
    assert fake.started[0] == "node0"
    assert fake.started.count("node0") == 1


def test_where_every_node_is_silent_the_run_ends_and_says_so(on_cluster, project, tmp_path):
    with pytest.raises(WorkerError, match=r"no node of the cluster has CPU 1; the node node0 .* was silent for 60 s"):
        on_cluster(project, tmp_path / "s.sqlite", hung={"node0"})


def test_a_node_that_dies_in_the_middle_loses_and_doubles_nothing(on_cluster, project, tmp_path):
    """The process of the node ends before the third measurement; what it had sent is stored, the rest comes again."""
    (tmp_path / "kill").touch()

    def watch(fake):
        fake.notes = tmp_path / "kill.node"

    path = tmp_path / "s.sqlite"
    fake, rows = on_cluster(project, path, prepare=watch)
    assert rows == EXPECTED
    assert fake.started == ["node0"] * 3, "the check of the networks, the job, and what was left of it"
    assert not (tmp_path / "kill").exists()
    with Store(path) as store:
        assert len(store.query("SELECT id FROM measurement")) == 4


def test_a_node_whose_disk_is_full_gets_few_jobs_and_nothing_of_it_is_stored(on_cluster, project, tmp_path):
    """Every job that writes fails on it, so that it would have room for the next one at once."""
    (tmp_path / "kill.full").touch()
    path = tmp_path / "s.sqlite"
    fake, rows = on_cluster(project, path, nodes=2)
    assert rows == EXPECTED
    assert fake.started.count("node0") == 2, "half of the check of the networks, and one job, which others had again"
    with Store(path) as store:
        assert len(store.query("SELECT id FROM measurement")) == 4


def test_where_no_disk_has_space_the_run_ends_and_the_same_command_goes_on(on_cluster, project, tmp_path):
    (tmp_path / "kill.full").touch()
    with pytest.raises(WorkerError, match=r"10 times in a row, last that of plain\(a=0\).*a disk is full or faulty"):
        on_cluster(project, tmp_path / "s.sqlite")
    with Store(tmp_path / "s.sqlite") as store:
        assert store.records() == []
    (tmp_path / "kill.full").unlink()
    assert on_cluster(project, tmp_path / "s.sqlite")[1] == EXPECTED


def test_a_driver_that_cannot_write_what_it_sends_says_so(project, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/fv1/code")

    monkeypatch.setattr("bench.sweep.executors.shipping.shutil.copyfile", full)
    monkeypatch.setattr(cluster, "_short_folder", lambda: str(tmp_path))
    with Store(tmp_path / "s.sqlite") as store:
        sent = shipment([planned(project, store)])
    with pytest.raises(
        WorkerError, match=r"No space left on device: '/tmp/fv1/code'\); free space there, or set TMPDIR"
    ):
        RayExecutor("ray", 1, sent)
    assert not list(tmp_path.glob("fv*"))


def test_a_head_that_says_nothing_ends_the_run_and_says_so(on_cluster, project, tmp_path, monkeypatch):
    """Ray would wait for it, and again when the process ends."""
    ends = []
    monkeypatch.setattr(cluster, "end_at_once", lambda: ends.append("at once"))

    def silent(fake):
        known, calls = fake.nodes, []

        def nodes():
            calls.append(1)
            return known() if len(calls) < 2 else threading.Event().wait()

        fake.nodes = nodes
        fake.shutdown = lambda: ends.append("left")

    with pytest.raises(WorkerError, match="the head of the cluster does not answer"):
        on_cluster(project, tmp_path / "s.sqlite", prepare=silent, patience=Patience(1.0, 0.1, 0.1, 0.1))
    assert ends == ["at once"]


def test_other_code_on_a_node_is_refused_and_nothing_is_stored(on_cluster, project, tmp_path):
    def other(fake):
        (fake.code / "project" / "helper.py").write_text("def doubled(value):\n    return 3 * value\n")

    with pytest.raises(WorkerError, match=r"helper\.py on the node .* is not the file that the keys name"):
        on_cluster(project, tmp_path / "s.sqlite", prepare=other)
    with Store(tmp_path / "s.sqlite") as store:
        assert store.records() == []


def test_weights_are_not_kept_on_a_cluster(project, tmp_path):
    ablation = load_ablation("asked.yaml", (), (str(project / "plug.py"),))
    with Store(tmp_path / "s.sqlite") as store:
        job = Job([ablation], store, None, on="ray", keep_weights=True)
        with pytest.raises(WorkerError, match="leave out --on"):
            run_all(job, lambda plan: None, lambda plan: None)


def without_ray(monkeypatch):
    """No variable of Ray's is set, and those that are set meanwhile are gone after the test."""
    for name in (*cluster.OWN, "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_a_cluster_that_a_run_starts_is_asked_for_loopback_no_dashboard_and_a_token(tmp_path, monkeypatch):
    """What Ray is asked for, seen by a module in its place."""
    asked = {}
    fake = types.ModuleType("ray")
    fake.init = lambda **options: asked.update(options)
    monkeypatch.setitem(sys.modules, "ray", fake)
    without_ray(monkeypatch)
    cluster._connected("ray", str(tmp_path), tmp_path / "code", 2, 1)
    assert (asked["address"], asked["_node_ip_address"], asked["include_dashboard"]) == ("local", "127.0.0.1", False)
    assert os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    assert (asked["num_cpus"], asked["resources"]) == (2, {"fovbench_timing": 1})


def test_what_ray_prints_while_it_runs_goes_to_stderr(capsys):
    """Ray writes into the driver's standard output from a thread of its own, whose lines would spoil a table."""
    go, threads = threading.Event(), []

    def of_ray():
        go.wait(60)
        print("(raylet) A worker died", flush=True)

    threads.append(threading.Thread(target=of_ray))
    with contextlib.redirect_stdout(cluster._Sorted(sys.stdout, set(threads))):
        threads[0].start()
        go.set()
        threads[0].join()
        print("| variant |")
    assert capsys.readouterr() == ("| variant |\n", "(raylet) A worker died\n")


def test_a_node_that_was_lost_is_used_again_where_it_answers(on_cluster, project, tmp_path):
    """The only node is silent for one job, and answers when it is asked once more before the run would end."""

    def wakes_up(fake):
        asked = []

        def answer(node):
            asked.append(node)
            if len(asked) == 2:
                fake.hung.clear()
            return len(asked) > 1

        fake.answers = answer

    fake, rows = on_cluster(project, tmp_path / "s.sqlite", hung={"node0"}, prepare=wakes_up)
    assert rows == EXPECTED
    assert fake.started.count("node0") == 3, "the job that was lost, the check of the networks, and the measurements"


@pytest.mark.parametrize(("usual", "short"), [("/tmp", "/tmp"), ("/scratch/" + "x" * 60, "/tmp")])
def test_files_of_ray_are_where_the_paths_of_sockets_are_short(monkeypatch, usual, short):
    monkeypatch.setattr(cluster.tempfile, "gettempdir", lambda: usual)
    assert cluster._short_folder() == short


def test_a_cluster_that_does_not_start_in_time_is_started_again(tmp_path, monkeypatch):
    fake, tries = types.ModuleType("ray"), []

    def init(**options):
        tries.append(options["address"])
        if len(tries) < 3:
            raise RuntimeError("The current node timed out during startup.")

    fake.init, fake.shutdown = init, lambda: None
    monkeypatch.setitem(sys.modules, "ray", fake)
    without_ray(monkeypatch)
    assert cluster._connected("ray", str(tmp_path), tmp_path / "code", 2, 1) is fake
    assert tries == ["local"] * 3
    fake.init = lambda **_: 1 / 0
    with pytest.raises(WorkerError, match=r"no cluster can be started \(ZeroDivisionError: division by zero\)"):
        cluster._connected("ray", str(tmp_path), tmp_path / "code", 2, 1)


def test_without_ray_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(WorkerError, match=r"pip install fovbench\[ray\]"):
        cluster._connected("host:6379", str(tmp_path), tmp_path / "code", None, 1)
