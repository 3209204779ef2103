"""Forecasts, each rule with made-up durations: what is shared counts once, what is kept costs nothing, timings run alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.results.store import Precedent, Store, network_text
from bench.spec.ablation import load as load_ablation
from bench.sweep import forecast as forecasting
from bench.sweep.executors import Progress
from bench.sweep.forecast import ALIKE, SAME, Cost, Forecast, Job, cost_text, forecast_of
from bench.sweep.plan import plan
from bench.sweep.progress import Remaining, rough_text
from bench.sweep.settings import Work

TEXT = """
question: How long?
architecture: fcn
baseline: {stride: 32, width: 0.25}
vary: {stride: [16, 8]}
metrics: [params, macs, latency, memory, miou, pixel_accuracy]
workload: {dataset: boundaries, shape: [3, 32, 32], batch: 2}
train: {steps: 100, batch: 8}
seeds: 2
"""


class MadeUp(Store):
    """An empty store with a made-up past."""

    past: tuple[Precedent, ...] = ()
    counts: dict = {}
    kept: frozenset[str] = frozenset()

    def precedents(self):
        return list(self.past)

    def macs(self):
        return self.counts

    def evaluated(self):
        return set(self.kept)


@pytest.fixture
def planned(tmp_path, monkeypatch):
    monkeypatch.setattr(forecasting, "stored_signatures", lambda ablation, store: dict.fromkeys(ablation.variants))
    monkeypatch.setattr(forecasting, "timings", lambda due, plugins, signatures: [[request] for request in due])

    def planned(*metrics):
        (tmp_path / "a.yaml").write_text(TEXT)
        with MadeUp(tmp_path / "none.sqlite") as store:
            return plan(load_ablation(tmp_path / "a.yaml"), store, only=metrics), store

    return planned


def precedent(request, seconds, trained=None, **parts):
    """What this measurement took, were it made at other settings."""
    own = {**request.shared, **parts}
    return Precedent(request.metric, request.variant.architecture, seconds, trained, own)


def of(plan, metric, variant=0):
    name = plan.ablation.variants[variant]
    return next(r for r in plan.due if r.metric == metric and r.variant == name)


def total(plan, store, *past, workers=1, **state):
    store.past = past
    for name, value in state.items():
        setattr(store, name, value)
    forecast = forecast_of(plan, store)
    return forecast, forecast.total(workers)


def test_the_same_network_and_batch_by_steps(planned):
    plan, store = planned("miou")
    recipe = of(plan, "miou").shared["recipe"]
    past = [precedent(of(plan, "miou", v), 51.0, 50.0, recipe={**recipe, "steps": 50}) for v in range(3)]
    forecast, cost = total(plan, store, *past)
    assert cost.seconds == pytest.approx(3 * 2 * (100 + 1))  # variants, seeds; the metric itself takes a second
    assert cost.low == pytest.approx(6 * (100 / SAME + 1 / ALIKE))
    assert cost.high == pytest.approx(6 * (100 * SAME + 1 * ALIKE))
    assert forecast.unknown == 0


def test_other_networks_of_the_family_by_steps_times_batch_times_macs(planned):
    plan, store = planned("miou")
    request = of(plan, "miou")
    recipe = request.shared["recipe"]
    place = lambda v: (request.variant.architecture, network_text(of(plan, "miou", v).shared))  # noqa: E731
    counts = {place(0): 1e6, place(1): 2e6, place(2): 4e6}
    past = precedent(request, 10.0, 10.0, recipe={**recipe, "steps": 10, "batch": 4})  # 10 * 4 * 1e6 in 10 s
    _, cost = total(plan, store, past, counts=counts)
    assert cost.seconds == pytest.approx(2 * 100 * 8 * 7e6 * 10 / (10 * 4 * 1e6))


def test_loading_and_evaluation_do_not_grow_with_the_steps(planned):
    plan, store = planned("miou")
    request = of(plan, "miou")
    recipe = {**request.shared["recipe"], "steps": 50}
    past = [replace(precedent(of(plan, "miou", v), 13.0, 13.0, recipe=recipe), fitted=10.0) for v in range(3)]
    assert total(plan, store, *past)[1].seconds == pytest.approx(6 * (20 + 3))


def test_without_macs_by_pixels(planned):
    plan, store = planned("miou")
    request = of(plan, "miou")
    past = precedent(request, 10.0, 10.0, shape=[3, 64, 64])
    _, cost = total(plan, store, past)
    assert cost.seconds == pytest.approx(6 * 10.0 / 4)
    assert cost.high / cost.seconds == pytest.approx(ALIKE)


def test_a_metric_of_an_evaluation_that_is_kept_does_not_count_the_training(planned):
    plan, store = planned("miou")
    runs = frozenset(request.training_run for request in plan.due)
    past = precedent(of(plan, "miou"), 100.002, 100.0)
    assert total(plan, store, past)[1].seconds == pytest.approx(6 * 100.002, rel=1e-6)
    assert total(plan, store, past, kept=runs)[1].seconds == pytest.approx(6 * 0.002, rel=1e-3)
    assert forecast_of(plan, store, force=True).total().seconds == pytest.approx(6 * 100.002, rel=1e-6)


def test_metrics_of_one_training_run_count_it_once(planned):
    plan, store = planned("miou", "pixel_accuracy")
    past = [precedent(of(plan, metric), 100.5, 100.0) for metric in ("miou", "pixel_accuracy")]
    assert total(plan, store, *past)[1].seconds == pytest.approx(6 * (100 + 0.5 + 0.5))


def test_static_metrics_of_one_network_share_its_recording(planned):
    plan, store = planned("params", "macs")
    first = [precedent(of(plan, "params"), 2.01), precedent(of(plan, "macs"), 0.1)]
    second = [precedent(of(plan, "macs", 1), 2.1), precedent(of(plan, "params", 1), 0.01)]
    forecast, cost = total(plan, store, *first, *second)
    assert cost.seconds == pytest.approx(3 * (2.0 + 0.01 + 0.1))
    assert len(forecast.jobs) == 3


def test_networks_that_were_never_checked_are_recorded_once_more(planned, monkeypatch):
    plan, store = planned("params", "macs")
    past = [precedent(of(plan, "params"), 2.01), precedent(of(plan, "macs"), 0.1),
            precedent(of(plan, "macs", 1), 2.1), precedent(of(plan, "params", 1), 0.01)]  # fmt: skip
    before = total(plan, store, *past)[1].seconds
    monkeypatch.setattr(forecasting, "stored_signatures", lambda ablation, store: {ablation.variants[0]: None})
    assert total(plan, store, *past)[1].seconds == pytest.approx(before + 2 * 2.0)


def test_a_timing_that_variants_share_counts_once(planned, monkeypatch):
    plan, store = planned("latency")
    past = [precedent(of(plan, "latency", v), 4.0) for v in range(3)]
    assert total(plan, store, *past)[1].seconds == pytest.approx(12.0)
    monkeypatch.setattr(forecasting, "timings", lambda due, plugins, signatures: [list(due[:2]), list(due[2:])])
    assert total(plan, store, *past)[1].seconds == pytest.approx(8.0)


def test_a_timing_on_another_machine_is_no_precedent(planned):
    plan, store = planned("latency")
    forecast, cost = total(plan, store, precedent(of(plan, "latency"), 4.0, machine={"cpu": "another"}))
    assert (forecast.unknown, cost) == (3, Cost())
    assert forecast.text() == "time unknown"


def test_workers_divide_what_may_run_at_once_and_no_job_is_divided():
    jobs = [Job("static", ("a",), Cost(1, 2, 3)), Job("accuracy", ("b",), Cost(10, 20, 30))]
    jobs += [Job("accuracy", ("c",), Cost(10, 20, 30)), Job("speed", ("d",), Cost(5, 6, 7))]
    assert Forecast(tuple(jobs)).total(1) == Cost(26, 48, 70)
    assert Forecast(tuple(jobs)).total(2) == Cost(1 + 10 + 5, 2 + 20 + 6, 3 + 30 + 7)
    assert Forecast(tuple(jobs)).total(8) == Cost(1 + 10 + 5, 2 + 20 + 6, 3 + 30 + 7)


def test_earlier_times_that_differ_make_the_forecast_uncertain(planned):
    plan, store = planned("miou")
    request = of(plan, "miou")
    past = [precedent(request, seconds, seconds) for seconds in (10.0, 20.0, 80.0)]
    first = next(job for job in total(plan, store, *past)[0].jobs if request.key in job.keys)
    assert first.cost == Cost(10.0, 20.0, 80.0)


def test_the_words_say_how_uncertain_a_forecast_is_and_what_has_no_precedent():
    known, unknown = Job("accuracy", tuple("abc"), Cost(120, 200, 300)), Job("speed", tuple("de"), Cost(), 2)
    assert Forecast((known,)).text() == "about 2 m to 5 m on one worker"
    assert Forecast((known, unknown)).text(2) == "at least 2 m on 2 workers, no precedent for 2 of 5"
    assert Forecast((replace(known, cost=Cost(9.8, 10, 10.2)),)).text() == "about 10 s on one worker"
    assert Forecast((unknown,)).text() == "time unknown"


@pytest.mark.parametrize(
    ("costs", "device", "text"),
    [
        ({"accuracy": Cost(20, 40, 80)}, "cpu", "1 to 4 core-minutes"),
        ({"accuracy": Cost(0.1, 0.2, 0.3)}, "cpu", "1 core-second"),
        ({"static": Cost(1, 2, 4), "accuracy": Cost(3600, 7200, 36000)}, "cuda:1", "3 to 12 core-seconds and 1 to 10 GPU-hours"),
        ({"speed": Cost(9, 10, 11), "accuracy": Cost(20, 30, 40)}, "cuda", "29 to 51 GPU-seconds"),
        ({"accuracy": Cost()}, "cpu", ""),
        ({}, "cpu", ""),
    ],
)  # fmt: skip
def test_the_cost_is_that_of_the_cores_and_cards_that_are_occupied(planned, costs, device, text):
    """Three threads on the CPU; a card counts whole; however many workers there are."""
    due, _ = planned("miou", "params", "latency")
    work = replace(due.ablation.workload, threads=3, device=device)
    due = replace(due, planned=tuple(replace(p, request=replace(p.request, workload=work)) for p in due.planned))
    jobs = [Job(kind, (next(r.key for r in due.due if r.kind == kind),), cost) for kind, cost in costs.items()]
    assert cost_text(due, Forecast(tuple(jobs))) == text
    gap = Job("speed", (of(due, "latency").key,), Cost(), 1)
    assert cost_text(due, Forecast((*jobs, gap))) == (f"at least {text}" if text else "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.1, "1 s"), (12.4, "12 s"), (119, "119 s"), (150, "2 m"), (3700, "62 m"), (9100, "2 h 30 m")],
)
def test_rough_text(seconds, text):
    assert rough_text(seconds) == text


def test_nothing_due_needs_no_time(planned):
    plan, store = planned("params")
    assert forecast_of(replace(plan, planned=()), store).jobs == ()


# While it runs


def test_the_time_left_follows_the_work_and_not_the_number_of_measurements():
    left = Remaining(Work({**{f"cheap {n}": 0.1 for n in range(10)}, "long": 99.0}, in_seconds=True))
    left.keep([f"cheap {n}" for n in range(10)])
    assert left.seconds(1.0) == pytest.approx(99.0)  # 10 of 11 are done, and 99 % of the time is left


def test_what_took_longer_than_forecast_makes_the_rest_longer():
    left = Remaining(Work({"a": 50.0, "b": 50.0}, in_seconds=True))
    left.keep(["a"])
    assert left.seconds(100.0) == pytest.approx(50 * (100 + 10) / (50 + 10))


def test_a_training_run_that_goes_on_counts_by_its_steps_once():
    left = Remaining(Work({"a": 100.0}, {"net seed 0": 100.0}, in_seconds=True))
    assert left.seconds(0.0) == pytest.approx(100.0)
    left.advance(Progress("net seed 0", 25, 100))
    assert left.seconds(25.0) == pytest.approx(75.0)
    left.keep(["a"])
    assert left.seconds(100.0) == 0.0


def test_without_any_forecast_the_first_of_many_results_says_nothing_about_the_time_left():
    """A network's metrics are one job: the first of them records it, and has the start of the process in its time."""
    static = Job("static", tuple(f"s{n}" for n in range(20)), Cost(), 20)
    timings = [Job("speed", (f"t{n}",), Cost(), 1) for n in range(11)]
    left = Remaining(Forecast((static, *timings)).work())
    left.keep(["s0"])
    assert left.seconds(8.0) is None  # and not 8 s for each twentieth of a job, 31 minutes
    left.keep([f"s{n}" for n in range(20)] + ["t0", "t1"])
    assert left.seconds(12.0) == pytest.approx(9 * 12 / 3)


def test_without_any_forecast_the_time_left_is_known_once_much_is_done():
    left = Remaining(Work({"a": 1.0, "b": 1.0}))
    assert left.seconds(5.0) is None
    left.keep(["a"])
    assert left.seconds(5.0) == pytest.approx(5.0)


def test_the_work_of_a_plan_divides_jobs_among_their_measurements_and_workers():
    jobs = (Job("accuracy", ("a", "b"), Cost(1, 8, 9), label="net seed 0"), Job("speed", ("c",), Cost(1, 4, 9)))
    jobs += (Job("static", ("d",), Cost(), 1), Job("static", (), Cost(1, 1, 1)))
    work = Forecast(jobs).work(2)
    assert work.keys == {"a": 2.0, "b": 2.0, "c": 4.0, "d": pytest.approx((8 + 4 + 1) / 3 / 2)}
    assert work.labels == {"net seed 0": 4.0}
