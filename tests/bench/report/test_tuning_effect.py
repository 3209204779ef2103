"""The order of variants under one recipe beside their order with recipes of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.report.site import index
from bench.report.tuning_effect import markdown_effects, tuning_effects
from bench.results.results import Results
from bench.results.tuned import Tuned, Tuning
from tests.bench.conftest import tabulated

ONE_RECIPE = {"net(a=1)": [0.50, 0.51, 0.52], "net(a=2)": [0.30, 0.31, 0.32], "net(a=3)": [0.10, 0.11, 0.12]}
OWN_RECIPES = {"net(a=1)": [0.50, 0.51, 0.52], "net(a=2)": [0.70, 0.71, 0.72], "net(a=3)": [0.20, 0.21, 0.22]}


def results(name: str, scores: dict[str, list[float]], **more: object) -> Results:
    return replace(tabulated({variant: {"miou": seeds} for variant, seeds in scores.items()}), name=name, **more)


def tuned(name: str, scores: dict[str, list[float]]) -> Results:
    by_variant = {variant: Tuned({"train.lr": 0.01}, 0.5, 2, 0, 0, 1.0) for variant in scores}
    tuning = Tuning({"train.lr": ("0.01", "0.1")}, 2, 2, 0.15, (0,), "miou", "mIoU", "", by_variant)
    return results(name, scores, tuning=tuning)


def test_a_pair_that_changes_its_order_is_named_with_both_verdicts():
    (effect,) = tuning_effects([results("plain", ONE_RECIPE), tuned("own", OWN_RECIPES)])
    assert (effect.untuned, effect.tuned) == ("plain", "own")
    assert [(p.place_before, p.place_after) for p in effect.places] == [(2, 1), (1, 2), (3, 3)]
    assert {p.recipe for p in effect.places} == {"train.lr 0.01"}
    (reversal,) = effect.reversals
    assert (reversal.before, reversal.after, reversal.decided) == ("worse", "better", True)
    assert effect.agreement == pytest.approx(1 / 3)
    assert "1 of 3 pairs of variants change their order (1 where both tables are decided)" in effect.sentence


def test_an_order_that_stays_has_no_reversals():
    (effect,) = tuning_effects([tuned("own", ONE_RECIPE), results("plain", ONE_RECIPE)])
    assert effect.reversals == ()
    assert effect.agreement == 1


def test_other_variants_another_recipe_and_missing_scores_are_not_beside_each_other():
    plain, own = results("plain", ONE_RECIPE), tuned("own", OWN_RECIPES)
    fewer = results("fewer", dict(list(ONE_RECIPE.items())[:2]))
    longer = replace(plain, name="longer", provenance={**plain.provenance, "recipe": {"steps": 7}})
    part = results("part", {**ONE_RECIPE, "net(a=3)": [None, None, None]})
    assert tuning_effects([own, fewer, longer, part]) == []


def test_markdown_and_site_have_every_place(tmp_path):
    effects = tuning_effects([results("plain", ONE_RECIPE), tuned("own", OWN_RECIPES)])
    text = markdown_effects(effects)
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == 2 + 3
    assert "[plain](plain/index.md) and [own](own/index.md)" in text
    page = index([], tmp_path, effects=effects).read_text()
    assert page.count("0.01</td>") == 3
    assert "a=2 passes a=1 (worse before, better now)" in page
