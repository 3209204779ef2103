"""The command line: from a file to a report to a gate, exit codes, JSON, Ctrl-C."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

TEXT = """
question: Does the command work?
architecture: trivial
grid: {a: [1, 2, 3], mode: [even, odd]}
metrics: [twice, slow]
"""


@pytest.fixture
def bench(tmp_path, plugin):
    (tmp_path / "ablations").mkdir()
    (tmp_path / "ablations" / "easy.yaml").write_text(TEXT)

    def bench(*arguments, code=0, plugged=True):
        extra = ["--plugin", plugin] if plugged else []
        command = [sys.executable, "-m", "bench.cli", *arguments, *extra]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == code, done.stderr
        return done

    return bench


def rows(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_from_an_ablation_to_a_report_to_a_gate(bench, tmp_path):
    planned = rows(bench("plan", "easy", "--json"))
    assert {row["status"] for row in planned} == {"due"}
    assert not (tmp_path / "results").exists(), "planning wrote something"
    done = bench("run", "ablations/easy.yaml")
    assert done.stdout.strip() == "reports/site/easy/index.html"
    assert (tmp_path / "reports" / "site" / "easy" / "index.html").exists()
    assert {row["status"] for row in rows(bench("plan", "easy", "--json"))} == {"cached"}
    text = rows(bench("table", "easy", "--format", "json"))
    assert {"variant", "metric", "value", "unit", "better", "samples", "error"} <= text[0].keys()
    assert {row["value"] for row in text if row["metric"] == "twice"} == {0, 2, 4, 6}
    assert "bench accept easy" in bench("gate", "easy", code=4).stderr
    bench("accept", "easy")
    assert "14 of 14 numbers as expected" in bench("gate", "easy").stdout


@pytest.mark.parametrize(
    ("old", "new", "code", "text"),
    [
        (",twice,2", ",twice,1", 1, "worse"),
        (",twice,2", ",twice,3", 5, "better"),
        (",slow,3", ",slow,4", 1, "changed"),
        ("a=1", "a=77", 4, "missing"),
    ],
)
def test_the_exit_status_of_the_gate_depends_on_the_change(bench, tmp_path, old, new, code, text):
    bench("run", "easy", "--no-report")
    bench("accept", "easy")
    file = tmp_path / "results" / "expected" / "easy.csv"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    done = bench("gate", "easy", code=code)
    assert text in done.stdout
    assert "to accept what is right: bench accept easy" in done.stderr
    assert {row["status"] for row in rows(bench("gate", "easy", "--json", code=code))} >= {text}


def test_a_run_with_failures_exits_with_one_and_says_how_to_repair(bench):
    failing = ("run", "easy", "--set", "metrics=[deadly]", "--no-report")
    done = bench(*failing, code=1)
    assert "trivial(a=3,mode=even) deadly: died: killed by SIGSEGV" in done.stderr
    assert "--rerun failed measures them again" in done.stderr
    assert bench(*failing, code=1).returncode == 1, "stored errors are still errors"


def test_why_names_the_part_of_the_key_that_changed(bench):
    bench("run", "easy", "--no-report")
    done = bench("why", "easy", "twice", "--set", "workload.shape=[3, 32, 32]")
    assert "shape: [3, 64, 64] -> [3, 32, 32]" in done.stdout


def test_measure_prints_one_object_a_line_and_stores_nothing(bench, tmp_path):
    measurements = rows(bench("measure", "trivial", "a=4", "--metrics", "twice,slow", "--json"))
    assert [(row["metric"], row["value"]) for row in measurements] == [("twice", 8), ("slow", 12)]
    assert measurements[0]["variant"] == "trivial(a=4)"
    assert not (tmp_path / "results").exists()


def test_measure_sweeps_over_batches_and_measures_what_depends_on_none_once(bench, tmp_path):
    log = tmp_path / "pulse"
    measurements = rows(
        bench("measure", "trivial", f"log={log}", "--metrics", "twice,pulse", "--batch", "1,4", "--json")
    )
    assert [(row["metric"], row["batch"]) for row in measurements] == [("twice", 1), ("pulse", 1), ("pulse", 4)]
    assert len(log.read_text().splitlines()) == 2 * 2


def test_measure_takes_a_callable_from_a_file(bench, tmp_path):
    (tmp_path / "mine.py").write_text("def net(*, k: int = 1):\n    'Mine.'\n    return {'a': k}\n")
    measurements = rows(bench("measure", "mine.py:net", "k=5", "--metrics", "twice", "--json"))
    assert (measurements[0]["variant"], measurements[0]["value"]) == ("mine.py:net(k=5)", 10)


def test_list_and_show_as_json(bench):
    assert {
        "kind": "ablations",
        "name": "easy",
        "summary": "Does the command work?",
        "file": "ablations/easy.yaml",
    } in rows(bench("list", "--json"))
    (shown,) = rows(bench("show", "trivial", "--json"))
    assert shown["ablations"] == ["easy"]
    assert [axis["axis"] for axis in shown["axes"]][:3] == ["a", "b", "mode"]


def test_dry_run_measures_nothing(bench, tmp_path):
    assert "14 due" in bench("run", "easy", "--dry-run").stdout
    assert not (tmp_path / "results").exists()


def wait_for_a_measurement(path, driver):
    """Until the run has kept something and so is under way, however long its start takes here."""
    while driver.poll() is None:
        with (
            contextlib.suppress(sqlite3.OperationalError),
            contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection,
        ):
            if connection.execute("SELECT count(*) FROM measurement").fetchone()[0]:
                return
        time.sleep(0.02)


def listen():
    """A process that a script started in the background ignores Ctrl-C, and so do its children, unless they say so."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(tmp_path, plugin):
    (tmp_path / "long.yaml").write_text(TEXT.replace("[twice, slow]", "[deadly]").replace("[1, 2, 3]", "[1, 5]"))
    command = [sys.executable, "-m", "bench.cli", "run", "long.yaml", "--plugin", plugin, "--no-report"]
    driver = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=listen
    )
    wait_for_a_measurement(tmp_path / "results" / "store.sqlite", driver)
    os.killpg(driver.pid, signal.SIGINT)
    _, text = driver.communicate(timeout=120)
    assert driver.returncode == 130
    assert "run the same command again to go on" in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("seeds", "note"),
    [
        ("1", "note: one seed has no spread: no difference of scores can reach 95 %; at least 2 are needed"),
        (
            "3",
            "note: with 3 seeds, a difference among 2 comparisons is significant from 3.6 standard deviations on",
        ),
    ],
)
def test_the_smallest_difference_that_the_seeds_can_show_is_printed_before_a_run(bench, tmp_path, seeds, note):
    text = "question: q\narchitecture: fcn\nvary: {stride: [32, 16]}\nmetrics: [params, miou]\n"
    (tmp_path / "ablations" / "trained.yaml").write_text(text)
    for command in (["plan", "trained"], ["run", "trained", "--dry-run"]):
        assert note in bench(*command, "--seeds", seeds).stderr
    assert "a difference" not in bench("plan", "easy").stderr
