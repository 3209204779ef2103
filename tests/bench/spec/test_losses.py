"""The setting `train.loss`: what an ablation may name, and what its keys have."""

import pytest

from bench.results.keys import requests
from bench.results.session import read_changes
from bench.spec.ablation import AblationError, load

TEXT = """\
question: Which loss?
architecture: unet
baseline: {{width: 0.0625, depth: 2}}
{more}
metrics: [params, miou]
workload: {{dataset: {{name: boundaries, val_count: 32}}, shape: [3, 32, 32]}}
train: {{steps: 5{train}}}
"""
LOSSES = """\
def tversky(outputs, targets):
    return outputs.sum()


def single(outputs):
    return outputs.sum()
"""


@pytest.fixture
def ask(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(LOSSES)

    def asked(more="vary: {width: [0.125]}", train="", plugins=("own.py",)):
        return load(write(TEXT.format(more=more, train=train)), plugins=list(plugins))

    return asked


def scores(ablation):
    return [request.key for request in requests(ablation, {}) if request.metric == "miou" and not request.seed]


def test_a_loss_is_an_axis_of_the_recipe(ask):
    ablation = ask("vary: {train.loss: [dice, cross_entropy+dice, 'own.py:tversky']}")
    chosen = [ablation.recipe_of(variant).loss for variant in ablation.variants]
    assert chosen == ["auto", "dice", "cross_entropy+dice", "own.py:tversky"]
    assert len({*scores(ablation)}) == 4
    assert len({request.key for request in requests(ablation, {}) if request.metric == "params"}) == 1


def test_the_keys_of_files_that_name_none_stay(ask):
    assert scores(ask()) == scores(ask(train=", loss: auto"))
    recipes = [request.parts["recipe"] for request in requests(ask(), {}) if request.metric == "miou"]
    assert all("loss" not in recipe for recipe in recipes)


def test_the_code_of_a_loss_is_part_of_the_key_of_its_own_variants(ask, tmp_path):
    more = "vary: {train.loss: [dice, 'own.py:tversky']}"
    before = scores(ask(more))
    (tmp_path / "own.py").write_text(LOSSES.replace("return outputs.sum()", "return outputs.mean()"))
    read_changes()
    after = scores(ask(more))
    assert [one == other for one, other in zip(before, after, strict=True)] == [True, True, False]


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("dise", r"there is no loss 'dise', did you mean 'dice'\? \(there is: auto, cross_entropy, focal, dice"),
        ("dice+focl", "there is no loss 'focl'"),
        ("dice+dice", "each loss of a sum is named once"),
        ("'own.py:tverski'", r"own\.py has no function 'tverski', did you mean 'tversky'\?"),
        ("'own.py:single'", r"own\.py:5: a loss takes two arguments: def single\(outputs, targets\)"),
        ("'other.py:f'", r"would run code from other\.py; allow it with --plugin other\.py"),
        ("3", "valid string"),
        ("'a b'", r"a loss is auto, named losses of the task .* or file\.py:function"),
    ],
)
def test_a_loss_that_there_is_not_is_refused_with_its_line(ask, loss, words):
    with pytest.raises(AblationError, match=rf":4:\d+: 'train.loss': .*{words}"):
        ask(f"vary: {{train.loss: [{loss}]}}")
    with pytest.raises(AblationError, match=rf":7:\d+: .*loss': .*{words}"):
        ask(train=f", loss: {loss}")


def test_a_search_over_losses(ask):
    ablation = ask("vary: {width: [0.125]}\nmain: miou\ntune: {over: {train.loss: [dice, focal]}}")
    assert ablation.tune.names == ("train.loss",)
    with pytest.raises(AblationError, match="there is no loss 'dise'"):
        ask("vary: {width: [0.125]}\nmain: miou\ntune: {over: {train.loss: [dice, dise]}}")
