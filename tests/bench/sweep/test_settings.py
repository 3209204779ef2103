"""A run of an ablation whose variants differ in settings, from the plan to the table, the bundle and the gate."""

import pytest

from bench.gate.expectations import deterministic
from bench.results.bundle import read, write
from bench.results.loading import load_results
from bench.results.signature import Signature
from bench.results.store import Store
from bench.spec.ablation import load
from bench.sweep.driver import run
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.exporting import add_bundle, bundle_of
from bench.sweep.noop import NoEffect, alike
from bench.sweep.plan import plan

PLUGIN = """
import torch
from bench.registry import architecture, metric

@architecture(task="segmentation", source="nobody")
def dot(*, classes: int = 2) -> torch.nn.Module:
    \"\"\"One convolution.\"\"\"
    return torch.nn.Conv2d(3, classes, 1)

@metric(unit="", better=None, kind="static")
def pixels(subject):
    \"\"\"Pixels of the input.\"\"\"
    return subject.shape[1] * subject.shape[2]

@metric(unit="", better=None, kind="speed")
def examples(subject):
    \"\"\"Examples of a batch.\"\"\"
    return [float(subject.batch)] * 3
"""
TEXT = """question: Does it work?
architecture: dot
vary: {train.steps: [2], workload.batch: [4], dataset.train_count: [8]}
grid: {workload.shape: [[3, 16, 16]]}
metrics: [pixels, examples, miou]
workload: {dataset: {name: boundaries, train_count: 4, val_count: 4}, shape: [3, 8, 8]}
train: {steps: 1, batch: 2, mode: fp32}
"""


def asked(folder, text=TEXT):
    (folder / "dots.py").write_text(PLUGIN)
    (folder / "asked.yaml").write_text(text)
    return load(folder / "asked.yaml", plugins=[str(folder / "dots.py")])


def measured(ablation, store):
    executor = LocalExecutor(1)
    try:
        return run(plan(ablation, store), store, executor)
    finally:
        executor.stop()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("settings")
    ablation = asked(folder)
    with Store(folder / "s.sqlite") as store:
        yield ablation, store, measured(ablation, store)


def results(ablation, store):
    return load_results(ablation, plan(ablation, store, reading=True).requests, store)


def numbers(ablation, store, metric):
    frame = results(ablation, store).frame
    rows = frame[(frame["metric"] == metric) & (frame["sample"] == 0)]
    return dict(zip(rows["variant"], rows["value"], strict=True))


def test_what_several_variants_have_in_common_is_measured_once(finished):
    ablation, store, outcome = finished
    made = plan(ablation, store)
    assert len(made.requests) == 5 * 3
    assert (outcome.measured, outcome.failed, outcome.left) == (2 + 3 + 4, 0, 0)
    assert (made.count("cached"), made.count("due")) == (9, 0)


def test_every_variant_has_its_own_numbers(finished):
    ablation, store, _ = finished
    names = [variant.name for variant in ablation.variants]
    assert [*numbers(ablation, store, "pixels").values()] == [64, 64, 64, 64, 256]
    assert [*numbers(ablation, store, "examples").values()] == [1, 1, 4, 1, 1]
    scores = numbers(ablation, store, "miou")
    assert [*scores] == names
    assert scores[names[2]] == scores[names[0]]


def test_each_training_run_has_the_recipe_of_its_variant(finished):
    ablation, store, _ = finished
    evaluations = results(ablation, store).evaluations
    steps = [evaluations[variant.name, 0].facts["steps"] for variant in ablation.variants]
    assert steps == [1, 2, 1, 1, 1]


def test_a_bundle_has_a_row_for_each_variant_and_is_read_by_place(finished, tmp_path, monkeypatch):
    ablation, store, _ = finished
    bundle, missing = bundle_of(ablation, store, None)
    assert missing == 0
    assert len(bundle.records) == 15
    folder = write(bundle, tmp_path / "bundle")
    requests = plan(ablation, store, reading=True).requests
    bundled = load_results(ablation, requests, None, folder)
    frame = results(ablation, store).frame
    columns = ["variant", "train.steps", "workload.batch", "metric", "value", "batch", "shape"]
    key = ["variant", "metric", "sample"]
    assert bundled.frame.sort_values(key)[columns].values.tolist() == frame.sort_values(key)[columns].values.tolist()
    with Store(tmp_path / "other.sqlite") as other:
        assert add_bundle(read(folder), other) == (9, 0)
        assert plan(ablation, other).count("cached") == 9


def test_the_gate_expects_a_number_of_each_variant(finished):
    ablation, store, _ = finished
    rows = deterministic(plan(ablation, store).requests, store)
    assert [m.variant for m in rows] == list(ablation.variants)


def test_the_report_says_which_settings_differ(finished):
    ablation, store, _ = finished
    provenance = results(ablation, store).provenance
    assert provenance["recipe"]["steps"] == provenance["workload"]["batch"] == "differs by variant"
    assert provenance["dataset"]["train_count"] == "differs by variant"
    assert (provenance["recipe"]["batch"], provenance["dataset"]["val_count"]) == (2, 4)


def varying(axis, metrics):
    head, _, tail = TEXT.partition("vary")
    rest = tail.partition("workload: {dataset")[2]
    return f"{head}vary: {{{axis}}}\nmetrics: [{metrics}]\nworkload: {{dataset{rest}"


def test_a_setting_that_no_metric_depends_on_is_refused(tmp_path):
    ablation = asked(tmp_path, varying("train.steps: [2]", "pixels, examples"))
    expected = r"is the same network with train.steps=1 or 2 and no metric depends on it"
    with Store(tmp_path / "s.sqlite") as store:
        with pytest.raises(NoEffect, match=expected):
            measured(ablation, store)
        assert plan(ablation, store).count("due") == 2


@pytest.mark.parametrize(
    ("axis", "metrics", "same"),
    [
        ("train.steps: [2]", "pixels, examples", True),
        ("train.steps: [2]", "pixels, miou", False),
        ("dataset.train_count: [8]", "examples", True),
        ("dataset.train_count: [8]", "miou", False),
        ("workload.batch: [4]", "pixels, miou", True),
        ("workload.batch: [4]", "examples", False),
        ("workload.shape: [[3, 16, 16]]", "pixels", False),
    ],
)
def test_one_network_counts_as_two_where_a_metric_depends_on_the_setting(tmp_path, axis, metrics, same):
    ablation = asked(tmp_path, varying(axis, metrics))
    signatures = {variant: Signature("k", graph="g", values="v") for variant in ablation.variants}
    assert alike(signatures, ablation.effective_settings) == ([[*ablation.variants]] if same else [])
