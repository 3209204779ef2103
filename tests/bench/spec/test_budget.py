"""Budgets of training: their forms, what they exclude, and the steps that FLOPs pay."""

import pytest

from bench.spec import ablation as module
from bench.spec.budget import budget_text, flops_of, seconds_of, steps_for
from bench.spec.recipe import Recipe
from bench.spec.schema import AblationError
from bench.spec.search import search_of

TEXT = """question: Does it work?
architecture: fcn
baseline: {{stride: 32}}
vary: {vary}
metrics: [miou]
main: miou
workload: {{dataset: boundaries, shape: [3, 32, 32]}}
train: {train}
{more}
"""


@pytest.fixture
def load(tmp_path):
    def loaded(train="{budget: 60s}", vary="{stride: [16]}", more="", overrides=()):
        (tmp_path / "f.yaml").write_text(TEXT.format(train=train, vary=vary, more=more))
        return module.load(tmp_path / "f.yaml", overrides)

    return loaded


@pytest.mark.parametrize(
    ("text", "canonical", "seconds", "flops"),
    [
        ("60s", "60s", 60, None),
        ("1m", "60s", 60, None),
        ("1.5 h", "5400s", 5400, None),
        ("0.5s", "0.5s", 0.5, None),
        ("1e15 flops", "1e15 flops", None, 1e15),
        ("2500000000 FLOPs", "2.5e9 flops", None, 2.5e9),
    ],
)
def test_a_budget_has_one_form(text, canonical, seconds, flops):
    assert budget_text(text) == budget_text(canonical) == canonical
    assert (seconds_of(canonical), flops_of(canonical)) == (seconds, flops)


@pytest.mark.parametrize("text", ["60", "s", "-5s", "0s", "0 flops", "1e400 flops", "5 days", "1e15 macs", "1e15flop"])
def test_what_is_no_budget_is_refused(load, text):
    with pytest.raises(AblationError, match=r"f\.yaml:8:9: 'train\.budget': write a training time \(60s, 5m, 2h\)"):
        load(f"{{budget: '{text}'}}")


def test_steps_and_a_budget_exclude_each_other(load):
    for train, vary in (
        ("{steps: 5, budget: 60s}", "{stride: [16]}"),
        ("{steps: 5}", "{train.budget: [60s]}"),
        ("{budget: 5s}", "{train.steps: [7]}"),
    ):
        with pytest.raises(AblationError, match=r"f\.yaml:8:1.*'?steps'? and '?(train\.)?budget'?"):
            load(train, vary)
    assert load("{steps: 5}", overrides=["train.steps=null", "train.budget=2m"]).recipe.budget == "120s"
    with pytest.raises(AblationError, match=r"both stated"):
        load("{steps: 5}", more="tune: {over: {train.budget: [1s, 2s]}}")


def test_a_training_time_needs_a_longer_timeout(load):
    with pytest.raises(AblationError, match=r"trainings of 7200 s need more; state a longer 'timeout' than 3600 s"):
        load(vary="{train.budget: [2h]}")
    assert load(vary="{train.budget: [2h]}", more="timeout: 8000").timeout == 8000


def test_a_budget_is_an_axis_and_is_named_in_any_form(load):
    claim = 'claims: [{says: "miou[train.budget=1m] > miou[train.budget=2e9 flops] > miou", source: nobody}]'
    ablation = load("{budget: 30s}", "{train.budget: [60s, 2.0e9 flops]}", claim)
    assert [ablation.recipe_of(v).budget for v in ablation.variants] == ["30s", "60s", "2e9 flops"]
    assert [v.texts["train.budget"] for v in ablation.variants] == ["30s", "60s", "2e9 flops"]
    assert not ablation.claims[0].problem


def test_a_search_shortens_the_budget_or_takes_steps(load):
    tune = "tune: {{over: {{train.lr: [1, 2]}}, steps: {}}}"
    half, steps = (search_of(load("{budget: 1e9 flops}", more=tune.format(each))) for each in (0.5, 7))
    assert {half.recipe_of(variant).budget for variant in half.variants} == {"5e8 flops"}
    recipes = [steps.recipe_of(variant) for variant in steps.variants]
    assert {(recipe.steps, recipe.budget) for recipe in recipes} == {(7, None)}


def test_a_key_has_the_budget_in_place_of_the_steps():
    assert "budget" not in Recipe(steps=5).parts()
    assert Recipe(steps=5).parts()["steps"] == 5
    assert "steps" not in Recipe(budget="1m").parts()
    assert Recipe(budget="1m").parts() == Recipe(budget="60s").parts()


def test_the_threads_matter_for_trainings_that_are_timed(load):
    timed, counted = load("{budget: 5s}", "{workload.threads: [2]}"), load("{steps: 5}", "{workload.threads: [2]}")
    assert [*timed.effective_settings(timed.baseline)] == ["workload.threads"]
    assert [*counted.effective_settings(counted.baseline)] == []


@pytest.mark.parametrize(("flops", "steps"), [(6e3 * 8, 1), (6e3 * 8 * 10, 10), (6e3 * 8 * 10.9, 10)])
def test_a_step_costs_three_forward_passes_of_its_batch(flops, steps):
    assert steps_for(flops, macs=1000, batch=8) == steps


def test_a_budget_without_a_step_and_a_network_without_a_count_are_refused():
    with pytest.raises(ValueError, match=r"the budget of 100 FLOPs pays no step: one costs 4\.8e\+04"):
        steps_for(100, macs=1000, batch=8)
    with pytest.raises(ValueError, match="this one has none"):
        steps_for(1e9, macs=0, batch=8)
