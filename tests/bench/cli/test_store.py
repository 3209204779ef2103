"""The commands `store check` and `store merge`, and how other commands meet damaged, foreign and strange files."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli import main
from bench.results.bundle import read, write
from bench.results.measurement import Evaluation
from bench.results.spill import Spilled, files_of
from bench.results.spill import write as spill
from bench.results.store import Store, row_of
from tests.bench.bundled import ablation_in, bundle_of, fill
from tests.bench.results.test_store import ONE, keep

ROOT = Path(__file__).parents[3]


@pytest.fixture
def bench(tmp_path, monkeypatch, capsys):
    """Runs a command in this process; gives exit status, standard output and error."""
    monkeypatch.chdir(tmp_path)
    for name in ("FOVBENCH_DATA", "FOVBENCH_STORE", "FOVBENCH_DEBUG"):
        monkeypatch.delenv(name, raising=False)

    def bench(*arguments):
        capsys.readouterr()
        status = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = int(end.code or 0)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return status, out, err

    return bench


def change(path, statement):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def test_check_says_what_is_damaged_and_its_exit_status(bench, tmp_path):
    path = tmp_path / "s.sqlite"
    status, out, err = bench("store", "check", path)
    assert (status, out) == (2, "")
    assert "there is no results store" in err
    with Store(path) as store:
        keep(store, ONE)
    assert bench("store", "check", path)[:2] == (0, f"{path}: no damage\n")
    change(path, "UPDATE measurement SET samples = '[9.0]'")
    status, out, _ = bench("store", "check", "--store", path)
    assert status == 1
    assert "fault: measurement 1: net(a=1) miou seed 0, key k1: damaged; the next bench run measures it again" in out
    assert f"{path}: 1 fault" in out
    status, out, err = bench("store", "check", path, "--json")
    assert [json.loads(line)["level"] for line in out.splitlines()] == ["fault"]
    assert (status, ": 1 fault" in err) == (1, True)
    (tmp_path / "text").write_text("no database")
    assert bench("store", "check", tmp_path / "text")[0] == 2


def test_merge_adds_what_is_missing_and_takes_in_spilled_results(bench, tmp_path):
    for name, key in (("a", "k1"), ("b", "k2")):
        with Store(tmp_path / f"{name}.sqlite") as store:
            keep(store, replace(ONE, key=key))
            store.add_evaluation(key, Evaluation("segmentation", {}))
    target = tmp_path / "a.sqlite"
    path = spill(target, Spilled((row_of(replace(ONE, key="k3"), "accuracy", {"shape": [1]}, "2026-01-01"),)))
    status, out, _ = bench("store", "merge", tmp_path / "b.sqlite", path, "--store", target)
    assert (status, out.count("1 results added")) == (0, 2)
    assert not path.exists()
    with Store(target) as store:
        assert [r.measurement.key for r in store.records()] == ["k1", "k2", "k3"]
        assert store.evaluated() == {"k1", "k2"}
        assert list(store.parts("net", "miou"))[1] == {"metric": "miou"}, (
            "the parts of the key come along, for bench why"
        )
    assert "0 results added" in bench("store", "merge", tmp_path / "b.sqlite", "--store", target)[1]
    assert bench("store", "merge", target, "--store", target)[0] == 2


def test_merge_says_how_many_results_have_another_value_in_the_store(bench, tmp_path):
    same, failed = replace(ONE, key="same"), replace(ONE, key="failed", samples=(), error="died: killed by SIGKILL")
    for name, value in (("a", 0.25), ("b", 0.5)):
        with Store(tmp_path / f"{name}.sqlite") as store:
            for each in (replace(ONE, samples=(value,)), same, failed if name == "b" else replace(ONE, key="failed")):
                keep(store, each)
            keep(store, replace(ONE, key=name))
    target = tmp_path / "a.sqlite"
    status, out, _ = bench("store", "merge", tmp_path / "b.sqlite", "--store", target)
    assert status == 0
    assert out.endswith(f": 1 results added to {target}; 2 of its results have another value there, which stays\n")
    with Store(target) as store:
        assert {r.measurement.key: r.measurement.samples for r in store.records()}[ONE.key] == (0.25,)


def test_a_damaged_store_is_not_merged(bench, tmp_path):
    for name in ("a", "b"):
        with Store(tmp_path / f"{name}.sqlite") as store:
            keep(store, replace(ONE, key=name))
    change(tmp_path / "b.sqlite", "UPDATE measurement SET samples = '[9.0]'")
    status, _, err = bench("store", "merge", tmp_path / "b.sqlite", "--store", tmp_path / "a.sqlite")
    assert status == 2
    assert "see: bench store check" in err


def test_a_table_leaves_a_damaged_row_out_and_names_it(bench, tmp_path):
    ablation = ablation_in(tmp_path)
    path = tmp_path / "results" / "store.sqlite"
    with Store(path) as store:
        fill(store, ablation)
        store.remember_fingerprint("camvid{}(3, 64, 64)", "train=1a,val=2b")
    change(path, "UPDATE measurement SET samples = '[0.123456]' WHERE metric = 'miou' AND seed = 1")
    status, out, err = bench("table", "absent", "--format", "json")
    assert status == 0
    scores = [row for row in map(json.loads, out.splitlines()) if row["metric"] == "miou"]
    assert [row["n"] for row in scores] == [2, 2]
    assert "0.123456" not in out
    assert err.count("miou seed 1, key ") == 2
    assert "damaged and left out; bench run makes it again" in err
    status, out, err = bench("plan", "absent", "--json")
    due = [row for row in map(json.loads, out.splitlines()) if row["status"] == "due"]
    assert {(row["metric"], row["seed"]) for row in due} == {("miou", 1)}
    assert due[0]["error"].startswith("damaged: ")
    status, out, err = bench("export", "absent")
    assert status == 0
    assert "2 measurements are not stored" in err
    assert all(record.measurement.error is None for record in read(Path(out.strip())).records)


def strange(folder, name):
    path = folder / f"{name}.sqlite"
    if name == "foreign":
        change(path, "CREATE TABLE history (a)")
    elif name == "text":
        path.write_text("no database" * 100)
    elif name == "pipe":
        os.mkfifo(path)
    return path


READING = [
    ["table", "absent"], ["report", "absent"], ["plan", "absent"], ["why", "absent"], ["export", "absent"],
    ["run", "absent", "--dry-run"], ["gate", "absent"], ["accept", "absent"],
]  # fmt: skip


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
@pytest.mark.parametrize("name", ["foreign", "text", "pipe"])
def test_commands_refuse_a_file_that_is_no_store_and_leave_it_untouched(bench, tmp_path, arguments, name):
    ablation_in(tmp_path)
    (tmp_path / "results" / "expected").mkdir(parents=True, exist_ok=True)
    (tmp_path / "results" / "expected" / "absent.csv").write_text("variant,metric,value\n")
    (tmp_path / "stores").mkdir()
    path = strange(tmp_path / "stores", name)
    before = None if name == "pipe" else path.read_bytes()
    status, _, err = bench(*arguments, "--store", path)
    assert status == 2
    assert len(err.splitlines()) <= 2
    assert "not a results store" in err
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert before is None or path.read_bytes() == before


@pytest.mark.parametrize("damage", [b"", b"garbage", b"{}", b"[]", b'"x"', b"\xff\xfe\x00", b"PK\x03\x04" + bytes(60)])
@pytest.mark.parametrize(
    "file", ["meta.json", "measurements.csv", "samples.json", "contributions.npz", "curves.npz", None]
)
def test_a_damaged_bundle_is_one_line(bench, tmp_path, file, damage):
    ablation = ablation_in(tmp_path)
    folder = write(bundle_of(ablation), tmp_path / "bundle")
    if file is None:
        for path in folder.iterdir():
            path.write_bytes(damage)
    else:
        (folder / file).write_bytes(damage)
    for command in (["table", "absent", "--from", folder], ["compare", folder, folder], ["import", folder]):
        status, _, err = bench(*command)
        assert status == 2, (command, err)
        assert sum(line.startswith("error: ") for line in err.splitlines()) == 1
        assert len(err.splitlines()) <= 2


@pytest.mark.parametrize("file", ["contributions.npz", "curves.npz"])
def test_a_flipped_byte_of_an_archive_is_refused_or_changes_nothing(tmp_path, file):
    import random

    from bench.results.bundle import BundleError

    folder = write(bundle_of(ablation_in(tmp_path)), tmp_path / "bundle")
    whole, sound_reading, draw = (folder / file).read_bytes(), arrays(folder), random.Random(3)
    refused = 0
    for _ in range(40):
        content = bytearray(whole)
        content[draw.randrange(len(content))] ^= draw.randrange(1, 256)
        (folder / file).write_bytes(content)
        try:
            reading = arrays(folder)
        except BundleError:
            refused += 1
        else:
            assert reading == sound_reading
    assert refused > 10


def arrays(folder):
    bundle = read(folder)
    curves = [{n: v.tolist() for n, v in run.curves.items()} for run in bundle.evaluations.values()]
    return [r.measurement.contributions for r in bundle.records], curves


def shell(command, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("FOVBENCH_DEBUG", None)
    script = command.replace("bench ", f"{sys.executable} -m bench.cli ")
    return subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, env=environment)


@pytest.mark.parametrize(
    ("command", "status", "stderr"),
    [
        ("bench list --json | head -c 1 >/dev/null; exit ${PIPESTATUS[0]}", (0, 141), ""),
        ("bench list | (exec <&-; sleep 0); exit ${PIPESTATUS[0]}", (0, 141), ""),
        ("bench list >/dev/full", (2,), "error: No space left on device\n"),
        ("bench list >&-", (0,), ""),
        ("bench show nonsense 2>&-", (2,), ""),
        ("bench show nonsense 2>/dev/full", (2,), ""),
    ],
)
def test_closed_and_full_streams_end_without_a_traceback(tmp_path, command, status, stderr):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    done = shell(command, tmp_path)
    assert (done.returncode in status, done.stderr) == (True, stderr), done


def test_a_reader_that_left_before_the_first_line_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "bench.cli", "list"]
    with subprocess.Popen(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_results_that_wait_in_a_file_are_mentioned_by_check_only_until_they_are_taken_in(bench, tmp_path):
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        keep(store, ONE)
    file = spill(path, Spilled((row_of(replace(ONE, key="k2"), "accuracy", {}, "2026-01-01"),)))
    assert "note: " in bench("store", "check", path)[1]
    assert bench("store", "merge", file, "--store", path)[0] == 0
    assert files_of(path) == []
    assert bench("store", "check", path)[1] == f"{path}: no damage\n"


def test_info_says_the_layout_and_vacuum_the_size(bench, tmp_path):
    path = tmp_path / "s.sqlite"
    assert bench("store", "vacuum", path)[0] == 2
    with Store(path) as store:
        keep(store, ONE)
    has = json.loads(bench("store", "info", "--json", "--store", path)[1])
    assert has["version"] == has["current"]
    assert has["rows"]["measurement"] == 1
    assert "1 measurements" in bench("store", "info", "--store", path)[1]
    status, out, _ = bench("store", "vacuum", path)
    assert status == 0
    assert "MB before" in out


LARGE = "question: q?\narchitecture: fcn\nvary: {width: [0.25, 0.5]}\nmetrics: [params, macs]\n"


def test_a_large_run_is_refused_where_nobody_can_answer(bench, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.cli.sweeping.MOST_DUE", 5)
    started = []
    monkeypatch.setattr("bench.sweep.running.run_all", lambda job, *_: started.append(len(job.plans()[0].due)))
    (tmp_path / "large.yaml").write_text(LARGE)
    status, _, err = bench("run", "large.yaml")
    assert (status, started) == (2, [])
    assert "large: 6 due" in err
    assert "add --yes" in err
    assert bench("run", "large.yaml", "--dry-run")[0] == 0
    assert bench("run", "large.yaml", "--yes")[0] == 0
    assert bench("run", "large.yaml", "--only", "params")[0] == 0
    assert started == [6, 3]
