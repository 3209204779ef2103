"""What the search over the recipe chose for each variant, and what it cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.registry import text_of
from bench.results.measurement import Measurement, Record
from bench.spec.ablation import Ablation
from bench.spec.search import searched
from bench.spec.tuning import Point, Tune, edge_of
from bench.spec.variant import Variant
from bench.stats.descriptive import mean


@dataclass(frozen=True)
class Tuned:
    """The search of one variant.

    `chosen`   setting -> value; empty while search runs are missing, and where all of them failed
    `score`    mean of the metric over the seeds of the search, on what is held back; None without a choice
    `runs`     training runs that are made, the failed ones included; `missing` those that are not
    `seconds`  what the runs took together
    `edges`    setting -> `largest` or `smallest`, where the chosen value is at an end of the tried ones
    """

    chosen: Mapping[str, Any]
    score: float | None
    runs: int
    failed: int
    missing: int
    seconds: float
    edges: Mapping[str, str] = field(default_factory=dict)

    @property
    def texts(self) -> dict[str, str]:
        """The chosen values as text."""
        return {name: text_of(value) for name, value in self.chosen.items()}


@dataclass(frozen=True)
class Tuning:
    """The search of an ablation: what was searched over, how, and by variant what it gave.

    `over`: setting -> the values that were tried, as text. `combinations` is the number of recipes that the file lists,
    `recipes` the number that each variant tries. `on` is the fraction of the training split that is held back.
    `length` is that of a search run in words, empty where it is that of a reported run.
    """

    over: Mapping[str, Sequence[str]]
    combinations: int
    recipes: int
    on: float
    seeds: tuple[int, ...]
    metric: str
    display_name: str
    length: str
    by_variant: Mapping[str, Tuned]

    @property
    def names(self) -> tuple[str, ...]:
        """The settings that were searched over."""
        return tuple(self.over)

    def text(self, variant: str, setting: str) -> str:
        """What was chosen for a variant; empty where nothing was."""
        return self.by_variant[variant].texts.get(setting, "") if variant in self.by_variant else ""


def tuned_of(ablation: Ablation, records: Iterable[Record]) -> dict[Variant, Tuned]:
    """What the search chose for each variant, from the records of the search runs. Empty without `tune:`."""
    tune = ablation.tune
    if tune is None:
        return {}
    runs = {(r.measurement.variant, r.measurement.seed): r.measurement for r in records}
    return {variant: _tuned(ablation, tune, variant, runs) for variant in ablation.searched}


def chosen_of(tuned: Mapping[Variant, Tuned]) -> dict[Variant, Mapping[str, Any]]:
    """Variant -> the chosen values, of the variants whose search ended with a choice."""
    return {variant: each.chosen for variant, each in tuned.items() if each.chosen}


def _tuned(
    ablation: Ablation, tune: Tune, variant: Variant, runs: Mapping[tuple[Variant, int | None], Measurement]
) -> Tuned:
    """The best recipe by the mean over the seeds, of several the first; one of which a run failed is not chosen."""
    tried = {point: searched(ablation, variant, point) for point in tune.points}
    of_point = {point: [runs.get((each, seed)) for seed in tune.seeds] for point, each in tried.items()}
    made = [run for of_seeds in of_point.values() for run in of_seeds if run is not None]
    missing = len(tune.points) * len(tune.seeds) - len(made)
    scores = {point: score for point, of_seeds in of_point.items() if (score := _score(of_seeds)) is not None}
    best = _best(tune, scores) if not missing else None
    return Tuned(
        chosen=dict(best or ()),
        score=None if best is None else scores[best],
        runs=len(made),
        failed=sum(run.error is not None for run in made),
        missing=missing,
        seconds=sum(run.duration for run in made),
        edges=_edges(tune, best or ()),
    )


def _score(runs: Sequence[Measurement | None]) -> float | None:
    """The mean over the seeds; None where a run is missing, failed, or gave no number."""
    values = [None if run is None or run.error else run.value for run in runs]
    numbers = [value for value in values if value is not None and math.isfinite(value)]
    return mean(numbers) if len(numbers) == len(values) else None


def _best(tune: Tune, scores: Mapping[Point, float]) -> Point | None:
    sign = 1 if tune.metric.better == "higher" else -1
    return max(scores, key=lambda point: sign * scores[point], default=None)


def _edges(tune: Tune, best: Point) -> dict[str, str]:
    """Where the chosen value is at an end of those that the recipes tried have."""
    edges = {name: edge_of(name, value, _tried(tune, name)) for name, value in best}
    return {name: edge for name, edge in edges.items() if edge}


def _tried(tune: Tune, name: str) -> list[Any]:
    """The values of a setting that the recipes tried have, in the order of the file."""
    chosen = [dict(point)[name] for point in tune.points]
    return [value for value in dict(tune.over)[name] if value in chosen]


def tuning_of(ablation: Ablation, tuned: Mapping[Variant, Tuned]) -> Tuning | None:
    """The search as tables and pages show it; None without `tune:`."""
    tune = ablation.tune
    if tune is None:
        return None
    return Tuning(
        over={name: tuple(text_of(value) for value in _tried(tune, name)) for name in tune.names},
        combinations=tune.combinations,
        recipes=len(tune.points),
        on=tune.on,
        seeds=tune.seeds,
        metric=tune.metric.name,
        display_name=tune.metric.display_name or tune.metric.name,
        length=_length(tune),
        by_variant={variant.name: each for variant, each in tuned.items()},
    )


def _length(tune: Tune) -> str:
    if tune.steps is None:
        return ""
    return f"{tune.steps:,} steps" if isinstance(tune.steps, int) else f"{tune.steps:.0%} of a reported run"
