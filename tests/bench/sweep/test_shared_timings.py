"""Variants whose graphs are equal share one timing; those that only look equal do not."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.summary import summarise
from bench.report.table import table
from bench.results.loading import load_results
from bench.results.store import Store
from bench.spec import ablation as ablations
from bench.spec.ablation import Ablation
from bench.sweep import driver as sweep
from bench.sweep import plan as planning
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.running import Job, run_all
from bench.sweep.settings import Options

NETWORK = """
import time
from typing import Literal
from torch import nn
from bench.registry import architecture, metric
from bench.results.measurement import Reading

class Sleeping(nn.Module):
    def __init__(self, sleeps, fails):
        super().__init__()
        self.sleeps, self.fails = sleeps, fails

    def forward(self, x):
        if x.device.type != "meta":
            time.sleep(self.sleeps)
            if self.fails:
                raise ArithmeticError("seven")
        return x

@architecture(task="segmentation", source="nobody")
def sleepy(*, start: Literal["usual", "zero", "one"] = "usual", wide: bool = False, sleeps: float = 0.001,
           fails: bool = False) -> nn.Module:
    '''A convolution after a pause.'''
    last = nn.Conv2d(3, 4 if wide else 2, 1)
    if start != "usual":
        nn.init.constant_(last.weight, 0.0 if start == "zero" else 1.0)
    return nn.Sequential(Sleeping(sleeps, fails), last)

def _timed(subject):
    started = time.perf_counter()
    subject.forward()
    return Reading([time.perf_counter() - started], {"clock": "elapsed"})

@metric(unit="s", better="lower", kind="speed", of_graph=True)
def once(subject):
    '''One call.'''
    return _timed(subject)

@metric(unit="s", better="lower", kind="speed")
def own(subject):
    '''One call, of a metric that may depend on more than the graph.'''
    return _timed(subject)
"""

TEXT = "question: q?\narchitecture: sleepy\nmetrics: [once, own]\nworkload: {shape: [3, 4, 4]}\n"
Run = Callable[[str], dict[tuple[str, str], Any]]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("plugin") / "sleepy.py"
    path.write_text(textwrap.dedent(NETWORK))
    return str(path)


def outcome_of(ablation: Ablation, store: Store) -> sweep.Outcome:
    executor = LocalExecutor(1, ["torch"])
    try:
        return sweep.run(planning.plan(ablation, store), store, executor, Options(allow_noop="a test"))
    finally:
        executor.stop()


@pytest.fixture
def measured(plugin: str, store: Store, write: Callable[[str], Path]) -> Run:
    """Runs the ablation with `vary` and gives each measurement by (variant, metric)."""

    def measured(vary: str) -> dict[tuple[str, str], Any]:
        outcome_of(ablations.load(write(TEXT + vary), plugins=[plugin]), store)
        records = [record.measurement for record in store.records()]
        return {(m.variant.name.removeprefix("sleepy"), m.metric): m for m in records}

    return measured


def test_variants_with_equal_graphs_share_one_timing_which_says_so(measured: Run) -> None:
    numbers = measured("vary: {start: [zero, one], wide: [true]}\n")
    names = [f"(start={start},wide={wide})" for start, wide in SHOWN]
    first, zero, one, wide = (numbers[name, "once"] for name in names)
    assert first.samples == zero.samples == one.samples != wide.samples
    assert len({first.key, zero.key, one.key, wide.key}) == 4
    for each in (zero, one):
        assert each.detail["shared_with"] == first.variant.name
        assert each.detail["shared_because"] == "same graph"
        assert each.detail["clock"] == "elapsed"
    assert "shared_with" not in first.detail
    assert "shared_with" not in wide.detail
    own = {numbers[name, "own"].samples for name in names}
    assert len(own) == 4, "a metric that does not say that the graph decides was shared"


SHOWN = (("usual", "false"), ("zero", "false"), ("one", "false"), ("usual", "true"))


def test_a_network_that_sleeps_longer_has_its_own_timing_though_its_graph_is_equal(measured: Run) -> None:
    numbers = measured("vary: {sleeps: [0.02]}\n")
    assert numbers["(sleeps=0.001)", "once"].samples[0] >= 0.001
    assert numbers["(sleeps=0.02)", "once"].samples[0] >= 0.02
    assert "shared_with" not in numbers["(sleeps=0.02)", "once"].detail


@pytest.mark.parametrize("first", ["true", "false"])
def test_an_error_is_not_shared_and_costs_its_own_measurement_only(measured: Run, first: str) -> None:
    numbers = measured(f"baseline: {{fails: {first}}}\ngrid: {{fails: [false, true]}}\n")
    works, fails = numbers["(fails=false)", "once"], numbers["(fails=true)", "once"]
    assert works.samples
    assert works.error is None
    assert fails.error == "failed: ArithmeticError: seven (sleepy.py:17)"
    assert not fails.samples


def test_the_table_names_the_variant_that_was_timed(measured: Run, plugin: str, store: Store, write: Any) -> None:
    measured("vary: {start: [zero]}\n")
    ablation = ablations.load(write(TEXT + "vary: {start: [zero]}\n"), plugins=[plugin])
    text = table(load_results(ablation, planning.plan(ablation, store).requests, store), "md")
    assert "once of sleepy(start=zero): the timing of sleepy(start=usual) (same graph)" in text


REPLACED = """
    if start == "usual":
        open("weights.txt").read()
    last ="""


def test_a_run_of_two_processes_measures_how_processes_differ(
    plugin: str, store: Store, write: Callable[[str], Path]
) -> None:
    """Each speed is measured twice; the first time is history, which the table has too."""
    ablation = ablations.load(write(TEXT + "vary: {start: [zero], wide: [true]}\n"), plugins=[plugin])
    job = Job([ablation], store, None, allow_noop="a test", verbosity=-1, processes=2)
    assert not run_all(job, lambda plan: None, lambda plan: None)
    keys = planning.plan(ablation, store).keys
    assert {len(samples) for samples in store.earlier_samples(keys).values()} == {1}
    results = load_results(ablation, planning.plan(ablation, store).requests, store)
    summary = summarise(results)
    usual, zero, wide = (summary.aggregates[variant, "once"] for variant in results.variants)
    assert [len(each.processes) for each in (usual, zero, wide)] == [2, 2, 2]
    assert usual.processes == zero.processes  # one timing for both, each time
    assert zero.shares_timing
    assert summary.noise.processes["once"].freedom == 2  # two networks of two processes
    own = summary.noise.processes["own"]
    assert own.freedom == 4  # of this metric all three are timed: four processes of one graph, two of the other
    assert "2 processes for each variant" in summary.deltas[results.variants[2], "once"].contrast.basis
    assert not run_all(job, lambda plan: None, lambda plan: None)
    assert {len(samples) for samples in store.earlier_samples(keys).values()} == {1}  # they have as many as asked for


WHILE_TIMED = """
    if os.path.exists("next.txt") and len(list(subject.model.parameters())):
        os.replace("next.txt", "weights.txt")
    return _timed(subject)

@metric(unit="s", better="lower", kind="speed")"""


def test_a_timing_whose_files_changed_is_shared_with_no_other_variant(
    tmp_path: Path, store: Store, write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.txt").write_text("old")
    (tmp_path / "next.txt").write_text("new")
    once, own = NETWORK.split('    return _timed(subject)\n\n@metric(unit="s", better="lower", kind="speed")')
    text = f"import os{once}{WHILE_TIMED.lstrip(chr(10))}{own}".replace("    last =", REPLACED.lstrip("\n"), 1)
    (tmp_path / "plugin.py").write_text(text)
    ablation = ablations.load(write(TEXT.replace(", own", "") + "vary: {start: [zero]}\n"), plugins=["plugin.py"])
    outcome = outcome_of(ablation, store)
    assert (outcome.measured, dict(outcome.stale)) == (0, {"weights.txt": 2})
    assert outcome_of(ablation, store).measured == 2
