"""`tune:` of an ablation file: what is tried, by which runs, and what is refused."""

import pytest

from bench.spec import ablation as module
from bench.spec.schema import AblationError
from bench.spec.search import search_of
from bench.spec.tuning import FIRST_SEED, edge_of

TEXT = """question: Does it work?
architecture: fcn
baseline: {{stride: 32}}
vary: {vary}
compare_with: [{{architecture: unet, axes: {{width: 0.1}}}}]
metrics: {metrics}
main: {main}
workload: {{dataset: boundaries, shape: [3, 32, 32]}}
train: {{steps: 100, lr: 1e-2}}
seeds: {seeds}
tune: {tune}
"""


@pytest.fixture
def load(tmp_path):
    def loaded(tune, vary="{stride: [16]}", metrics="[params, miou]", main="miou", seeds="2", overrides=()):
        (tmp_path / "f.yaml").write_text(TEXT.format(tune=tune, vary=vary, metrics=metrics, main=main, seeds=seeds))
        return module.load(tmp_path / "f.yaml", overrides)

    return loaded


def points(ablation):
    return [tuple(value for _, value in point) for point in ablation.tune.points]


def test_every_variant_tries_the_same_grid(load):
    ablation = load("{over: {train.lr: [1e-3, 1e-1], train.batch: [2, 4]}, runs: 6, on: 0.2}")
    assert points(ablation) == [(0.001, 2), (0.001, 4), (0.1, 2), (0.1, 4)]
    search = search_of(ablation)
    assert len(search.variants) == 3 * 4
    recipes = [(variant.architecture, search.recipe_of(variant)) for variant in search.variants]
    for architecture in ("fcn", "unet"):
        tried = {(recipe.lr, recipe.batch, recipe.steps) for name, recipe in recipes if name == architecture}
        assert tried == {(0.001, 2, 100), (0.001, 4, 100), (0.1, 2, 100), (0.1, 4, 100)}
    assert (search.held_back, search.seeds, [m.name for m in search.metrics]) == (0.2, (FIRST_SEED,), ["miou"])


def test_more_combinations_than_runs_are_sampled_without_repeats_and_always_alike(load):
    tune = "{over: {train.lr: [1, 2, 3, 4, 5], train.clip: [1, 2, 3, 4, 5], train.balance: [0, 1]}, runs: 7}"
    tried = points(load(tune))
    assert len(set(tried)) == len(tried) == 7
    assert tried == sorted(tried) == points(load(tune))
    assert load(tune).tune.combinations == 50
    assert len(points(load(tune, overrides=["tune.runs=50"]))) == 50


@pytest.mark.parametrize(("steps", "expected"), [("30", 30), ("0.25", 25), ("0.001", 1)])
def test_search_runs_may_be_shorter(load, steps, expected):
    search = search_of(load(f"{{over: {{train.lr: [1, 2]}}, steps: {steps}}}"))
    assert {search.recipe_of(variant).steps for variant in search.variants} == {expected}


def test_a_fraction_is_of_the_steps_of_each_variant(load):
    search = search_of(load("{over: {train.lr: [1, 2]}, steps: 0.5}", vary="{train.steps: [40]}"))
    assert [search.recipe_of(variant).steps for variant in search.variants] == [50, 50, 20, 20, 50, 50]
    longer = search_of(load("{over: {train.steps: [10, 20]}, steps: 0.5}"))
    assert [longer.recipe_of(variant).steps for variant in longer.variants[:2]] == [5, 10]


def test_the_seeds_of_a_search_are_its_own(load):
    over = "over: {train.lr: [1, 2]}"
    assert load(f"{{{over}, seeds: 2}}").tune.seeds == (FIRST_SEED, FIRST_SEED + 1)
    assert load(f"{{{over}}}", seeds=f"[{FIRST_SEED}, 3]").tune.seeds == (FIRST_SEED + 1,)
    assert load(f"{{{over}, seeds: [7, 9]}}").tune.seeds == (7, 9)
    with pytest.raises(AblationError, match=r"seed 1 is one of the reported runs; a search has seeds of its own"):
        load(f"{{{over}, seeds: [7, 1]}}")


def test_the_metric_is_the_main_one_or_another(load):
    assert load("{over: {train.lr: [1, 2]}}").tune.metric.name == "miou"
    other = load("{over: {train.lr: [1, 2]}, metric: boundary_iou}")
    assert other.tune.metric.name == "boundary_iou"


@pytest.mark.parametrize(
    ("tune", "more", "message"),
    [
        ("{over: {workload.batch: [1, 2]}}", {}, r"f\.yaml:11:\d+: .*over fields of 'train' only.*'workload\.batch'"),
        ("{over: {stride: [8, 16]}}", {}, r"over fields of 'train' only, such as train\.lr, not over 'stride'"),
        ("{over: {lr: [1, 2]}}", {}, r"over fields of 'train' only, such as train\.lr, not over 'lr'"),
        ("{over: {train.rl: [1, 2]}}", {}, r"no setting 'train\.rl'"),
        ("{over: {train.lr: [1, -2]}}", {}, r"'train\.lr'.*greater than 0"),
        ("{over: {train.lr: [1, 1.0]}}", {}, r"'train\.lr' lists a value twice"),
        ("{over: {train.lr: []}}", {}, r"'train\.lr' lists no values"),
        ("{over: {}}", {}, r"'tune\.over': name one at least, not \{\}"),
        ("{over: {train.lr: [1, 2]}, on: 1}", {}, r"'tune\.on'.*less than 1"),
        ("{over: {train.lr: [1, 2]}, runs: 0}", {}, r"'tune\.runs'.*greater than or equal to 1"),
        ("{over: {train.lr: [1, 2]}, run: 3}", {}, r"no key 'run', did you mean 'runs'"),
        ("{over: {train.lr: [1, 2]}, steps: 1.5}", {}, r"'tune\.steps' is a number of steps, or a fraction below 1"),
        ("{over: {train.steps: [1, 2]}, steps: 5}", {}, r"give 'tune\.steps' as a fraction"),
        ("{over: {train.lr: [1, 2]}, seeds: 0}", {}, r"'tune\.seeds' is a number from 1"),
        ("{over: {train.lr: [1, 2]}, metric: params}", {}, r"'params', which does not depend on training"),
        ("{over: {train.lr: [1, 2]}, metric: pck}", {}, r"'pck', which is for pose"),
        ("{over: {train.lr: [1, 2]}, metric: moiu}", {}, r"did you mean 'miou'"),
        ("{over: {train.lr: [1, 2]}}", {"main": "''"}, r"say what recipes are judged by: 'main', or 'metric'"),
        ("{over: {train.lr: [1, 2]}}", {"main": "params"}, r"'params', which does not depend on training"),
        ("{over: {train.lr: [1, 2]}}", {"metrics": "[params]", "main": "params"}, r"no metric .* needs training"),
        (
            "{over: {train.lr: [1, 2]}}",
            {"vary": "{train.lr: [0.5]}"},
            r"'train\.lr' is an axis of the variants already",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused_with_its_position(load, tune, more, message):
    with pytest.raises(AblationError, match=message):
        load(tune, **more)


@pytest.mark.parametrize(
    ("name", "value", "tried", "edge"),
    [
        ("train.lr", 0.1, [0.01, 0.1], "largest"),
        ("train.lr", 0.01, [0.1, 0.01], "smallest"),
        ("train.lr", 0.03, [0.1, 0.03, 0.01], ""),
        ("train.weight_decay", 0.0, [0.0, 0.1], ""),
        ("train.balance", 1, [0, 0.5, 1], ""),
        ("train.steps", 1, [1, 2], ""),
        ("train.optimizer", "sgd", ["adamw", "sgd"], ""),
        ("train.augment", True, [False, True], ""),
        ("train.lr", 0.1, [0.1], ""),
    ],
)
def test_an_edge_is_said_where_the_search_could_be_wider(name, value, tried, edge):
    assert edge_of(name, value, tried) == edge


def test_what_is_not_trained_is_not_searched(load):
    ablation = load("{over: {train.lr: [1, 2]}, steps: 5}", vary="{train.steps: [none]}")
    untrained = ablation.variants[1]
    assert ablation.searched == (ablation.variants[0], ablation.variants[2])
    assert not ablation.waits(untrained)
    assert {search_of(ablation).recipe_of(variant).steps for variant in search_of(ablation).variants} == {5}
    with pytest.raises(AblationError, match=r"no variant is trained \(train: none\)"):
        load("{over: {train.lr: [1, 2]}}", overrides=["train=none"])
