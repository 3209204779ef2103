"""The command line as a user meets it: from a file to a report to a gate, exit codes, JSON, Ctrl-C."""

import json
import os
import signal
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
    told = rows(bench("table", "easy", "--format", "json"))
    assert {"variant", "metric", "value", "unit", "better", "samples", "error"} <= told[0].keys()
    assert {row["value"] for row in told if row["metric"] == "twice"} == {0, 2, 4, 6}
    assert "bench accept easy" in bench("gate", "easy", code=2).stderr
    bench("accept", "easy")
    assert "14 of 14 numbers as expected" in bench("gate", "easy").stdout


@pytest.mark.parametrize(
    ("old", "new", "code", "told"),
    [
        (",twice,2", ",twice,1", 1, "worse"),
        (",twice,2", ",twice,3", 5, "better"),
        (",slow,3", ",slow,4", 1, "changed"),
        ("a=1", "a=77", 4, "missing"),
    ],
)
def test_the_gate_s_exit_status_tells_what_happened(bench, tmp_path, old, new, code, told):
    bench("run", "easy", "--no-report")
    bench("accept", "easy")
    file = tmp_path / "results" / "expected" / "easy.csv"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    done = bench("gate", "easy", code=code)
    assert told in done.stdout
    assert "to accept what is right: bench accept easy" in done.stderr
    assert {row["verdict"] for row in rows(bench("gate", "easy", "--json", code=code))} >= {told}


def test_accept_and_gate_measure_first_and_without_a_name_all_ablations_are_checked(bench, tmp_path):
    (tmp_path / "ablations" / "other.yaml").write_text(TEXT.replace("[1, 2, 3]", "[8]"))
    assert "bench accept ABLATION" in bench("gate", code=2).stderr
    assert bench("accept", "easy", "other").stdout.split() == [f"results/expected/{n}.csv" for n in ("easy", "other")]
    (tmp_path / "results" / "store.sqlite").unlink()
    assert "20 of 20 numbers as expected in 2 ablations" in bench("gate").stdout
    file = tmp_path / "results" / "expected" / "other.csv"
    file.write_text(file.read_text().replace(",twice,16", ",twice,15"))
    done = bench("gate", code=1)
    assert "worse    other: trivial(a=8,mode=even)  twice: expected 15, measured 16" in done.stdout
    assert "bench accept other" in done.stderr
    assert "20 of 20" not in done.stdout
    assert bench("gate", "easy").stdout == "14 of 14 numbers as expected\n"


def test_accept_refuses_failed_measurements(bench, tmp_path):
    done = bench("accept", "easy", "--set", "metrics=[deadly]", code=2)
    assert "measurements failed" in done.stderr
    assert "--rerun failed" in done.stderr
    assert not (tmp_path / "results" / "expected").exists()


def test_a_run_with_failures_exits_with_one_and_says_how_to_repair(bench):
    failing = ("run", "easy", "--set", "metrics=[deadly]", "--no-report")
    done = bench(*failing, code=1)
    assert "trivial(a=3,mode=even) deadly: died: killed by SIGSEGV" in done.stderr
    assert "--rerun failed measures them again" in done.stderr
    assert bench(*failing, code=1).returncode == 1, "kept errors are still errors"


def test_why_says_which_part_of_the_key_moved(bench):
    bench("run", "easy", "--no-report")
    done = bench("why", "easy", "twice", "--set", "workload.shape=[3, 32, 32]")
    assert "shape: [3, 64, 64] -> [3, 32, 32]" in done.stdout


def test_measure_prints_one_object_a_line_and_keeps_nothing(bench, tmp_path):
    found = rows(bench("measure", "trivial", "a=4", "--metrics", "twice,slow", "--json"))
    assert [(row["metric"], row["value"]) for row in found] == [("twice", 8), ("slow", 12)]
    assert found[0]["variant"] == "trivial(a=4)"
    assert not (tmp_path / "results").exists()


def test_measure_sweeps_over_batches_and_measures_what_depends_on_none_once(bench, tmp_path):
    log = tmp_path / "pulse"
    found = rows(bench("measure", "trivial", f"log={log}", "--metrics", "twice,pulse", "--batch", "1,4", "--json"))
    assert [(row["metric"], row["batch"]) for row in found] == [("twice", 1), ("pulse", 1), ("pulse", 4)]
    assert len(log.read_text().splitlines()) == 2 * 2


def test_measure_takes_a_callable_from_a_file(bench, tmp_path):
    (tmp_path / "mine.py").write_text("def net(*, k: int = 1):\n    'Mine.'\n    return {'a': k}\n")
    found = rows(bench("measure", "mine.py:net", "k=5", "--metrics", "twice", "--json"))
    assert (found[0]["variant"], found[0]["value"]) == ("mine.py:net(k=5)", 10)


def test_list_and_show_as_json(bench):
    assert {
        "sort": "ablations",
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


def heard():
    """What runs in the background of a script is born deaf to Ctrl-C, and so are its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(tmp_path, plugin):
    (tmp_path / "long.yaml").write_text(TEXT.replace("[twice, slow]", "[deadly]").replace("[1, 2, 3]", "[1, 5]"))
    command = [sys.executable, "-m", "bench.cli", "run", "long.yaml", "--plugin", plugin, "--no-report"]
    driver = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heard
    )
    time.sleep(3)
    os.killpg(driver.pid, signal.SIGINT)
    _, told = driver.communicate(timeout=30)
    assert driver.returncode == 130
    assert "run the same command again to go on" in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("seeds", "told"),
    [
        ("1", "note: one seed has no spread: no difference of scores can reach 95 %; at least 2 are needed"),
        (
            "3",
            "note: with 3 seeds, a difference among 2 comparisons is significant from 3.6 standard deviations on",
        ),
    ],
)
def test_what_so_many_seeds_can_tell_is_said_before_a_run(bench, tmp_path, seeds, told):
    text = "question: q\narchitecture: fcn\nvary: {stride: [32, 16]}\nmetrics: [params, miou]\n"
    (tmp_path / "ablations" / "trained.yaml").write_text(text)
    for command in (["plan", "trained"], ["run", "trained", "--dry-run"]):
        assert told in bench(*command, "--seeds", seeds).stderr
    assert "a difference" not in bench("plan", "easy").stderr
