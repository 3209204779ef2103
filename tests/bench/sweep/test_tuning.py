"""A run of an ablation with a search over the recipe, from the plan to the table, the page and the bundle."""

import json
from dataclasses import replace

import pytest

from bench.report.page import page_of
from bench.report.table import table
from bench.results.bundle import read, write
from bench.results.store import Store
from bench.results.tuned import chosen_of, tuned_of, tuning_of
from bench.spec.ablation import load
from bench.sweep.exporting import add_bundle, bundle_of
from bench.sweep.forecast import forecast_of
from bench.sweep.plan import plan
from bench.sweep.reading import read_results
from bench.sweep.running import Job, run_all

PLUGIN = """
import torch
from bench.data.examples import Examples
from bench.registry import architecture, dataset

@architecture(task="segmentation", source="nobody")
def dot(*, classes: int = 2, kernel: int = 1) -> torch.nn.Module:
    \"\"\"One convolution.\"\"\"
    return torch.nn.Conv2d(3, classes, kernel, padding=kernel // 2)

@dataset(task="segmentation", licence="none", source="nobody", splits=("train", "val"), embedded=True,
         requires={"classes": 2})
def halves(root, split, shape, *, log: str = ""):
    \"\"\"The right half is bright, and of class 1. Writes to the file `log` which split was read.\"\"\"
    with open(log, "a") as file:
        print(split, file=file)
    labels = torch.zeros(8, *shape[1:], dtype=torch.uint8)
    labels[..., shape[2] // 2:] = 1
    noise = torch.randint(0, 40, (8, *shape), generator=torch.Generator().manual_seed(0)).byte()
    images = noise + 100 * labels[:, None]
    return Examples(images, {"labels": labels}, ("left", "right"), None, ((0, 0, 0), (9, 9, 9)))
"""
TEXT = """question: Does it work?
architecture: dot
vary: {{kernel: [3]}}
metrics: [params, miou]
main: miou
workload: {{dataset: {{name: halves, log: {log}}}, shape: [3, 8, 8]}}
train: {{steps: 4, batch: 2, mode: fp32, optimizer: sgd, lr: 0.1}}
tune: {{over: {{train.lr: [1e-9, 0.1, 1e38]}}, on: 0.25, steps: 3}}
claims:
  - {{says: "miou[kernel=3] > miou", source: nobody}}
"""


def asked(folder, **changes):
    (folder / "dots.py").write_text(PLUGIN)
    (folder / "log").touch()
    (folder / "asked.yaml").write_text(TEXT.format(log=folder / "log"))
    overrides = [f"{name}={value}" for name, value in changes.items()]
    return load(folder / "asked.yaml", overrides, plugins=[str(folder / "dots.py")])


def measured(ablation, store, **how):
    return run_all(Job([ablation], store, None, workers=1, verbosity=-1, **how), lambda p: None, lambda p: None)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuning")
    ablation = asked(folder)
    with Store(folder / "s.sqlite") as store:
        before = plan(ablation, store)
        failed = measured(ablation, store)
        yield ablation, store, before, failed, folder


def counts(planned):
    return {status: planned.count(status) for status in ("due", "waits", "cached", "failed")}


def test_before_the_search_the_reported_runs_wait(finished):
    _, _, before, _, _ = finished
    assert counts(before.search) == {"due": 6, "waits": 0, "cached": 0, "failed": 0}
    assert counts(before) == {"due": 2, "waits": 2, "cached": 0, "failed": 0}
    assert len({each.request.key for each in before.whole}) == 10


@pytest.mark.parametrize("over", ["{train.batch: [1, 2]}", "{train.steps: [2, 4]}"])
def test_a_search_over_what_a_training_costs_has_a_plan_and_a_forecast(finished, over):
    _, store, _, _, folder = finished
    changes = [f"tune.over={over}", "tune.steps=0.5"]
    waiting = plan(load(folder / "asked.yaml", changes, plugins=[str(folder / "dots.py")]), store)
    assert waiting.count("waits") == 2
    assert forecast_of(waiting.as_due(), store).text(1)


def test_a_search_run_that_diverges_loses_and_the_rest_is_measured(finished):
    ablation, store, _, failed, _ = finished
    made = plan(ablation, store)
    assert not failed
    assert counts(made.search) == {"due": 0, "waits": 0, "cached": 4, "failed": 2}
    assert counts(made) == {"due": 0, "waits": 0, "cached": 4, "failed": 0}
    errors = {each.error for each in made.search.planned if each.error}
    assert all(error.startswith("diverged") for error in errors)
    assert errors


def test_the_reported_runs_have_the_chosen_recipe_on_the_whole_split(finished):
    ablation, store, _, _, _ = finished
    made = plan(ablation, store)
    assert [dict(each) for each in made.ablation.chosen.values()] == [{"train.lr": 0.1}] * 2
    reported = [each.request for each in made.planned if each.request.kind == "accuracy"]
    assert [request.parts["recipe"]["lr"] for request in reported] == [0.1, 0.1]
    assert not any("held_back" in request.parts for request in reported)
    searched = [each.request.parts for each in made.search.planned]
    assert {parts["held_back"]["fraction"] for parts in searched} == {0.25}
    assert {parts["recipe"]["steps"] for parts in searched} == {3}
    assert {*searched[0]["fingerprint"]} == {"train"}


def test_the_keys_have_the_chosen_values_and_not_the_search(finished):
    ablation, store, _, _, folder = finished
    tuned = {each.request.key for each in plan(ablation, store).planned}
    by_hand = {each.request.key for each in plan(asked(folder, tune="null"), store).planned}
    assert tuned == by_hand


def test_no_search_run_reads_the_validation_split(finished):
    *_, folder = finished
    splits = (folder / "log").read_text().split()
    assert splits == ["train"] * 6 + ["train", "val"] * 2


def test_an_interrupted_search_goes_on_where_it_was(finished, tmp_path):
    ablation, store, before, _, _ = finished
    with Store(tmp_path / "s.sqlite") as other:
        other.add_records(store.records(before.search.keys[:4]))
        made = plan(ablation, other)
        assert counts(made.search) == {"due": 2, "waits": 0, "cached": 3, "failed": 1}
        assert made.count("waits") == 1
        results = read_results(ablation, other)
    assert [results.tuning.text(variant, "train.lr") for variant in results.variants] == ["0.1", ""]
    assert "waits for the search: 1 of 3 search runs are made" in table(results, "md")


def test_where_every_recipe_failed_the_reported_runs_are_left_out(finished, tmp_path):
    ablation, store, before, _, _ = finished
    failed = [replace(r, measurement=replace(r.measurement, samples=(), error="diverged: at step 1: loss nan"))
              for r in store.records(before.search.keys)]  # fmt: skip
    with Store(tmp_path / "s.sqlite") as other:
        other.add_records(failed)
        assert measured(ablation, other)
        assert counts(plan(ablation, other)) == {"due": 0, "waits": 2, "cached": 2, "failed": 0}
        assert "each of those that the search tried has a failed run (3 of 3)" in table(
            read_results(ablation, other), "md"
        )


def test_the_table_says_what_each_variant_was_given_and_what_it_cost(finished):
    ablation, store, _, _, _ = finished
    results = read_results(ablation, store)
    text = table(results, "md")
    assert "| variant | kernel | train.lr |" in text
    assert "every variant tried the same 3 recipes (train.lr: 1e-09, 0.1, 1e+38), 3 steps" in text
    assert "the search took 6 training runs, 2 of them failed" in text
    rows = [json.loads(line) for line in table(results, "json").splitlines()]
    search = [row for row in rows if row["status"] == "search"]
    assert [(row["chosen"], row["runs"], row["failed"]) for row in search] == [({"train.lr": 0.1}, 3, 1)] * 2
    assert all(row["seconds"] > 0 for row in search)
    assert {row["axes"]["train.lr"] for row in rows if row["metric"] == "params"} == {"0.1"}
    assert "train.lr" in table(results, "csv").splitlines()[0]
    page = page_of(results)
    assert page.tuning.heads == ("variant", "train.lr", "mIoU, held back", "runs", "failed", "seconds")
    assert [row[1] for row in page.tuning.rows] == ["0.1", "0.1"]


def test_a_bundle_has_the_search_runs_and_is_read_without_the_store(finished, tmp_path):
    ablation, store, _, _, _ = finished
    bundle, missing = bundle_of(ablation, store, None)
    assert (missing, len(bundle.records)) == (0, 10)
    folder = write(bundle, tmp_path / "bundle")
    with Store(tmp_path / "empty.sqlite") as empty:
        bundled = read_results(ablation, empty, bundle=folder)
    local = read_results(ablation, store)
    assert table(bundled, "csv") == table(local, "csv")
    assert bundled.tuning == local.tuning
    with Store(tmp_path / "other.sqlite") as other:
        assert add_bundle(read(folder), other) == (10, 0)
        assert counts(plan(ablation, other)) == {"due": 0, "waits": 0, "cached": 4, "failed": 0}


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [([0.2, 0.4, 0.4], 0.1), ([0.5, None, 0.4], 1e-9), ([0.1, 0.2, 0.3], 1e38), ([None, None, None], None)],
)
def test_the_best_recipe_wins_and_of_equal_ones_the_first(finished, scores, chosen):
    ablation, store, before, _, _ = finished
    records = {r.measurement.key: r for r in store.records(before.search.keys)}
    made = []
    for request, score in zip(before.search.requests[:3], scores, strict=True):
        own = replace(records[request.key].measurement, variant=request.variant, error=None if score else "diverged")
        made.append(replace(records[request.key], measurement=replace(own, samples=(score,) if score else ())))
    tuned = tuned_of(ablation, made)
    first = tuned[ablation.baseline]
    assert (first.chosen.get("train.lr"), first.failed) == (chosen, scores.count(None))
    assert [*chosen_of(tuned)] == ([ablation.baseline] if chosen else [])


def test_a_metric_without_training_needs_no_search(finished, tmp_path):
    ablation = finished[0]
    with Store(tmp_path / "s.sqlite") as store:
        made = plan(ablation, store, only=["params"])
        assert made.search is None
        assert counts(made) == {"due": 2, "waits": 0, "cached": 0, "failed": 0}


def test_of_a_sample_the_table_names_the_values_that_were_tried(finished):
    _, _, _, _, folder = finished
    sampled = load(folder / "asked.yaml", ["tune.runs=2"], plugins=[str(folder / "dots.py")])
    tried = [dict(point)["train.lr"] for point in sampled.tune.points]
    assert len(tried) == 2
    assert [float(text) for text in tuning_of(sampled, {}).over["train.lr"]] == tried
