"""Accuracy measurements end to end on an embedded synthetic dataset: trained once, read often, divergence an error row."""

import pytest

from bench.results.frame import load
from bench.spec import ablation as ablations
from bench.sweep import driver as sweep
from bench.sweep import plan as planning
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.reading import read_results
from bench.sweep.settings import Options

TEXT = """
question: Does training work?
architecture: fcn
baseline: {stride: 32, width: 0.05, fc_channels: 16, norm: batch, padding: same, dropout: 0.0}
vary: {stride: [8]}
metrics: [miou, pixel_accuracy]
workload: {dataset: {name: boundaries, train_count: 16, val_count: 8}, shape: [3, 64, 64]}
train: {steps: 3, batch: 4, mode: fp32}
"""


@pytest.fixture
def train(store, write):
    def train(text=TEXT, *overrides, rerun=()):
        ablation = ablations.load(write(text), overrides)
        executor = LocalExecutor(2, ["bench.training.loop", "architectures.fcn"])
        try:
            plan = planning.plan(ablation, store, rerun=rerun)
            return plan, sweep.run(plan, store, executor, Options(workers=2, replace=bool(rerun)))
        finally:
            executor.stop()

    return train


def test_one_training_serves_all_metrics_of_a_variant_and_seed_also_later_ones(train, store):
    _, summary = train()
    assert (summary.measured, summary.failed) == (4, 0)
    frame = load(store.path)
    assert frame["value"].between(0, 1).all()
    assert set(frame["mode"]) == {"fp32"}
    before = len(store.evaluated())
    _, later = train(TEXT.replace("pixel_accuracy]", "pixel_accuracy, boundary_iou]"))
    assert later.measured == 2
    assert len(store.evaluated()) == before == 2


def test_the_same_seed_gives_the_same_score_and_another_seed_another(train, store):
    train(TEXT, "seeds=[0]")
    first = scores(store)
    with store.database.transaction() as connection:
        connection.execute("DELETE FROM measurement")
        connection.execute("DELETE FROM evaluation")
    train(TEXT, "seeds=[0]")
    assert first.equals(scores(store))
    train(TEXT, "seeds=[1]")
    assert not first.equals(scores(store, seed=1))


def scores(store, seed=0):
    frame = load(store.path)
    return frame[frame["seed"] == seed].set_index(["variant", "metric"])["value"].sort_index()


def test_a_training_that_diverges_is_an_error_row_for_each_of_its_metrics(train, store):
    _, summary = train(
        TEXT.replace("vary: {stride: [8]}\n", ""), "train.lr=1e30", "train.steps=12", "train.optimizer=sgd"
    )
    assert summary.failed == 2
    assert all(error.startswith("diverged: ") for error in load(store.path)["error"])


def test_what_was_trained_can_be_read_for_a_report(train, store):
    plan, _ = train()
    results = read_results(plan.ablation, store)
    assert len(results.frame) == 4
    assert len(results.evaluations) == 2
    assert {signature.field for signature in results.signatures.values()} == {404}
    assert {key: len(values) for key, values in results.contributions.items()} == {
        (variant, metric, 0): 3 for variant in results.variants for metric in ("miou", "pixel_accuracy")
    }
    assert all(e.curves["loss"].shape == (3,) for e in results.evaluations.values())
    assert all("miou@8" in e.facts["optimum"] for e in results.evaluations.values())
