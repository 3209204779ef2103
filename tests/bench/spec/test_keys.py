"""Keys of an ablation file: old names, labels, the main metric, answers, and the limits of size."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from bench.spec import measured, schema
from bench.spec.ablation import AblationError, load, names
from bench.spec.recipe import Recipe
from bench.spec.schema import OLD_KEYS

ROOT = Path(__file__).parents[3]
FCN = "question: q\narchitecture: fcn\nbaseline: {stride: 32, skips: false}\nmetrics: [params, macs]\n"
GRID = FCN + "grid: {stride: [16, 8], skips: [false, true]}\n"
OTHERS = "compare_with: [{label: U-Net, architecture: unet, axes: {width: 0.25}}, {architecture: pspnet}]\n"


@pytest.fixture
def loaded(write):
    return lambda text, *overrides: load(write(text), overrides)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "ablations").glob("*.yaml")))
def test_a_committed_ablation_loads_and_uses_the_new_keys(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    ablation = load(name)
    assert not [line for line in Path(ablation.path).read_text().splitlines() if line.partition(":")[0] in OLD_KEYS]
    assert ablation.labels.keys() == {variant.name for variant in ablation.variants}
    assert ablation.main in {metric.name for metric in ablation.metrics}
    assert {name for pair in ablation.answers for name in pair} <= ablation.labels.keys()
    assert ablation.answers


def test_the_reference_ablation_has_the_labels_of_its_paper(monkeypatch):
    monkeypatch.chdir(ROOT)
    ablation = load("fcn_skips")
    labels = {(v.values["stride"], v.values["skips"]): ablation.labels[v.name] for v in ablation.variants}
    assert labels[32, False] == "FCN-32s"
    assert labels[16, True] == "FCN-16s"
    assert labels[8, True] == "FCN-8s"
    fcn8s = next(name for name, label in ablation.labels.items() if label == "FCN-8s")
    assert (fcn8s, ablation.baseline.name) in ablation.answers
    assert ablation.main == "miou"


@pytest.mark.parametrize("old", OLD_KEYS)
def test_a_file_with_an_old_key_loads_like_one_with_the_new_key(loaded, old):
    new = loaded(FCN + OTHERS)
    before = loaded(FCN + OTHERS.replace(OLD_KEYS[old], old))
    assert [v.name for v in before.variants] == ["fcn(stride=32,skips=false)", "unet(width=0.25)", "pspnet"]
    assert (before.variants, before.labels, before.varied) == (new.variants, new.labels, new.varied)


@pytest.mark.parametrize("old", OLD_KEYS)
def test_an_old_key_has_its_own_position_in_errors_and_its_override(loaded, old):
    with pytest.raises(AblationError, match=r":5:\d+: no architecture is called 'unett'"):
        loaded(FCN + f"{old}: [{{architecture: unett}}]\n")
    assert len(loaded(FCN, f"{old}=[{{architecture: unet}}]").variants) == 2
    with pytest.raises(AblationError, match=rf":6:1: '{old}' is the old name of '{OLD_KEYS[old]}'; use one of the two"):
        loaded(FCN + OTHERS + f"{old}: []\n")


def test_labels_are_by_the_names_of_variants(loaded):
    ablation = loaded(GRID + OTHERS + 'labels: {baseline: FCN-32s, "skips=true,stride=8": FCN-8s, pspnet: PSPNet}\n')
    assert ablation.labels == {
        "unet(width=0.25)": "U-Net",
        "fcn(stride=32,skips=false)": "FCN-32s",
        "fcn(stride=8,skips=true)": "FCN-8s",
        "pspnet": "PSPNet",
    }
    assert loaded(FCN).labels == {}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ('{"strid=8": x}', r":7:\d+: 'fcn' has no axis 'strid', did you mean 'stride'\?"),
        ('{"stride=4": x}', r":7:\d+: no variant here has stride=4 \(there is: 32, 16, 8\)"),
        ('{"stride": x}', r":7:\d+: no variant here is of architecture 'stride'"),
        ('{"stride=8,stride=16": x}', r"name each axis once"),
        ('{"skips=true": x}', r"fits 2 variants; name more of their axes"),
        ('{baseline: x, "stride=32": y}', r"'fcn\(stride=32,skips=false\)' has two labels"),
        ('{unet: x}', r"'unet\(width=0.25\)' has two labels"),
        ('{baseline: x, "stride=16,skips=true": x}', r"two variants have the label 'x'"),
        ('{baseline: U-Net}', r"two variants have the label 'U-Net'"),
        ("{baseline: 3}", r"'labels\.baseline': input should be a valid string, not 3"),
        ("{baseline: ''}", r"'labels\.baseline'"),
    ],
)  # fmt: skip
def test_a_label_of_no_variant_is_refused_with_its_line(loaded, labels, message):
    with pytest.raises(AblationError, match=message):
        loaded(GRID + OTHERS + f"labels: {labels}\n")


def test_an_excluded_variant_has_no_label(loaded):
    excluded = "exclude: [{when: {stride: 8, skips: true}, because: it is slow}]\n"
    with pytest.raises(AblationError, match="is excluded, because it is slow"):
        loaded(GRID + excluded + 'labels: {"stride=8,skips=true": FCN-8s}\n')


def test_the_main_metric_is_one_of_the_metrics(loaded):
    assert loaded(FCN + "main: macs\n").main == "macs"
    assert loaded(FCN).main == ""
    with pytest.raises(AblationError, match=r":5:1: 'main' is one of the metrics, not 'mac', did you mean 'macs'\?"):
        loaded(FCN + "main: mac\n")


def test_answers_are_pairs_of_names_in_order(loaded):
    text = GRID + OTHERS + "answers:\n"
    text += '  - {compare: "stride=8,skips=true", with: "stride=8,skips=false"}\n  - {compare: unet, with: baseline}\n'
    assert loaded(text).answers == (
        ("fcn(stride=8,skips=true)", "fcn(stride=8,skips=false)"),
        ("unet(width=0.25)", "fcn(stride=32,skips=false)"),
    )
    assert loaded(FCN).answers == ()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ('{compare: "stride=4", with: baseline}', r":6:\d+: no variant here has stride=4"),
        ('{compare: baseline, with: "strid=8"}', r":6:\d+: 'fcn' has no axis 'strid'"),
        ('{compare: baseline, with: "stride=32"}', r":6:\d+: compares 'fcn\(stride=32,skips=false\)' with itself"),
        ("{compare: baseline}", r"key 'answers\.0\.with' is missing"),
        ("{compare: baseline, wiht: baseline}", r"there is no key 'wiht', did you mean 'with'\?"),
        ("{compare: baseline, reference: baseline}", r"there is no key 'reference'"),
    ],
)
def test_an_answer_of_no_contrast_is_refused_with_its_line(loaded, answer, message):
    with pytest.raises(AblationError, match=message):
        loaded(GRID + f"answers: [{answer}]\n")


def test_overrides_may_remove_what_labels_answers_and_main_name(loaded):
    text = GRID + 'labels: {baseline: FCN-32s, "stride=8,skips=true": FCN-8s}\nmain: macs\n'
    text += 'answers: [{compare: "stride=8,skips=true", with: baseline}, {compare: "stride=16,skips=true", with: baseline}]\n'
    ablation = loaded(text, "grid.stride=[16]", "metrics=[params]")
    assert ablation.labels == {"fcn(stride=32,skips=false)": "FCN-32s"}
    assert ablation.answers == (("fcn(stride=16,skips=true)", "fcn(stride=32,skips=false)"),)
    assert ablation.main == ""


def test_the_keys_of_each_section_are_suggested_by_their_names_in_the_file(loaded):
    assert set(schema._keys(("answers",))) == {"compare", "with"}
    with pytest.raises(AblationError, match=r"there is no key 'lables', did you mean 'labels'\?"):
        loaded(FCN + "lables: {}\n")
    with pytest.raises(AblationError, match=r"there is no key 'lable', did you mean 'label'\?"):
        loaded(FCN + "compare_with: [{architecture: unet, lable: x}]\n")


def test_text_over_several_lines_becomes_one_line(loaded):
    text = FCN.replace("question: q", "question: |\n  Does it\n  help?") + 'claims: [{says: "params >\\n 1"}]\n'
    ablation = loaded(text)
    assert ablation.question == "Does it help?"
    assert ablation.claims[0].says == "params > 1"


# --- limits

MANY = "question: q\narchitecture: trivial\nmetrics: [twice, slow]\n"


def grid(**sizes: int) -> str:
    return "grid: {" + ", ".join(f"{axis}: {list(range(size))}" for axis, size in sizes.items()) + "}\n"


def test_more_variants_than_the_limit_are_refused_before_they_are_made(load):
    sizes = "sizes: [" + ", ".join(f"[{n}]" for n in range(200)) + "]"
    text = MANY + grid(a=200)[:-2] + ", " + sizes + ", b: [" + ", ".join(f"{n}.5" for n in range(1, 100)) + "]}\n"
    with pytest.raises(AblationError, match=r":4:1: 3,960,001 combinations; an ablation has at most 10,000"):
        load(text)
    assert len(load(MANY + grid(a=9_000)).variants) == 9_000


def test_seeds_times_variants_has_a_limit(monkeypatch, loaded):
    text = "question: q\narchitecture: fcn\nvary: {stride: [32, 16, 8]}\nmetrics: [params, miou]\nseeds: 5\n"
    monkeypatch.setattr(measured, "MAX_TRAINING_RUNS", 15)
    assert len(loaded(text).seeds) == 5
    monkeypatch.setattr(measured, "MAX_TRAINING_RUNS", 14)
    with pytest.raises(AblationError, match=r":5:1: 3 variants x 5 seeds are 15 training runs; at most 14 are planned"):
        loaded(text)
    assert loaded(text, "metrics=[params]").variants, "without training, seeds cost nothing"


def test_the_number_of_measurements_has_a_limit(monkeypatch, loaded):
    text = "question: q\narchitecture: fcn\nvary: {stride: [32, 16, 8]}\nmetrics: [params, macs, miou]\nseeds: 5\n"
    monkeypatch.setattr(measured, "MAX_MEASUREMENTS", 3 * 2 + 3 * 5)
    assert loaded(text).variants
    monkeypatch.setattr(measured, "MAX_MEASUREMENTS", 3 * 2 + 3 * 5 - 1)
    with pytest.raises(
        AblationError, match=r":4:1: 3 variants x 5 seeds with 3 metrics are 21 measurements; at most 20"
    ):
        loaded(text)


def test_the_limits_stop_what_takes_minutes_to_plan(load):
    """500 variants x 1,000 seeds took 71 s and 1.7 GB to plan."""
    text = "question: q\narchitecture: fcn\nmetrics: [miou]\nseeds: 1000\nvary: {width: ["
    text += ", ".join(f"{0.1 + n / 1000:.3f}" for n in range(499)) + "]}\n"
    with pytest.raises(AblationError, match=r"500 variants x 1,000 seeds are 500,000 training runs; at most 100,000"):
        load(text)


# --- numbers that are not finite

RATES = ("lr", "weight_decay", "clip", "momentum", "warmup", "average", "balance")


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan", "1e999"])
def test_a_rate_that_is_not_finite_is_refused(loaded, rate, value):
    with pytest.raises(AblationError, match=rf":5:9: 'train\.{rate}'"):
        loaded(FCN + f"train: {{{rate}: {value}}}\n")


def test_every_number_of_the_recipe_is_among_these_rates_or_whole():
    floats = {name for name, field in Recipe.model_fields.items() if field.annotation is float}
    assert floats == set(RATES)


@pytest.mark.parametrize("text", ["timeout: .inf", "timeout: .nan", "baseline: {width: .inf}", "vary: {width: [.nan]}"])
def test_no_other_number_of_a_file_is_infinite_either(loaded, text):
    with pytest.raises(AblationError, match=r"width|timeout"):
        loaded(
            "\n".join(line for line in FCN.splitlines() if line.partition(":")[0] != text.partition(":")[0])
            + f"\n{text}\n"
        )


def test_all_sections_refuse_unknown_keys():
    for model in schema._MODELS.values():
        assert issubclass(model, BaseModel)
        assert model.model_config["extra"] == "forbid"
        assert model.model_config["allow_inf_nan"] is False


def test_names_lists_the_folder(tmp_path, monkeypatch):
    (tmp_path / "ablations").mkdir()
    (tmp_path / "ablations" / "b.yaml").write_text(FCN)
    (tmp_path / "ablations" / "a.yaml").write_text(FCN)
    monkeypatch.chdir(tmp_path)
    assert names() == ["a", "b"]
