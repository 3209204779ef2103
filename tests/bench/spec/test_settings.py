"""Settings (`train.lr`, `workload.batch`, `dataset.noise`) as axes of an ablation."""

import pytest

from bench.registry.catalogue import declarations
from bench.spec.ablation import AblationError, load
from bench.spec.references import find_variant
from bench.spec.settings import with_effect

TEXT = """question: Does it work?
architecture: fcn
baseline: {{width: 0.125, fc_channels: 64{baseline}}}
{axes}
metrics: [{metrics}]
workload: {{dataset: {{name: boundaries, val_count: 32}}, shape: [3, 32, 32]{workload}}}
train: {{steps: 5}}
"""


@pytest.fixture
def ablation(tmp_path):
    def loaded(axes, baseline="", metrics="params, miou", workload="", overrides=()):
        file = tmp_path / "asked.yaml"
        file.write_text(TEXT.format(axes=axes, baseline=baseline, metrics=metrics, workload=workload))
        return load(file, overrides)

    return loaded


def settings(ablation):
    return [tuple(variant.settings.values()) for variant in ablation.variants]


def test_each_section_of_axes_takes_settings(ablation):
    assert settings(ablation("vary: {train.lr: [0.1, 1], dataset.widest: [8]}")) == [
        (0.003, 16), (0.1, 16), (1.0, 16), (0.003, 8)
    ]  # fmt: skip
    assert settings(ablation("grid: {stride: [8], train.lr: [0.1, 0.2]}")) == [(0.003,), (0.1,), (0.2,)]
    zipped = ablation("zip: {train.optimizer: [sgd, adamw], train.lr: [0.1, 0.01]}")
    assert settings(zipped) == [("adamw", 0.003), ("sgd", 0.1), ("adamw", 0.01)]
    excluded = ablation("vary: {train.lr: [0.1, 0.2]}\nexclude: [{when: {train.lr: 0.2}, because: why}]")
    assert settings(excluded) == [(0.003,), (0.1,)]
    assert len(excluded.excluded) == 1


def test_names_and_labels_show_settings_and_the_builder_does_not_get_them(ablation):
    one = ablation('vary: {train.lr: [0.1], workload.shape: [[3, 64, 64]]}\nlabels: {"train.lr=1e-1": high}')
    assert one.varied == ("train.lr", "workload.shape")
    assert [v.name.partition("classes=2,")[2] for v in one.variants] == [
        "train.lr=0.003,workload.shape=[3,32,32])",
        "train.lr=0.1,workload.shape=[3,32,32])",
        "train.lr=0.003,workload.shape=[3,64,64])",
    ]
    assert one.labels == {one.variants[1].name: "high"}
    assert not any("." in axis for axis in one.variants[1].values)


def test_each_variant_has_its_own_recipe_workload_and_data(ablation):
    one = ablation("vary: {train.lr: [1], workload.batch: [4], dataset.widest: [8]}")
    recipes = [one.recipe_of(variant) for variant in one.variants]
    assert [(recipe.lr, recipe.steps) for recipe in recipes] == [(0.003, 5), (1.0, 5), (0.003, 5), (0.003, 5)]
    works = [one.workload_of(variant) for variant in one.variants]
    assert [work.batch for work in works] == [1, 1, 4, 1]
    assert [dict(work.dataset_axes)["widest"] for work in works] == [16, 16, 16, 8]
    assert one.workloads == (works[0], works[2], works[3])


def test_a_setting_of_the_baseline_holds_for_all_variants(ablation):
    others = "compare_with: [{architecture: unet, axes: {width: 0.25}}, {architecture: unet, axes: {train.lr: 0.2}}]"
    one = ablation(others, baseline=", train.lr: 0.5, dataset.widest: 8")
    assert one.recipe.lr == 0.5
    assert dict(one.workload.dataset_axes)["widest"] == 8
    assert settings(one) == [(0.5, 8), (0.5, 8), (0.2, 8)]
    assert one.variants[1].name == "unet(width=0.25,classes=2)"


def test_overrides_reach_settings(ablation):
    one = ablation("vary: {stride: [16]}", overrides=["vary.train.lr=[0.5]", "train.steps=9", "baseline.train.clip=1"])
    assert settings(one) == [(0.003, 1.0), (0.003, 1.0), (0.5, 1.0)]
    assert one.recipe.steps == 9


def test_claims_and_answers_name_settings(ablation):
    said = "claims: [{says: 'miou[train.lr=1e-1] > miou[train.lr=0.003]'}]\nanswers: [{compare: train.lr=0.1, with: baseline}]"
    one = ablation(f"vary: {{train.lr: [0.1]}}\n{said}")
    names = [variant.name for variant in one.variants]
    (comparison,) = one.claims[0].comparisons
    assert [reference.variant for reference in comparison.weights()] == [names[1], names[0]]
    assert one.answers == ((names[1], names[0]),)
    assert find_variant("train.lr=0.1", one.scope) is one.variants[1]


def test_each_variant_may_have_its_own_dataset(ablation):
    one = ablation("vary: {workload.dataset: [context, scales]}", baseline=", dataset.train_count: 64")
    works = [one.workload_of(variant) for variant in one.variants]
    assert [work.dataset for work in works] == ["boundaries", "context", "scales"]
    axes = [dict(work.dataset_axes) for work in works]
    assert [each["train_count"] for each in axes] == [64, 64, 64], "the baseline's options hold for all"
    defaults = [declarations(()).datasets.get(work.dataset).resolve({})["val_count"] for work in works[1:]]
    assert [each["val_count"] for each in axes] == [32, *defaults], "those of workload.dataset are its own"
    needed = [declarations(()).datasets.get(work.dataset).requires["classes"] for work in works]
    assert [variant.values["classes"] for variant in one.variants] == needed
    assert len({*needed}) > 1
    assert one.variants[1].name.endswith("workload.dataset=context,dataset.train_count=64)")
    assert with_effect({"workload.dataset": "context"}, {"static", "speed"}) == {}


def test_a_fraction_of_the_training_split_is_an_option_of_any_dataset(ablation):
    one = ablation("vary: {dataset.fraction: [0.25]}")
    assert [variant.settings["dataset.fraction"] for variant in one.variants] == [1.0, 0.25]
    works = [dict(one.workload_of(variant).dataset_axes) for variant in one.variants]
    assert [work.get("fraction") for work in works] == [None, 0.25], "the whole is the same as no fraction"
    stated = ablation("vary: {dataset.fraction: [1]}", overrides=["workload.dataset.fraction=0.5"])
    assert [dict(stated.workload_of(v).dataset_axes).get("fraction") for v in stated.variants] == [0.5, None]


def test_the_network_has_what_the_data_of_its_variant_require(tmp_path):
    file = tmp_path / "levels.yaml"
    text = "question: q?\narchitecture: pixelcnn\nmetrics: [bits_per_dim]\nworkload: {dataset: sprites, shape: [1, 16, 16]}\n"
    file.write_text(text + "vary: {dataset.levels: [4, 8]}\n")
    one = load(file)
    assert [(v.values["levels"], v.settings["dataset.levels"]) for v in one.variants][1:] == [(4, 4), (8, 8)]


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        ("vary: {train.lrr: [1]}", "4:8: there is no setting 'train.lrr', did you mean 'train.lr'?"),
        ("vary: {lr: [1]}", "4:8: 'fcn' has no axis 'lr', did you mean 'train.lr'?"),
        ("vary: {trian.lr: [1]}", "4:8: 'fcn' has no axis 'trian.lr', did you mean 'train.lr'?"),
        ("vary: {train.lr: [a]}", "4:19: 'train.lr': input should be a valid number, not a"),
        ("vary: {train.lr: [0.1, -1]}", "4:24: 'train.lr': input should be greater than 0, not -1"),
        ("vary: {train.optimizer: [adam]}", "4:26: 'train.optimizer': input should be 'adamw' or 'sgd', not adam"),
        ("vary: {dataset.narowest: [2]}", "4:8: there is no setting 'dataset.narowest', did you mean 'dataset.narrowest'?"),
        ("vary: {dataset.narrowest: [0]}", "4:28: axis 'dataset.narrowest' takes int, 1 to 256, not 0"),
        ("vary: {workload.dataset: [contexts]}", "4:27: axis 'workload.dataset' takes boundaries"),
        ("vary: {workload.dataset: [stickman]}", "4:27: axis 'workload.dataset' takes boundaries"),
        ("vary: {workload.dataset: [context], dataset.widest: [8]}", "4:8: 'context' has no axis 'widest'"),
        ("vary: {dataset.fraction: [0]}", "4:27: axis 'dataset.fraction' takes float, 1e-06 to 1, not 0"),
        ("vary: {workload.shape: [[3, 32]]}", "4:8: 'workload.shape' is channels, height, width where there is a dataset"),
        ("vary: {workload.shape: [[3, 0, 32]]}", "4:25: 'workload.shape' needs positive sizes, not [3,0,32]"),
        ("vary: {workload.graph: [true]}", "4:8: graph: CUDA graphs need a CUDA device, not 'cpu'"),
        ("vary: {train.lr: [0.1, 1e-1]}", "4:8: 'vary.train.lr' lists a value twice"),
        ("exclude: [{when: {train.lr: 1}, because: x}]", "4:11: excludes nothing: no variant is like that"),
        ("vary: {train.lr: [1]}\nclaims: [{says: 'miou[train.lr=2] > miou'}]", "5:11: claim: no variant here has train.lr=2"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_refused_with_its_place_and_what_would_work(ablation, axes, expected):
    with pytest.raises(AblationError) as refused:
        ablation(axes)
    place, _, text = str(refused.value).partition("asked.yaml:")
    assert place
    assert text.startswith(expected)
    assert "\n" not in text


def test_a_setting_that_is_stated_twice_is_refused(ablation):
    with pytest.raises(AblationError, match=r"'train.steps' is stated in 'baseline' and in its own section"):
        ablation("vary: {stride: [8]}", baseline=", train.steps: 9")


def test_no_dataset_has_no_options(ablation, tmp_path):
    file = tmp_path / "static.yaml"
    file.write_text("question: q?\narchitecture: fcn\nmetrics: [params]\nvary: {dataset.noise: [1]}\n")
    with pytest.raises(AblationError, match=r"no setting 'dataset.noise': no dataset is used; name one in workload"):
        load(file)


def test_a_batch_of_the_workload_that_training_does_not_use_is_remarked(ablation):
    assert ablation("vary: {stride: [8]}").remarks == ()
    (remark,) = ablation("vary: {stride: [8]}", workload=", batch: 4").remarks
    assert remark == (
        "'workload.batch' (4) is the batch of speed metrics only; training runs have batches of 8, which train.batch sets"
    )
    assert ablation("vary: {stride: [8]}", workload=", batch: 4", overrides=["train.batch=2"]).remarks == ()
    assert ablation("vary: {stride: [8]}", workload=", batch: 4", metrics="params").remarks == ()
    assert ablation("vary: {workload.batch: [2]}").remarks[0].startswith("'workload.batch' (an axis)")


@pytest.mark.parametrize(
    ("kinds", "names"),
    [
        ({"static"}, ["workload.shape"]),
        ({"speed"}, ["workload.shape", "workload.batch", "workload.dtype"]),
        ({"accuracy"}, ["train.lr", "workload.shape", "workload.dtype", "dataset.noise"]),
    ],
)
def test_a_setting_has_an_effect_on_the_metrics_whose_keys_it_is_part_of(kinds, names):
    every = {"train.lr": 1, "workload.shape": 2, "workload.batch": 3, "workload.dtype": 4, "dataset.noise": 5}
    assert list(with_effect(every, kinds)) == names
