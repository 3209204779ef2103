"""Weights from the file to the table: kept by one run, scored and trained on by others, due when the file changes."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from bench.cli import main
from bench.registry import RegistryError
from bench.results.nearest import History
from bench.results.store import Store
from bench.results.weights import all_kept, keep, removable, weights_folder
from bench.spec.ablation import AblationError, load
from bench.sweep.driver import run
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.plan import plan
from bench.sweep.settings import Options

NET = "width: 0.05, fc_channels: 8, norm: batch, padding: same, dropout: 0.0"
TEXT = f"""question: Does it work?
architecture: fcn
baseline: {{stride: 32, {NET}}}
metrics: [miou, boundary_iou]
workload: {{dataset: {{name: boundaries, train_count: 8, val_count: 4}}, shape: [3, 32, 32]}}
"""
TRAINED = TEXT + "vary: {stride: [16]}\ntrain: {steps: 3, batch: 4, mode: fp32, average: 0.9}\n"
SCORED = TEXT + "train: none\n"


EXECUTORS = []


@pytest.fixture(scope="module", autouse=True)
def executor():
    """One for all runs: each start imports torch."""
    EXECUTORS.append(LocalExecutor(1, ["bench.training.loop", "architectures.fcn", "bench.tasks.segmentation"]))
    yield
    EXECUTORS.pop().stop()


def measured(path, store, text, **how):
    path.write_text(text)
    messages = []
    made = plan(load(path), store)
    outcome = run(made, store, EXECUTORS[0], Options(notify=messages.append, check_noop=False, **how))
    return made, outcome, [event.label for event in messages if hasattr(event, "label")]


@pytest.fixture
def bench(capsys):
    """Runs a command: (exit status, stdout, stderr)."""

    def bench(*arguments):
        status = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = int(ended.code or 0)
        return status, *capsys.readouterr()

    return bench


def scores(store, made):
    records = store.records(made.keys)
    assert not [record.measurement.error for record in records if record.measurement.error]
    return {r.measurement.metric: r.measurement.value for r in records}


def details(store, made):
    return [record.measurement.detail for record in store.records(made.keys)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(folder, store, plan, messages) of a run that kept its weights, which are averages."""
    folder = tmp_path_factory.mktemp("weights")
    with Store(folder / "results" / "store.sqlite") as store:
        made, outcome, messages = measured(folder / "steps.yaml", store, TRAINED, keep_weights=True)
        assert (outcome.measured, outcome.failed) == (4, 0)
        yield folder, store, made, messages


def test_kept_weights_are_named_by_their_content_and_listed(trained):
    folder, store, made, messages = trained
    kept = all_kept(weights_folder(store.path))
    assert [each.seed for each in kept] == [0, 0]
    assert {each.variant for each in kept} == {variant.name for variant in made.ablation.variants}
    assert {each.training_run for each in kept} == {request.training_run for request in made.requests}
    stated = {detail["kept_weights"]["digest"] for detail in details(store, made)}
    assert stated == {each.digest for each in kept}
    assert all(any(each.path in message for message in messages) for each in kept)
    assert not list(weights_folder(store.path).glob(".new-*"))
    assert "score.weight" in load_file(kept[0].path)


def test_evaluated_without_training_they_score_exactly_what_they_scored(trained):
    folder, store, made, _ = trained
    for variant, reference in ((made.ablation.variants[0], ""), (made.ablation.variants[1], "[stride=16]@seed=0")):
        own = [request.key for request in made.requests if request.variant == variant]
        expected = {r.measurement.metric: r.measurement.value for r in store.records(own)}
        stride = variant.values["stride"]
        text = SCORED.replace("stride: 32", f"stride: {stride}") + f'weights: "run:{folder}/steps.yaml{reference}"\n'
        again, outcome, _ = measured(folder / f"again{stride}.yaml", store, text)
        assert outcome.measured == 2
        assert scores(store, again) == expected
        assert {detail["seconds"] for detail in details(store, again)} == {0.0}


def test_weights_are_an_axis_and_their_content_decides_what_is_due(trained):
    folder, store, made, _ = trained
    kept = all_kept(weights_folder(store.path))
    first = next(each for each in kept if each.variant == made.ablation.baseline.name)
    tensors = load_file(first.path)
    torch.save({"state_dict": {f"module.{name}": t for name, t in tensors.items()}}, folder / "b.pt")
    zeros = {name: torch.zeros_like(t) for name, t in tensors.items()}
    save_file(zeros, folder / "a.safetensors", metadata={"mode": "channels_last"})
    text = SCORED + "vary: {weights: [b.pt]}\nweights: a.safetensors\nlabels: {'weights=b.pt': trained}\n"
    again, outcome, _ = measured(folder / "axis.yaml", store, text)
    assert (outcome.measured, outcome.failed) == (4, 0)
    assert {detail["mode"] for detail in details(store, again)} == {"channels_last", "fp32"}
    remarks = [detail["initial_weights"]["remarks"] for detail in details(store, again)]
    assert ["taken from the entry state_dict", f"removed prefix module. from {len(tensors)} names"] in remarks
    assert {p.status for p in plan(load(folder / "axis.yaml"), store).planned} == {"cached"}
    save_file({name: torch.ones_like(t) for name, t in tensors.items()}, folder / "a.safetensors")
    later = plan(load(folder / "axis.yaml"), store)
    assert [p.status for p in later.planned] == ["due", "due", "cached", "cached"]
    because = [line for line in History(store).differences(later.planned[0].request) if "train.weights" in line]
    assert len(because) == 1


def test_a_recipe_that_trains_nothing_is_no_part_of_the_key(trained):
    folder, store, _, _ = trained
    save_file(load_file(all_kept(weights_folder(store.path))[0].path), folder / "key.safetensors")
    keys = []
    for recipe in ("steps: none", "steps: none, lr: 1e-1, augment: false", "steps: none, mode: fp32", "steps: 5"):
        (folder / "key.yaml").write_text(TEXT + f"weights: key.safetensors\ntrain: {{{recipe}}}\n")
        keys.append(plan(load(folder / "key.yaml"), store).keys[0])
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    (folder / "moved.safetensors").write_bytes((folder / "key.safetensors").read_bytes())
    (folder / "key.yaml").write_text(SCORED + "weights: moved.safetensors\n")
    assert plan(load(folder / "key.yaml"), store).keys[0] == keys[0]


def test_training_goes_on_from_a_file_with_frozen_parts(trained):
    folder, store, made, _ = trained
    kept = next(e for e in all_kept(weights_folder(store.path)) if e.variant == made.ablation.baseline.name)
    text = (
        TEXT
        + f"weights: run:{kept.digest[:8]}\n"
        + "train: {steps: 2, batch: 4, mode: fp32, freeze: ['*'], lr: 1.0}\nvary: {train.freeze: [['*.bias']]}\n"
    )
    refused, outcome, _ = measured(folder / "frozen.yaml", store, text, keep_weights=True)
    errors = [record.measurement.error for record in store.records(refused.keys)]
    assert sum("freeze: * leave nothing to train; write train: none" in (error or "") for error in errors) == 2
    assert outcome.failed == 2
    before = load_file(kept.path)
    after = load_file(next(e for e in all_kept(weights_folder(store.path)) if e.ablation == "frozen").path)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    biases = {name for name in before if name.endswith(".bias")}
    assert "score.weight" in changed
    assert not biases & changed


def test_weights_that_do_not_fit_fail_with_the_names_and_the_way_out(trained):
    folder, store, _, _ = trained
    state = load_file(all_kept(weights_folder(store.path))[0].path)
    save_file({n: t.repeat(2, *[1] * (t.ndim - 1)) if n.startswith("score.") else t for n, t in state.items()},
              folder / "head.safetensors")  # fmt: skip
    made, outcome, _ = measured(folder / "head.yaml", store, SCORED + "weights: head.safetensors\n")
    error = store.records(made.keys)[0].measurement.error
    assert outcome.failed == 2
    assert "head.safetensors does not fit" in error
    assert 'skip: ["score.*"]' in error


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("weights: a.safetensors\ntrain: {steps: 2, weights: b.pt}\n", "are one key"),
        ("train: none\nweights: a.onnx\n", r"steps\.yaml:7:1.*ends with \.safetensors"),
        ("train: none\nweights: {file: a.pt, skp: [x]}\n", "did you mean 'skip'"),
        ("train: none\nvary: {weights: [a.onnx]}\n", r"steps\.yaml:7:\d+.*ends with \.safetensors"),
        ("train: nothing\n", "'train'"),
        ("compare_with: [{architecture: unet, train: 3}]\n", "'train' of an entry is none"),
        ("weigths: a.pt\n", "did you mean 'weights'"),
    ],
)
def test_faults_of_the_file_are_said_with_their_place(tmp_path, more, message):
    (tmp_path / "steps.yaml").write_text(TEXT + more)
    with pytest.raises(AblationError, match=message):
        load(tmp_path / "steps.yaml")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("none.pt", r"none\.pt: no such file; it is looked for in"),
        ("run:0123456789ab", "no run kept these"),
        ('"run:f.yaml[stride=9]"', "no variant here has stride=9"),
        ('"run:f.yaml@0"', "name the seed at the end, as @seed=0"),
    ],
)
def test_weights_that_are_not_there_are_said_before_any_work(tmp_path, monkeypatch, weights, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.yaml").write_text(SCORED + f"weights: {weights}\n".replace("f.yaml", "g.yaml"))
    (tmp_path / "g.yaml").write_text(SCORED)
    with Store(tmp_path / "s.sqlite") as store, pytest.raises(RegistryError, match=message):
        plan(load(tmp_path / "f.yaml"), store)


def test_entries_of_other_architectures_have_weights_of_their_own(tmp_path):
    entry = f"{{architecture: fcn, axes: {{stride: 8, {NET}}}, weights: u.pt, train: none, label: other}}"
    (tmp_path / "f.yaml").write_text(TEXT + f"compare_with: [{entry}]\ntrain: {{steps: 7}}\nseeds: 2\n")
    ablation = load(tmp_path / "f.yaml")
    recipes = [ablation.recipe_of(variant) for variant in ablation.variants]
    assert [(recipe.weights, recipe.steps) for recipe in recipes] == [(None, 7), ("u.pt", 0)]
    assert any("repeat one evaluation" in remark for remark in ablation.remarks)


def test_a_network_without_weights_and_training_is_remarked_on(tmp_path):
    (tmp_path / "f.yaml").write_text(SCORED)
    assert any("evaluated as the builder made it" in remark for remark in load(tmp_path / "f.yaml").remarks)


def test_a_table_needs_no_file_of_weights(trained):
    folder, store, _, _ = trained
    save_file(load_file(all_kept(weights_folder(store.path))[0].path), folder / "gone.safetensors")
    made, _, _ = measured(folder / "gone.yaml", store, SCORED + "weights: gone.safetensors\n")
    (folder / "gone.safetensors").unlink()
    assert plan(load(folder / "gone.yaml"), store, reading=True).keys == made.keys


def test_one_network_is_scored_by_one_command(trained, monkeypatch, bench):
    folder, store, made, _ = trained
    monkeypatch.chdir(folder)
    kept = next(e for e in all_kept(weights_folder(store.path)) if e.variant == made.ablation.baseline.name)
    own = [request.key for request in made.requests if request.variant == made.ablation.baseline]
    expected = {r.measurement.metric: r.measurement.value for r in store.records(own)}
    axes = ["stride=32", *(pair.replace(": ", "=") for pair in NET.split(", "))]
    dataset = "{name: boundaries, train_count: 8, val_count: 4}"
    options = ["--weights", f"run:{kept.digest[:6]}", "--dataset", dataset, "--shape", "3,32,32", "--store", store.path]
    status, output, errors = bench("measure", "fcn", *axes, *options, "--metrics", "miou", "--json")
    assert status == 0, errors
    rows = [json.loads(line) for line in output.splitlines()]
    assert [(row["metric"], row["value"]) for row in rows] == [("miou", expected["miou"])]
    assert rows[0]["detail"]["initial_weights"]["tensors"] > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dataset", "boundaries", "--metrics", "miou"], "add --weights FILE"),
        (["--weights", "no.pt", "--metrics", "miou"], "--weights no.pt: there are none"),
        (["--weights", "no.pt"], "--metrics"),
        (["--weights", "a.onnx", "--metrics", "miou"], "ends with .safetensors"),
    ],
)
def test_what_the_command_lacks_is_said(bench, options, message):
    status, _, errors = bench("measure", "fcn", *options)
    assert status == 2
    assert message in errors
    assert len(errors.splitlines()) == 1


def test_pruning_removes_what_no_training_run_stands_behind(tmp_path):
    folder = tmp_path / "weights"
    for number, training_run in enumerate(("gone", "there", "there")):
        file = tmp_path / "new.safetensors"
        save_file({"w": torch.full((1,), float(number))}, file)
        keep(folder, file, {"ablation": "a", "variant": f"v{number}", "seed": 0, "training_run": training_run})
    (folder / "half.safetensors").write_bytes(b"x")
    (folder / ".new-1@1.0").mkdir()
    names = {each.digest: each.variant for each in all_kept(folder)}

    def chosen(*options):
        return {names.get(path.stem, path.name) for path in removable(folder, {"there"}, *options)}

    assert {"v0", "half.safetensors", ".new-1@1.0"} < chosen((), False)
    assert len(chosen((), False)) == 4
    assert {"v0", "v1", "v2"} < chosen((), True)
    digest = next(digest for digest, variant in names.items() if variant == "v2")
    assert chosen((digest[:6],), False) == {"v2"}
    with pytest.raises(RegistryError, match="bench store info lists them"):
        chosen(("ffff" * 5,), False)


def test_the_commands_list_and_remove_kept_weights(tmp_path, bench):
    file = tmp_path / "new.safetensors"
    save_file({"w": torch.ones(1)}, file)
    kept = keep(tmp_path / "weights", file, {"ablation": "a", "variant": "v", "seed": 3, "training_run": "gone"})
    store = ["--store", tmp_path / "store.sqlite"]
    assert json.loads(bench("store", "info", "--json", *store)[1].splitlines()[-1])["digest"] == kept.digest
    assert "a: v seed 3" in bench("store", "info", *store)[1]
    assert f"would remove {kept.path}" in bench("store", "prune", "--dry-run", *store)[1]
    assert all_kept(tmp_path / "weights")
    assert f"removed {kept.path}" in bench("store", "prune", *store)[1]
    assert not list((tmp_path / "weights").iterdir())
