"""A store that is locked or full costs no result: the run waits, then writes a file that the next run takes in."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from bench.results import storefile
from bench.results.measurement import Evaluation, Measurement
from bench.results.spill import files_of, take_in
from bench.results.store import Store, row_of
from bench.results.storefile import StoreError, StoreUnavailable
from bench.sweep import driver
from bench.sweep.executors import Progress
from bench.sweep.keeping import PAUSES, NotStored, patiently, spill
from bench.sweep.plan import plan
from bench.sweep.running import Job, run_all
from bench.sweep.settings import Options
from bench.sweep.worker import Evaluated

TEXT = "question: Does it?\narchitecture: trivial\nmetrics: [twice]\ngrid: {a: [1, 2, 3]}\n"


class Attempts:
    """Fails the first times, then succeeds."""

    def __init__(self, failures, error=StoreUnavailable):
        self.failures, self.error, self.count = failures, error, 0

    def __call__(self):
        self.count += 1
        if self.count <= self.failures:
            raise self.error("s.sqlite: locked")
        return "stored"


@pytest.mark.parametrize("failures", [0, 1, 3, len(PAUSES)])
def test_an_attempt_is_repeated_with_growing_pauses_and_one_line(failures):
    pauses, lines = [], []
    assert patiently(Attempts(failures), lines.append, pauses.append) == "stored"
    assert pauses == list(PAUSES[:failures])
    assert sorted(pauses) == pauses
    assert len(lines) == (failures > 0)


def test_it_ends_after_the_last_pause_and_at_once_for_another_error():
    pauses = []
    with pytest.raises(StoreUnavailable):
        patiently(Attempts(99), lambda line: None, pauses.append)
    assert len(pauses) == len(PAUSES)
    pauses.clear()
    with pytest.raises(StoreError):
        patiently(Attempts(99, StoreError), lambda line: None, pauses.append)
    assert pauses == []


@pytest.fixture
def job(load, store, monkeypatch):
    """The state of a run without workers, which receives results that the test makes; (its plan, run, news)."""
    monkeypatch.setattr(storefile, "TIMEOUT", 0.0)
    planned = plan(load(TEXT), store)
    lines, pauses = [], []

    def notify(event):
        if isinstance(event, Progress):
            lines.append(event.label)

    state = driver._Run(planned, store, None, Options(notify=notify, pause=pauses.append))
    state.lines, state.pauses = lines, pauses
    news = [measured(request) for request in planned.due]
    return state, news


def measured(request):
    unit = ("px", "lower", (2.0 * request.variant.values["a"],), True, None, 0.5, {})
    return Measurement(request.key, request.variant, request.workload, request.metric, *unit)


def locked(store):
    connection = sqlite3.connect(store.path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def test_a_lock_that_ends_costs_nothing_but_time(job, store):
    state, news = job
    state._claimed(list(state.by_key))
    other = locked(store)

    def pause(seconds):
        state.pauses.append(seconds)
        if len(state.pauses) == 3:
            other.close()

    state.options = Options(notify=state.options.notify, pause=pause)
    state._take(news)
    assert len(store.records()) == len(news)
    assert len(state.pauses) == 3
    assert len(state.lines) == 1
    assert "locked" in state.lines[0]
    assert files_of(store.path) == []


@pytest.mark.parametrize("fault", ["locked", "full"])
def test_results_of_a_store_that_stays_unavailable_are_in_a_file_and_the_next_run_takes_them_in(
    job, store, load, fault
):
    state, news = job
    state._claimed(list(state.by_key))
    state.received.put(news[-1])  # it has arrived and waits
    other = locked(store) if fault == "locked" else None
    if fault == "full":
        store.database.writer.execute("PRAGMA max_page_count=1")
        news[0] = replace_detail(news[0])
    with pytest.raises(NotStored, match=r"4 results are in .*s?\.spill-.*\.jsonl\nthe next bench run") as error:
        state._take(news[:-1])
    assert str(files_of(store.path)[0]) in str(error.value)
    if other:
        other.close()
    store.__exit__()
    with Store(store.path) as again:
        assert again.records() == []
        assert not run_all(Job([load(TEXT)], again, None, workers=1), lambda plan: None, lambda plan: None)
        assert {record.measurement.key: record.measurement for record in again.records()} == {m.key: m for m in news}
        assert again.query("SELECT count(*) FROM measurement") == [(len(news),)]
    assert files_of(store.path) == []


def test_what_was_measured_again_since_files_changed_takes_the_place_of_the_old_row_from_the_file_too(job, store):
    state, news = job
    old = [replace(each, samples=(0.0,)) for each in news[:2]]
    store.add_rows(row_of(each, "static", {}, "2026-01-01T00:00:00+00:00") for each in old)
    state.outdated = {news[0].key}
    other = locked(store)
    with pytest.raises(NotStored, match="4 results are in"):
        state._take(news)
    other.close()
    assert take_in(store, files_of(store.path)) == 3
    values = {record.measurement.key: record.measurement.samples for record in store.records()}
    assert values == {m.key: m.samples for m in news} | {news[1].key: (0.0,)}
    assert len(store.query("SELECT 1 FROM measurement")) == 5


def test_the_evaluation_of_a_training_run_that_is_outdated_is_replaced_from_the_file_too(store):
    runs = [Evaluated(run, Evaluation("pose", {}, facts={"made": "again"})) for run in ("outdated", "stored", "new")]
    for run in ("outdated", "stored"):
        store.add_evaluation(run, Evaluation("pose", {}, facts={"made": "before"}))
    spill(store, [], runs, lambda key: key == "outdated", "full")
    assert take_in(store, files_of(store.path)) == 2
    made = {run.training_run: store.evaluation(run.training_run).facts["made"] for run in runs}
    assert made == {"outdated": "again", "stored": "before", "new": "again"}


def replace_detail(measurement):
    return replace(measurement, detail={"x": "y" * 300_000})


def test_ctrl_c_while_the_store_is_awaited_loses_nothing(job, store):
    state, news = job
    state._claimed(list(state.by_key))

    def pause(seconds):
        raise KeyboardInterrupt

    state.options = Options(notify=state.options.notify, pause=pause)
    with closing(locked(store)), pytest.raises(KeyboardInterrupt):
        state._take(news)
    assert len(files_of(store.path)) == 1
    assert "4 results are in" in state.lines[-1]


def test_where_nothing_can_be_written_the_loss_is_said(job, store, monkeypatch):
    state, news = job
    state._claimed(list(state.by_key))
    monkeypatch.setattr("bench.results.spill._folders", lambda path: [path / "not a folder"])
    with closing(locked(store)), pytest.raises(StoreError, match="4 results are lost: no folder can be written"):
        state._take(news)


def test_claims_that_cannot_be_given_back_do_not_hide_the_error(job, store):
    state, news = job
    state._claimed(list(state.by_key))
    with closing(locked(store)):
        state._release()
    assert "free when its process has ended" in state.lines[-1]


def test_a_damaged_row_is_measured_again_by_the_next_run(load, run, store):
    ablation = load(TEXT)
    run(ablation)
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("UPDATE measurement SET samples = '[77]' WHERE variant = 'trivial(a=2)'")
        connection.commit()
    planned, outcome = run(ablation)
    assert [p.status for p in planned.planned].count("due") == 1
    assert (outcome.measured, outcome.failed) == (1, 0)
    values = {r.measurement.variant.name: r.measurement.samples for r in store.records()}
    assert values["trivial(a=2)"] == (4,)
    assert planned.count("cached") == 3
