"""Real runs with adaptive seeds: killed and resumed, on one worker or three, the same seeds and the same table."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from bench.analysis.summary import summarise
from bench.report.table import table
from bench.results.store import Store
from bench.spec.ablation import load
from bench.sweep.plan import plan
from bench.sweep.reading import read_results
from bench.sweep.running import Job, run_all

PLUGIN = '''
import torch
from bench.registry import architecture

@architecture(task="segmentation", source="nobody")
def dot(*, classes: int = 2, kernel: int = 1) -> torch.nn.Module:
    """One convolution."""
    return torch.nn.Conv2d(3, classes, kernel, padding=kernel // 2)
'''
TEXT = """question: Does it work?
architecture: dot
vary: {kernel: [3, 5]}
metrics: [params, miou]
main: miou
workload: {dataset: {name: boundaries, train_count: 4, val_count: 4}, shape: [3, 32, 32]}
train: {steps: 3, batch: 2, mode: fp32, optimizer: sgd, lr: 0.1}
seeds: {min: 2, max: 4, until: decided, looks: 3}
"""
RUN = "import sys; from bench.cli import main; main(sys.argv[1:])"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    (folder / "dots.py").write_text(PLUGIN)
    (folder / "asked.yaml").write_text(TEXT)
    return folder


def ablation_of(folder):
    return load(folder / "asked.yaml", plugins=[str(folder / "dots.py")])


def outcome(folder, name):
    """(the numbers of the table, the seeds of each variant, what is due still)."""
    with Store(folder / name) as store:
        results = read_results(ablation_of(folder), store)
        return table(results, "csv"), summarise(results).looks.counts, plan(ablation_of(folder), store).due


@pytest.fixture(scope="module")
def undisturbed(folder):
    with Store(folder / "one.sqlite") as store:
        assert not run_all(
            Job([ablation_of(folder)], store, None, workers=1, verbosity=-1), lambda p: None, lambda p: None
        )
    return outcome(folder, "one.sqlite")


def test_every_look_is_taken_in_one_run(undisturbed):
    _, counts, due = undisturbed
    assert not due
    assert max(counts.values()) > 2


def test_three_workers_give_the_table_of_one(folder, undisturbed):
    with Store(folder / "three.sqlite") as store:
        run_all(Job([ablation_of(folder)], store, None, workers=3, verbosity=-1), lambda p: None, lambda p: None)
    assert outcome(folder, "three.sqlite") == undisturbed


def stored(file):
    if not file.exists():
        return 0
    with contextlib.suppress(Exception), Store(file) as store:
        return len(list(store.records()))
    return 0


def test_a_killed_run_goes_on_with_the_seeds_of_an_undisturbed_one(folder, undisturbed):
    file = folder / "killed.sqlite"
    arguments = [
        "run",
        "asked.yaml",
        "--plugin",
        "dots.py",
        "--store",
        file,
        "--no-report",
        "--quiet",
        "--workers",
        "1",
    ]
    command = [sys.executable, "-c", RUN, *map(str, arguments)]
    for least in (8,):
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None and stored(file) < least:
            time.sleep(0.01)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    assert outcome(folder, "killed.sqlite") == undisturbed
