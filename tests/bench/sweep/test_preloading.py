"""What the fork server imports before the first job, and what is left for the jobs to import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import textwrap
import types
from collections.abc import Callable
from multiprocessing import spawn
from pathlib import Path

import pytest

from bench.results.store import Store
from bench.spec import ablation as ablations
from bench.sweep import plan as planning
from bench.sweep.executors.imports import imported, with_our_path
from bench.sweep.preloading import LIBRARIES, preload

ROOT = Path(__file__).parents[3]
FEW = 5
"""Modules that a job of a built-in ablation may still import: of 900, a few that torch defers beyond what is preloaded."""

TEXT = """
question: q?
architecture: fcn
baseline: {stride: 32, width: 0.0625, fc_channels: 8, norm: batch, padding: same, dropout: 0.0}
vary: {stride: [16]}
metrics: [macs, receptive_field, latency, memory, miou]
workload: {dataset: {name: boundaries, train_count: 8, val_count: 4}, shape: [3, 32, 32], batch: 1}
train: {steps: 1, batch: 4, mode: fp32}
seeds: 1
"""

COUNTING = """
import json, sys
from dataclasses import dataclass
from typing import Any

@dataclass(frozen=True)
class Counted:
    job: Any
    log: str

    def __call__(self, emit):
        before = set(sys.modules)
        try:
            self.job(emit)
        finally:
            job = self.job.job
            kind = type(job).__name__ + " " + job.requests[0].kind + " " + job.requests[0].metric
            with open(self.log, "a") as log:
                print(json.dumps([kind, sorted(sys.modules.keys() - before)]), file=log)
"""

RUN = """
import sys
from pathlib import Path
from counting import Counted
from bench.results.store import Store
from bench.spec.ablation import load
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.running import Job, run_all

def main():
    submit = LocalExecutor.submit
    LocalExecutor.submit = lambda self, job, *args, **how: submit(self, Counted(job, "log"), *args, **how)
    with Store("store.sqlite") as store:
        run_all(Job([load(Path("a.yaml"))], store, None, workers=1), lambda plan: None, lambda plan: None)

if __name__ == "__main__":
    main()
"""


def test_a_job_of_a_built_in_ablation_imports_nearly_nothing(tmp_path: Path) -> None:
    """In a process of its own, since one process has one fork server, and that of the tests has imported other things."""
    for name, text in (("a.yaml", TEXT), ("counting.py", COUNTING), ("go.py", RUN)):
        (tmp_path / name).write_text(text)
    done = subprocess.run([sys.executable, "go.py"], cwd=tmp_path, env=_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    jobs = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    kinds = {kind.rpartition(" ")[0] for kind, _ in jobs}
    assert kinds == {"SignatureJob static", "MeasureJob static", "MeasureJob speed", "TrainJob accuracy"}
    assert {kind: modules for kind, modules in jobs if len(modules) > FEW} == {}


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}.", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def preloaded(store: Store, write: Callable[[str], Path]) -> Callable[..., list[str]]:
    def preloaded(text: str, *plugins: str) -> list[str]:
        return preload([planning.plan(ablations.load(write(text), plugins=list(plugins)), store)])

    return preloaded


def test_a_plug_in_and_the_modules_beside_it_are_never_preloaded_but_its_libraries_are(
    preloaded: Callable[..., list[str]], tmp_path: Path
) -> None:
    (tmp_path / "helper.py").write_text("import scipy.stats\nWIDTH = 4\n")
    plugin = tmp_path / "own.py"
    plugin.write_text(
        textwrap.dedent("""
        import json
        import pandas as pd
        import unheard_of
        from torch import nn
        from helper import WIDTH
        from bench.registry import architecture, metric

        @architecture(task="segmentation", source="nobody")
        def mine(*, wide: bool = False) -> nn.Module:
            return nn.Conv2d(3, WIDTH, 1)

        @metric(unit="", better=None, kind="static")
        def one(subject):
            return 1
        """)
    )
    names = preloaded("question: q\narchitecture: mine\nvary: {wide: [true]}\nmetrics: [one]\n", str(plugin))
    assert {"pandas", "scipy", "torch", "torch._dynamo"} <= set(names)
    assert not [name for name in names if "own" in name or "helper" in name or "unheard_of" in name or name == "json"]
    assert {name.split(".")[0] for name in names} <= {"bench", *LIBRARIES}


def test_zoos_are_preloaded_where_a_variant_names_them(preloaded: Callable[..., list[str]]) -> None:
    head = "question: q\nmetrics: [params]\nworkload: {shape: [3, 32, 32]}\n"
    assert "timm" in preloaded(head + "architecture: timm:resnet18\n")
    assert "timm" in preloaded(head + "architecture: fcn\nvary: {backbone: ['timm:resnet18']}\n")
    assert "timm" not in preloaded(head + "architecture: fcn\n")


def test_a_run_without_torch_preloads_none(preloaded: Callable[..., list[str]]) -> None:
    plugin = str(ROOT / "tests" / "bench" / "trivial.py")
    names = preloaded("question: q\narchitecture: trivial\nvary: {a: [1]}\nmetrics: [twice]\n", plugin)
    assert names == ["bench.sweep.worker"]


def test_one_measurement_does_not_wait_for_what_only_later_ones_would_repay(
    preloaded: Callable[..., list[str]],
) -> None:
    names = preloaded("question: q\narchitecture: fcn\nmetrics: [latency]\nworkload: {shape: [3, 32, 32]}\n")
    assert "torch" in names
    assert "torch._dynamo" not in names


def test_what_cannot_be_imported_is_said_and_the_rest_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (("exits", "raise SystemExit(3)"), ("breaks", "1 / 0"), ("prints", "print('hello')")):
        (tmp_path / f"{name}_in_advance.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    lines = list(imported(["exits_in_advance", "breaks_in_advance", "no_such_module_at_all", "prints_in_advance"]))
    what = "cannot be imported in advance, so each job imports it"
    assert lines == [
        f"exits_in_advance {what}: SystemExit: 3",
        f"breaks_in_advance {what}: ZeroDivisionError: division by zero",
        f"no_such_module_at_all {what}: ModuleNotFoundError: No module named 'no_such_module_at_all'",
    ]
    assert "prints_in_advance" in sys.modules
    assert capsys.readouterr() == ("", "hello\n")


THREADS = """
import importlib, importlib.util, os, sys, threading
for name in sys.argv[1:]:
    if importlib.util.find_spec(name) is not None:
        importlib.import_module(name)
import torch
print(threading.active_count(), torch.cuda.is_initialized(), torch.get_num_threads())
"""


def test_the_libraries_start_no_thread_and_touch_no_device() -> None:
    command = [sys.executable, "-c", THREADS, *LIBRARIES, "torch._dynamo"]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=True)
    assert done.stdout.split()[:2] == ["1", "False"]


def test_workers_import_a_script_of_the_user_and_no_installed_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a script defines, jobs need; a command such as `bench` or `pytest` defines nothing for them."""
    for folder, is_imported in ((tmp_path, True), (Path(sysconfig.get_path("scripts")), False)):
        main = types.ModuleType("__main__")
        main.__file__, main.__spec__ = str(folder / "command"), None
        monkeypatch.setitem(sys.modules, "__main__", main)
        with with_our_path():
            data = spawn.get_preparation_data("a worker")
        assert ("init_main_from_path" in data) == is_imported
        assert main.__spec__ is None
