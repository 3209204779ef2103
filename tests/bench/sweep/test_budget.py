"""Runs with a budget of training, from the key to the detail of a score."""

from concurrent.futures import Future

import pytest

from bench.hardware.environment import torch_build
from bench.results.store import Store
from bench.spec.ablation import load
from bench.sweep.driver import run
from bench.sweep.executors import Exit
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.forecast import forecast_of
from bench.sweep.plan import plan
from bench.sweep.settings import Options
from tests.bench.sweep.test_settings import PLUGIN

TEXT = """question: Does it work?
architecture: dot
vary: {train.budget: [5s, 6e4 flops]}
metrics: [miou]
workload: {dataset: {name: boundaries, train_count: 4, val_count: 4}, shape: [3, 8, 8]}
train: {batch: 2, mode: fp32}
"""


@pytest.fixture
def ablation(tmp_path):
    (tmp_path / "dots.py").write_text(PLUGIN)
    (tmp_path / "asked.yaml").write_text(TEXT)
    return load(tmp_path / "asked.yaml", plugins=[str(tmp_path / "dots.py")])


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "s.sqlite") as opened:
        yield opened


def test_the_machine_belongs_to_the_key_of_a_training_that_is_timed(ablation, store):
    steps, timed, counted = (request.parts for request in plan(ablation, store).requests)
    assert timed["machine"]["build"] == torch_build()
    assert timed["threads"] == 1
    assert "machine" not in steps
    assert "machine" not in counted
    assert (timed["recipe"]["budget"], counted["recipe"]["budget"]) == ("5s", "6e4 flops")
    assert "budget" in counted["code"]
    assert "budget" not in steps["recipe"]


def test_flops_become_steps_before_the_training(ablation, store):
    only = load(ablation.path, ["vary={}", "train.budget=6e4 flops"], ablation.plugins)
    executor = LocalExecutor(1)
    try:
        outcome = run(plan(only, store), store, executor)
    finally:
        executor.stop()
    assert (outcome.measured, outcome.failed) == (1, 0)
    (record,) = store.records(plan(only, store).keys)
    macs = 3 * 2 * 8 * 8  # a convolution of one pixel, from three channels to two
    assert record.measurement.detail["steps"] == int(6e4 // (6 * macs * 2)) == 13


class Refusing:
    """An executor whose jobs end at once; it keeps how they were submitted."""

    def __init__(self):
        self.lanes, self.flying = [], []

    def submit(self, job, emit, *, timeout, device="cpu", lane="shared"):
        self.lanes.append(lane)
        future = Future()
        future.set_result(Exit(error="died: nothing was done"))
        return future


def test_a_training_that_is_timed_runs_alone(ablation, store):
    executor = Refusing()
    run(plan(ablation, store), store, executor, Options(workers=2, check_noop=False))
    assert executor.lanes == ["shared", "exclusive", "shared"]


def test_the_forecast_of_a_budget_of_time_is_that_time(ablation, store):
    jobs = forecast_of(plan(ablation, store), store).jobs
    assert [job.cost.seconds for job in jobs if job.kind == "accuracy"] == [0, 5, 0]
