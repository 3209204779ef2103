"""`pytest --bench-gate=REV` in a git repository of a user's own benchmark functions."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.pytest_gate import tolerance
from bench.gate.benchmarks import joined
from bench.sweep.benchmark_side import from_the_other_side, pedantic, sample

ROOT = Path(__file__).parents[3]
CODE = "def work(times):\n    return [sum(range(2000)) for _ in range(times)]\n\n\ndef count():\n    return work({times})\n"
BEFORE = """
from code_of_mine import count, work


def test_count(benchmark):
    benchmark(count)


def test_old_name(benchmark):
    benchmark.pedantic(work, args=(20,), rounds=2)


def test_gone(benchmark):
    benchmark(len, "")
"""
AFTER = BEFORE.replace("test_old_name", "test_new_name").replace("test_gone", "test_more").replace("len", "repr")


LIGHT = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p pytest_benchmark.plugin"}


def git(folder, *arguments):
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments], cwd=folder, check=True)


def run(folder, *options, **variables):
    """pytest with our plug-in, in a process of its own; without plug-ins that are not needed, which takes half as long."""
    command = [sys.executable, "-m", "pytest", "-p", "fovbench", "-p", "no:cacheprovider", "--benchmark-max-time=0.01"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    environment = {**own, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **LIGHT, **variables}
    return subprocess.run(
        [*command, "--benchmark-min-rounds=2", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = src\n")
    (tmp_path / "src" / "code_of_mine.py").write_text(CODE.format(times=20))
    (tmp_path / "test_speed.py").write_text(BEFORE)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "a commit")
    return tmp_path


def test_a_slower_function_fails_and_every_benchmark_has_a_verdict(repository):
    (repository / "src" / "code_of_mine.py").write_text(CODE.format(times=80))
    (repository / "test_speed.py").write_text(AFTER)
    done = run(repository, "--bench-gate=HEAD", "--bench-gate-budget=500", "--bench-gate-tolerance=0.5")
    report = done.stdout.split("bench gate against HEAD")[1]
    assert re.search(r"^regression +test_speed.py::test_count, latency: \+\d+", report, re.MULTILINE), done.stdout
    assert re.search(r"^renamed +test_speed.py::test_old_name -> test_speed.py::test_new_name$", report, re.MULTILINE)
    assert re.search(r"^pass +test_speed.py::test_new_name, latency: ", report, re.MULTILINE)
    assert re.search(r"^missing +test_speed.py::test_gone$", report, re.MULTILINE)
    assert re.search(r"^new +test_speed.py::test_more$", report, re.MULTILINE)
    assert done.returncode == 1


def test_an_unknown_revision_is_a_usage_error_and_without_the_option_nothing_happens(repository):
    wrong = run(repository, "--bench-gate=nowhere")
    assert (wrong.returncode, "there is no revision 'nowhere'" in wrong.stdout) == (4, True)
    parallel = run(repository, "--bench-gate=HEAD", "-n2", PYTEST_ADDOPTS="-p pytest_benchmark.plugin -p xdist.plugin")
    assert (parallel.returncode, "add -n0" in parallel.stderr) == (4, True)
    plain = run(repository)
    assert (plain.returncode, "bench gate" in plain.stdout) == (0, False)


NETWORK = """
import torch
from torch import nn


def test_network(benchmark):
    network, image = nn.Conv2d(3, 8, 3, padding=1), torch.zeros(1, 3, 64, 64)
    with torch.inference_mode():
        benchmark(lambda: network(image))
"""


def test_a_network_has_its_macs_and_memory_in_extra_info(repository):
    (repository / "test_speed.py").unlink()
    (repository / "test_network.py").write_text(NETWORK)
    run(repository, "--bench-gate=HEAD", "--bench-gate-budget=0", "--benchmark-json=out.json")
    (benchmark,) = json.loads((repository / "out.json").read_text())["benchmarks"]
    assert benchmark["extra_info"]["macs"] == 64 * 64 * 8 * 3 * 9
    assert benchmark["extra_info"]["memory_added_mib"] >= 0


def test_the_join_is_by_name_and_then_by_what_is_the_same():
    join = joined({"a": "1", "b": "2", "c": "3"}, {"a": "9", "d": "2", "e": "4", "f": ""})
    assert (join.pairs, join.new, join.missing) == ((("a", "a"), ("b", "d")), ("e", "f"), ("c",))


def test_what_did_not_pass_says_that_it_is_not_timed():
    join = joined({"a": "1", "b": "2"}, {"a": "1", "b": "2"})
    assert list(join.lines({"a"})) == ["not timed     b: skipped or failed"]


def test_a_file_that_the_revision_lacks_is_new_and_no_other_is_missing(repository):
    (repository / "test_more.py").write_text("def test_more(benchmark):\n    benchmark(len, 'a')\n")
    done = run(repository, "test_more.py", "--bench-gate=HEAD", "--bench-gate-budget=0")
    report = done.stdout.split("bench gate against HEAD")[1]
    assert re.search(r"^new +test_more.py::test_more$", report, re.MULTILINE), done.stdout
    assert ("missing" in report, done.returncode) == (False, 0)


@pytest.mark.parametrize(("text", "value"), [("3%", 0.03), ("0.05", 0.05)])
def test_a_tolerance_is_written_as_for_the_gate(text, value):
    assert tolerance(text) == value


@pytest.mark.parametrize("text", ["0", "-1", "3", "much", "nan"])
def test_another_tolerance_is_a_usage_error(text):
    with pytest.raises(pytest.UsageError, match="write 3% or 0"):
        tolerance(text)


def test_a_function_without_source_is_never_a_renamed_one():
    assert joined({"a": ""}, {"b": ""}).pairs == ()


def test_setup_and_teardown_of_pedantic_run_around_each_call():
    said = []
    prepare, finish, repeats = pedantic(
        lambda n: said.append(n), setup=lambda: ((len(said),), {}), teardown=lambda n: said.append(-n), rounds=3
    )
    for _ in range(2):
        assert min(sample(prepare, finish, 1)) >= 0
    assert said == [0, 0, 2, -2]
    assert repeats is False


def test_a_module_of_the_working_tree_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "of_here.py").write_text("")
    assert from_the_other_side(str(tmp_path)) == ""
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("of_here")
    assert from_the_other_side(str(tmp_path)) == "of_here.py"
    assert from_the_other_side("") == ""
    del sys.modules["of_here"]
