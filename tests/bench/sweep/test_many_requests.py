"""What a plan and a run do with very many requests: a number of statements and calls that grows with them, no faster."""

from __future__ import annotations

import tracemalloc

import pytest

from bench.results.keys import requests
from bench.results.store import Store
from bench.sweep import running
from bench.sweep.driver import _Run
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.plan import plan
from bench.sweep.running import measure_static
from bench.sweep.settings import Options
from tests.bench.crowded import ablation_in, calls, fill


@pytest.fixture
def plans(tmp_path):
    """Plans of 5 variants with 40, 200 and 400 seeds, and two scores."""

    def planned(seeds):
        ablation = ablation_in(tmp_path, 5, seeds, ("miou", "pixel_accuracy"), f"seeds{seeds}")
        with Store(tmp_path / "s.sqlite") as store:
            return plan(ablation, store)

    return planned


def test_a_plan_of_twice_the_seeds_takes_twice_the_calls_and_the_memory(plans):
    plans(40)  # what is computed once
    counts = [calls(lambda seeds=seeds: plans(seeds)) for seeds in (200, 400)]
    assert counts[1] < 2.2 * counts[0]
    sizes = []
    for seeds in (200, 400):
        tracemalloc.start()
        whole = plans(seeds)
        sizes.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(whole.due) == 10 * seeds
    assert sizes[1] < 2.2 * sizes[0]


def test_a_run_groups_its_training_runs_in_one_pass(plans, tmp_path):
    counts = []
    for seeds in (200, 400):
        due = plans(seeds).due
        with Store(tmp_path / "none.sqlite") as store:
            run = _Run(plans(seeds), store, LocalExecutor(1), Options())
            jobs = [*run._jobs(due)]
            counts.append(calls(lambda run=run, due=due: [*run._jobs(due)]))
        assert len(jobs) == 5 * seeds
        assert [request.key for job in jobs for request in job.requests] == [request.key for request in due]
    assert counts[1] < 2.2 * counts[0]


def test_stored_static_measurements_are_planned_once(tmp_path, monkeypatch):
    ablation = ablation_in(tmp_path, 10, metrics=("params", "macs"))
    planned = []
    monkeypatch.setattr(running, "plan", lambda *a, **k: planned.append(a) or plan(*a, **k))
    with Store(tmp_path / "s.sqlite") as store:
        fill(store, ablation)
        (whole,) = measure_static([ablation], store)
    assert len(planned) == 1
    assert whole.keys == tuple(request.key for request in requests(ablation, {}))
    assert whole.count("cached") == 20


def test_static_measurements_that_are_due_are_planned_once_and_measured(tmp_path, monkeypatch):
    ablation = ablation_in(tmp_path, 5, metrics=("output_stride",))
    planned = []
    monkeypatch.setattr(running, "plan", lambda *a, **k: planned.append(a) or plan(*a, **k))
    with Store(tmp_path / "s.sqlite") as store:
        (whole,) = measure_static([ablation], store, workers=1)
        assert len(planned) == 1
        assert len(whole.due) == 5
        assert {record.measurement.samples for record in store.records(whole.keys)} == {(32.0,)}
        assert store.measured(whole.keys).keys() == set(whole.keys)
