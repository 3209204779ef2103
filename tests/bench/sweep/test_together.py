"""Training runs that share a process: which may, how many, and that none of them is another one for it."""

from __future__ import annotations

import os
import signal
from collections import deque
from dataclasses import replace

import psutil
import pytest

from bench.registry.catalogue import declarations
from bench.results.measurement import Evaluation, Measurement
from bench.results.store import Store
from bench.spec import ablation as ablations
from bench.sweep import driver as sweep
from bench.sweep import plan as planning
from bench.sweep.executors import Progress
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.preloading import preload
from bench.sweep.settings import Options
from bench.sweep.together import MOST, leaves_nothing, series, taken
from bench.sweep.worker import Evaluated, TrainJob

ARCHITECTURES = list(declarations().architectures)
METRICS = [metric for metric in declarations().metrics if metric.kind == "accuracy"]
SHAPES = {"segmentation": "[3, 64, 64]", "pose": "[3, 64, 64]", "generation": "[1, 8, 8]"}


def dataset(number, entry):
    """An embedded dataset of the architecture's task; each one is that of some architecture."""
    own = [each for each in declarations().datasets if each.embedded and each.task == entry.task]
    return own[number % len(own)]


def text_of(number, entry):
    data = dataset(number, entry)
    axes = {name: value for name, value in entry.small.items() if name not in data.requires}
    axes |= {"size": 8} if "size" in axes else {}
    small = ", height: 2" if data.name == "sprites" else ""
    metrics = [each.name for each in METRICS if not each.tasks or entry.task in each.tasks]
    return f"""
question: Does a training run know what ran before it?
architecture: {entry.name}
baseline: {axes}
metrics: {metrics}
main: {metrics[0]}
workload: {{dataset: {{name: {data.name}, train_count: 4, val_count: 4{small}}}, shape: {SHAPES[entry.task]}}}
train: {{steps: 2, batch: 2, mode: fp32}}
seeds: [0]
"""


def job_of(folder, text, **plugins):
    """The last training run of an ablation file."""
    (folder / "asked.yaml").write_text(text)
    ablation = ablations.load(folder / "asked.yaml", **plugins)
    with Store(folder / "empty.sqlite") as store:
        due = planning.plan(ablation, store).due
    requests = tuple(r for r in due if r.training_run and r.training_run == due[-1].training_run)
    return TrainJob(requests, ablation.recipe_of(requests[0].variant), None, ablation.plugins)


def outcome(job):
    """What a training run gives that is no time: arrays of its evaluation, and values and errors of its metrics."""
    emitted = []
    job(emitted.append)
    arrays = {}
    for each in emitted:
        if isinstance(each, Evaluated):
            groups = (each.evaluation.units, each.evaluation.curves, each.evaluation.samples, each.evaluation.summaries)
            arrays = {name: array.tobytes() for group in groups for name, array in group.items()}
    rows = {each.metric: (each.samples, each.error) for each in emitted if isinstance(each, Measurement)}
    return arrays, rows


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Of every architecture: what it gives before all others and after them, in one process."""
    folder = tmp_path_factory.mktemp("together")
    jobs = {entry.name: job_of(folder, text_of(n, entry)) for n, entry in enumerate(ARCHITECTURES)}
    passes = [{name: outcome(job) for name, job in jobs.items()} for _ in range(2)]
    return {name: [each[name] for each in passes] for name in jobs}


@pytest.mark.parametrize("name", [entry.name for entry in ARCHITECTURES])
def test_a_training_run_is_the_same_before_and_after_all_others(outcomes, name):
    first, second = outcomes[name]
    assert first[0], first[1]
    assert any(samples for samples, _ in first[1].values())
    assert first == second


TWICE = """
question: Does a sweep in few processes give what one in many gives?
architecture: unet
baseline: {width: 0.125, depth: 2}
vary: {norm: [none, batch]}
metrics: [miou, boundary_iou]
main: miou
workload: {dataset: {name: boundaries, train_count: 4, val_count: 4}, shape: [3, 32, 32]}
train: {steps: 2, batch: 2, mode: fp32}
seeds: 6
"""


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """The rows of a sweep with at most so many training runs in a process, and how many processes had several.

    `notify` receives the events.
    """

    def measured(name, most, notify=lambda event: None):
        monkeypatch.setattr("bench.sweep.together.MOST", most)
        monkeypatch.setattr("bench.sweep.together.SECONDS", 600.0)  # whatever this machine does beside
        sizes = []
        monkeypatch.setattr(sweep, "series", lambda jobs: (sizes.append(len(jobs)), series(jobs))[1])
        (tmp_path / "asked.yaml").write_text(TWICE)
        ablation = ablations.load(tmp_path / "asked.yaml")
        with Store(tmp_path / name) as store:
            plan = planning.plan(ablation, store)
            executor = LocalExecutor(1, preload([plan]))
            try:
                sweep.run(plan, store, executor, Options(notify=notify))
            finally:
                executor.stop()
            rows = [record.measurement for record in store.records()]
        return {(row.key, row.samples, row.error, tuple(row.files)) for row in rows}, sizes

    return measured


def test_a_sweep_in_few_processes_gives_what_one_in_many_gives(measured):
    shared, sizes = measured("shared.sqlite", MOST)
    alone, none = measured("alone.sqlite", 1)
    assert sizes
    assert not none
    assert shared == alone
    assert len(shared) == 24


@pytest.mark.skipif(not hasattr(os, "fork"), reason="ends a job below its supervisor")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_death_costs_one_training_run_of_those_in_a_process(measured, number):
    ended = []

    def end_one(event):
        if isinstance(event, Progress) and "seed 3" in event.label and event.total and not ended:
            below = [psutil.Process()]
            for _ in ("fork server", "supervisor", "job"):
                below = [child for each in below for child in each.children()]
            ended.extend(below)
            below[0].send_signal(number)

    undisturbed, _ = measured("undisturbed.sqlite", MOST)
    disturbed, sizes = measured("disturbed.sqlite", MOST, end_one)
    assert len(ended) == 1
    assert max(sizes) > 2
    lost = {row[0] for row in undisturbed - disturbed}
    errors = {row[2] for row in disturbed - undisturbed}
    if number == signal.SIGKILL:  # it may have come from outside, and is tried again
        assert disturbed == undisturbed
    else:
        assert len(lost) == 2  # its two metrics
        assert errors == {"died: killed by SIGSEGV"}
    assert len(disturbed) == 24


PLUGIN = """
from torch import nn
from bench.registry import architecture, metric

@architecture(task="segmentation", source="nobody")
def togethers(*, classes: int = 2) -> nn.Module:
    "One layer."
    return nn.Conv2d(3, classes, 1)

@metric(unit="", better=None, kind="accuracy", tasks=("segmentation",))
def togetherness(evaluation):
    "A number."
    return 1

def loss(outputs, targets):
    return outputs.sum()
"""
OF_OURS = """
question: Which training runs may share a process?
architecture: unet
baseline: {width: 0.125, depth: 2}
metrics: [miou]
workload: {dataset: {name: boundaries, train_count: 4, val_count: 4}, shape: [3, 32, 32]}
train: {steps: 2, batch: 2}
seeds: [0]
"""


@pytest.fixture
def job(tmp_path):
    """The training run of the file OF_OURS with some texts replaced, beside a plug-in."""
    (tmp_path / "plug.py").write_text(PLUGIN)

    def job(*replaced):
        text = OF_OURS
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new.replace("FOLDER", str(tmp_path)))
        return job_of(tmp_path, text, plugins=[str(tmp_path / "plug.py")])

    return job


NET = "unet\nbaseline: {width: 0.125, depth: 2}"
OF_FILES = {
    "a plug-in's network": [(NET, "togethers")],
    "a plug-in's metric": [("[miou]", "[miou, togetherness]"), ("workload", "main: miou\nworkload")],
    "a network of a zoo": [(NET, "torchvision:fcn_resnet50")],
    "a function of a file": [(NET, "FOLDER/plug.py:togethers")],
    "a loss of a file": [("batch: 2", "batch: 2, loss: 'FOLDER/plug.py:loss'")],
    "a budget of time": [("steps: 2", "budget: 1s")],
    "compiled": [("batch: 2", "batch: 2, execution: compile")],
    "another device": [("shape: [3, 32, 32]", "shape: [3, 32, 32], device: cuda")],
}  # fmt: skip


@pytest.mark.parametrize("case", OF_FILES)
def test_what_may_leave_something_behind_has_a_process_of_its_own(job, case):
    assert not leaves_nothing(job(*OF_FILES[case]))


def test_code_of_ours_may_share_a_process_also_beside_a_plug_in_that_it_does_not_use(job):
    assert leaves_nothing(job())


def test_a_series_names_no_plug_in_so_that_every_node_of_a_cluster_can_run_it(job):
    alone = job()
    together = series([alone, alone])
    assert alone.plugins
    assert {each.plugins for each in together.jobs} == {()}
    assert together.requests == alone.requests * 2


def test_a_training_run_that_begins_with_weights_has_a_process_of_its_own(job):
    alone = job()
    recipe = alone.recipe.model_copy(update={"weights": "weights.safetensors"})
    assert not leaves_nothing(replace(alone, recipe=recipe))


def test_a_training_run_that_is_tried_again_or_read_again_has_a_process_of_its_own(job):
    assert not leaves_nothing(replace(job(), attempt=2))
    assert not leaves_nothing(replace(job(), evaluation=Evaluation("segmentation", {})))


@pytest.mark.parametrize(
    ("pending", "durations", "expected"),
    [
        (100, [], 1),  # nothing is known yet
        (100, [0.5], 10),  # 5 s
        (100, [9.0], 1),
        (100, [9.0, 0.5], 10),  # the first one tried precision modes
        (1000, [0.01], MOST),
        (12, [0.5], 3),  # a quarter, for two workers
        (3, [0.5], 1),
        (1, [0.5], 1),
    ],
)
def test_how_many_share_a_process(pending, durations, expected):
    jobs = deque(range(pending))
    assert taken(jobs, 2, durations, lambda job: True) == tuple(range(expected))
    assert len(jobs) == pending - expected


def test_a_job_that_may_not_share_ends_the_series_or_is_alone():
    jobs = deque(range(100))
    assert taken(jobs, 2, [0.5], lambda job: job != 3) == (0, 1, 2)
    assert taken(jobs, 2, [0.5], lambda job: job != 3) == (3,)
    assert taken(jobs, 2, [0.5], lambda job: job != 3) == tuple(range(4, 14))
