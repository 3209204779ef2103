"""The search runs of an ablation with `tune:`, as an ablation of their own: every variant with every recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench.spec.ablation import Ablation
from bench.spec.budget import shortened
from bench.spec.recipe import Recipe
from bench.spec.tuning import Point, Tune
from bench.spec.variant import Variant


def search_of(ablation: Ablation) -> Ablation:
    """The search runs: each trained variant with each recipe, on a part of the training split and judged on the rest.

    Raises ValueError for an ablation without `tune:`.
    """
    tune = ablation.tune
    if tune is None:
        raise ValueError(f"{ablation.name} has no 'tune' section")
    tried = (searched(ablation, variant, point) for variant in ablation.searched for point in tune.points)
    return replace(
        ablation,
        variants=tuple(dict.fromkeys(tried)),
        excluded=(),
        varied=(*ablation.varied, *tune.names),
        metrics=(tune.metric,),
        seeds=tune.seeds,
        held_back=tune.on,
        adaptive=None,
        tune=None,
        chosen={},
        claims=(),
        labels={},
        answers=(),
        steps=(),
        remarks=(),
        main=tune.metric.name,
    )


def searched(ablation: Ablation, variant: Variant, point: Point) -> Variant:
    """The variant with one of the recipes of the search, which may be shorter than that of a reported run."""
    tune = ablation.tune
    recipe = ablation.recipe_of(replace(variant, axes=(*_without(variant, {*dict(point)}), *point)))
    settings = {**dict(point), **(_shorter(recipe, tune) if tune else {})}
    axes = (*_without(variant, {*settings}), *settings.items())
    return Variant(variant.architecture, axes, (*variant.stated, *dict(point)))


def _without(variant: Variant, names: set[str]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, value) for name, value in variant.axes if name not in names)


def _shorter(recipe: Recipe, tune: Tune) -> Mapping[str, Any]:
    """The settings that make a search run as long as the file says."""
    if tune.steps is None:
        return {}
    if isinstance(tune.steps, int):
        return {"train.steps": tune.steps, "train.budget": None}
    if recipe.budget is None:
        return {"train.steps": max(1, round(tune.steps * recipe.steps))}
    return {"train.budget": shortened(recipe.budget, tune.steps)}
