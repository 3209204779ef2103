"""A file that extends another one: its keys, and where errors say that they stand."""

import pytest

from bench.spec import ablation as module
from bench.spec.schema import AblationError

BASE = """question: Does it work?
architecture: fcn
baseline: {stride: 32}
vary: {stride: [16]}
labels: {baseline: FCN-32s}
metrics: [params, miou]
main: miou
workload: {dataset: boundaries, shape: [3, 32, 32]}
train: {steps: 100, lr: 1e-2}
claims: [{says: "miou[stride=16] > miou", source: nobody}]
"""


@pytest.fixture
def load(tmp_path):
    def loaded(text, base=BASE, overrides=()):
        (tmp_path / "base.yaml").write_text(base)
        (tmp_path / "more.yaml").write_text(text)
        return module.load(tmp_path / "more.yaml", overrides)

    return loaded


def test_what_the_file_does_not_state_is_that_of_the_other(load, tmp_path):
    more = load("extends: base\nquestion: And now?\nseeds: 5\n")
    base = module.load(tmp_path / "base.yaml")
    assert (more.name, more.question, len(more.seeds)) == ("more", "And now?", 5)
    for part in ("variants", "metrics", "recipe", "workload", "labels", "claims", "main"):
        assert getattr(more, part) == getattr(base, part)


def test_a_key_takes_the_place_of_the_others_key_and_sections_are_joined(load):
    more = load("extends: base.yaml\nvary: {stride: [8]}\ntrain: {lr: 0.1}\nworkload: {batch: 4}\nclaims: []\n")
    assert [variant.values["stride"] for variant in more.variants] == [32, 8]
    assert (more.recipe.steps, more.recipe.lr) == (100, 0.1)
    assert (more.workload.dataset, more.workload.batch, more.claims) == ("boundaries", 4, ())


def test_overrides_come_last(load):
    assert load("extends: base\ntrain: {lr: 0.1}\n", overrides=["train.lr=0.5"]).recipe.lr == 0.5
    with pytest.raises(AblationError, match="only a file extends another"):
        load("extends: base\n", overrides=["extends=other"])


@pytest.mark.parametrize(
    ("text", "base", "message"),
    [
        ("extends: base\nseeds: 0\n", BASE, r"more\.yaml:2:1: 'seeds'"),
        ("extends: base\n", BASE.replace("steps: 100", "steps: 0"), r"base\.yaml:9:9: 'train\.steps'"),
        ("extends: base\ntrain: {lr: -1}\n", BASE, r"more\.yaml:2:9: 'train\.lr'"),
        ("extends: base\ntrain: {lr: 1}\n", BASE.replace("steps: 100", "steps: 0"), r"base\.yaml:9:9: 'train\.steps'"),
        ("extends: base\nvary: {stride: [8]}\n", BASE, r"base\.yaml:10:11: claim: no variant here"),
        ("extends: bse\n", BASE, r"more\.yaml:1:1: no ablation is called 'bse'"),
        ("extends: [base]\n", BASE, r"more\.yaml:1:1: 'extends' is the name of an ablation, or a file, not \[base\]"),
        ("extends: more\n", BASE, r"more\.yaml:1:1: 'more' extends this file in turn"),
        ("extends: base\n", f"extends: more\n{BASE}", r"base\.yaml:1:1: 'more' extends this file in turn"),
        (
            "extnds: base\nquestion: a?\narchitecture: fcn\nmetrics: [params]\n",
            BASE,
            r"no key 'extnds', did you mean 'extends'",
        ),
    ],
)
def test_an_error_names_the_file_in_which_the_key_stands(load, text, base, message):
    with pytest.raises(AblationError, match=message):
        load(text, base)
