"""An end from outside is tried again and never a result; SIGKILL is one only where it comes again and again."""

import time
from concurrent.futures import Future

import pytest

from bench.results.frame import load as load_frame
from bench.sweep import driver as sweep
from bench.sweep import plan as planning
from bench.sweep.executors import Exit, WorkerError
from bench.sweep.faults import FAULTS, KILLS, Faults
from bench.sweep.settings import Options
from bench.sweep.worker import MeasureJob, SignatureJob

OUTSIDE, KILLED = Exit("died: killed by SIGTERM", "outside"), Exit("died: killed by SIGKILL", "killed")
TEXT = "question: q\narchitecture: trivial\nmetrics: [twice]\ngrid: {a: [1, 2, 3]}\n"


class Machine:
    """An executor without processes: each job runs at once, unless the next of `ends` says how it ends instead.

    `ends` are pairs: the number of results that a job still sends, and how it ends then. `running` are the numbers of
    measurements of every job that was submitted.
    """

    def __init__(self, *ends, repeat=None):
        self.ends, self.repeat, self.submitted = list(ends), repeat, []

    def submit(self, job, receive, *, timeout, device="cpu", lane="shared"):
        future = Future()
        results, end = self.ends.pop(0) if self.ends else self.repeat or (None, Exit())
        received = []
        self.submitted.append(job.job)
        job(received.append)
        for item in received[:results]:
            receive(item)
        future.set_result(end)
        return future

    def stop(self):
        pass


@pytest.fixture
def measure(load, store):
    def measure(machine, text=TEXT, workers=1, **options):
        plan = planning.plan(load(text), store)
        return sweep.run(plan, store, machine, Options(workers=workers, check_noop=False, **options))

    return measure


def values(store):
    frame = load_frame(store.path)
    return dict(zip(frame["variant"], frame["value"], strict=True)), frame["error"].dropna().tolist()


ALL = {"trivial(a=0)": 0, "trivial(a=1)": 2, "trivial(a=2)": 4, "trivial(a=3)": 6}


@pytest.mark.parametrize("end", [OUTSIDE, KILLED])
def test_what_a_job_was_ended_before_is_measured_again_and_what_it_had_sent_stays(measure, store, end):
    machine, events = Machine((2, end), (1, end), (0, end)), []
    outcome = measure(machine, notify=events.append)
    assert (outcome.measured, outcome.failed, outcome.left) == (4, 0, 0)
    assert values(store) == (ALL, [])
    assert [len(job.requests) for job in machine.submitted] == [4, 2, 1, 1]
    labels = [event.label for event in events if hasattr(event, "label")]
    assert labels[0] == f"trivial(a=2) twice: {end.error}; it is measured again"


def test_a_measurement_that_is_killed_again_and_again_is_kept_as_failed_and_the_others_are_measured(measure, store):
    machine = Machine(*[(1, KILLED)], *[(0, KILLED)] * (KILLS - 1))
    outcome = measure(machine)
    assert (outcome.measured, outcome.failed) == (4, 1)
    found, errors = values(store)
    assert errors == ["died: killed by SIGKILL"]
    assert {name: value for name, value in found.items() if name != "trivial(a=1)"} == {
        name: value for name, value in ALL.items() if name != "trivial(a=1)"
    }


def test_a_machine_that_keeps_ending_jobs_ends_the_run_and_nothing_of_it_is_stored(measure, store):
    machine = Machine((1, OUTSIDE), repeat=(0, OUTSIDE))
    with pytest.raises(WorkerError, match=rf"{FAULTS} times in a row, last that of trivial\(a=1\) twice"):
        measure(machine)
    assert values(store) == ({"trivial(a=0)": 0}, [])
    assert len(machine.submitted) == FAULTS
    assert measure(Machine()).measured == 3
    assert values(store) == (ALL, [])


def test_a_result_between_shows_that_the_machine_works():
    faults = Faults()
    for _ in range(3 * FAULTS):
        assert faults.again("key", "name", OUTSIDE, time.monotonic())
        faults.result()


def test_jobs_that_ran_already_when_another_was_ended_are_one_fault_of_the_machine():
    """A node with twenty jobs is lost: the run goes on. What is started later and ended too counts each time."""
    faults, together = Faults(), time.monotonic()
    for _ in range(2 * FAULTS):
        assert faults.again("key", "name", OUTSIDE, together)
    for _ in range(FAULTS - 2):
        assert faults.again("key", "name", OUTSIDE, time.monotonic())
    with pytest.raises(WorkerError, match="10 times in a row"):
        faults.again("key", "name", OUTSIDE, time.monotonic())


def test_kills_are_counted_by_measurement():
    faults = Faults()
    answers = [faults.again(key, key, KILLED, 0.0) for _ in range(KILLS) for key in ("one", "two")]
    assert answers == [True] * 2 * (KILLS - 1) + [False] * 2


def test_a_job_that_was_ended_from_outside_runs_alone(measure, monkeypatch):
    """Two workers and four jobs: after a death nothing is submitted until what runs has ended, and nothing beside it."""
    flying, most = [], []

    class Late(Machine):
        def submit(self, job, receive, **options):
            flying.append(job)
            most.append((job.job.attempt, len(flying)))
            future = super().submit(job, receive, **options)
            flying.remove(job)
            return future

    measure(Late((0, OUTSIDE), (0, OUTSIDE)), workers=2)
    assert {together for attempt, together in most if attempt > 1} == {1}
    assert [attempt for attempt, _ in most] == [1, 1, 2, 2]


@pytest.mark.parametrize("end", [OUTSIDE, KILLED])
def test_the_comparison_of_networks_is_repeated_too(load, store, end):
    """Otherwise two variants that are the same network would pass, since one of them was never looked at."""
    plan = planning.plan(load(TEXT), store)
    machine = Machine((1, end), (0, end))
    sweep.run(plan, store, machine, Options())
    looked = [job for job in machine.submitted if isinstance(job, SignatureJob)]
    assert [len(job.requests) for job in looked] == [4, 3, 3]
    assert sum(isinstance(job, MeasureJob) for job in machine.submitted) == 1
