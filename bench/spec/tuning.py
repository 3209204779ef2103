"""`tune:` of an ablation file: a search over the recipe, the same for every variant, before the reported runs.

    tune: {over: {train.lr: [3e-3, 1e-2, 3e-2]}, runs: 6, on: 0.15}

over    fields of `train:` with the values to try
runs    recipes that each variant tries: all combinations where they are no more, else a seeded sample of them
on      fraction of the training split that is held back, to judge the recipes on
steps   length of a search run: optimizer steps, or a fraction of those of a reported run
seeds   training runs of each recipe: a number, or seeds that are none of the reported runs'
metric  what the recipes are judged by; default: the main metric
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.registry import Metric, RegistryError, text_of
from bench.spec.context import Context
from bench.spec.recipe import Recipe
from bench.spec.schema import TuneSection

FIRST_SEED = 1_000_000
"""The first seed of a search: far from those that an ablation counts from 0."""

SAMPLING_SEED = 0
"""Which recipes are tried where not all are."""

MAX_POINTS = 1_000
MAX_RUNS = 100_000

Point = tuple[tuple[str, Any], ...]
"""The values of one recipe: (setting, value)."""


@dataclass(frozen=True)
class Tune:
    """A checked search. `points` are the recipes that each variant tries, in the order of the file.

    `over` are the values that the file lists, `combinations` how many recipes they make. `on` is the fraction of the
    training split that is held back. `steps` are those of a search run, or a fraction; None: as a reported run.
    """

    over: tuple[tuple[str, tuple[Any, ...]], ...]
    points: tuple[Point, ...]
    on: float
    seeds: tuple[int, ...]
    metric: Metric
    steps: int | float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The settings that are searched over."""
        return tuple(name for name, _ in self.over)

    @property
    def combinations(self) -> int:
        return math.prod(len(values) for _, values in self.over)


def tune_of(
    context: Context, metrics: Sequence[Metric], task: str, stated: Sequence[str], seeds: Sequence[int]
) -> Tune | None:
    """The search that the file asks for; None where it has none. Raises AblationError.

    `stated` are the settings that the variants of the ablation differ in or state, `seeds` those of the reported runs.
    """
    section = context.file.tune
    if section is None:
        return None
    metric = _metric(context, section, metrics, task)
    over = tuple(_values(context, name, values, stated) for name, values in section.over.items())
    _check_length(context, section)
    return Tune(
        over=over,
        points=tuple(_points(over, _count(context, section, over))),
        on=section.on,
        seeds=_seeds(context, section, seeds),
        metric=metric,
        steps=section.steps,
    )


def check_runs(context: Context, tune: Tune, variants: int) -> None:
    """Raises AblationError where the search has too many training runs to plan."""
    runs = variants * len(tune.points) * len(tune.seeds)
    if runs > MAX_RUNS:
        counts = f"{variants:,} variants x {len(tune.points):,} recipes x {len(tune.seeds):,} seeds"
        message = f"{counts} are {runs:,} search runs; at most {MAX_RUNS:,} are planned: lower 'tune.runs'"
        raise context.error(["tune"], message)


def _values(context: Context, name: str, listed: Sequence[Any], stated: Sequence[str]) -> tuple[str, tuple[Any, ...]]:
    """A setting with the values to try."""
    path = ["tune", "over", name]
    if not name.startswith("train."):
        meant = f"train.{name}" if f"train.{name}" in context.settings.names else "train.lr"
        raise context.error(path, f"a search is over fields of 'train' only, such as {meant}, not over '{name}'")
    if name in stated:
        raise context.error(path, f"'{name}' is an axis of the variants already; search over another field")
    try:
        values = tuple(context.settings.axis(name).parse(value) for value in listed)
    except RegistryError as error:
        raise context.error(path, error) from None
    if not values or len(set(values)) < len(values):
        raise context.error(path, f"'{name}' lists {'a value twice' if values else 'no values'}")
    return name, values


def _count(context: Context, section: TuneSection, over: Sequence[tuple[str, tuple[Any, ...]]]) -> int:
    """How many recipes each variant tries."""
    whole = math.prod(len(values) for _, values in over)
    count = min(whole, section.runs or whole)
    if count > MAX_POINTS:
        message = f"{count:,} recipes for each variant; at most {MAX_POINTS:,} are planned: lower 'tune.runs'"
        raise context.error(["tune", "over"], message)
    return count


def _points(over: Sequence[tuple[str, tuple[Any, ...]]], count: int) -> Iterator[Point]:
    """So many different combinations in the order of the file: all, or those that a fixed seed draws."""
    whole = math.prod(len(values) for _, values in over)
    numbers = range(whole) if count == whole else sorted(random.Random(SAMPLING_SEED).sample(range(whole), count))
    return (_point(over, number) for number in numbers)


def _point(over: Sequence[tuple[str, tuple[Any, ...]]], number: int) -> Point:
    """The combination of this number; the last setting changes first."""
    chosen = []
    for name, values in reversed(over):
        number, place = divmod(number, len(values))
        chosen.append((name, values[place]))
    return tuple(reversed(chosen))


def _check_length(context: Context, section: TuneSection) -> None:
    path = ["tune", "steps"]
    if isinstance(section.steps, float) and section.steps >= 1:
        message = f"'tune.steps' is a number of steps, or a fraction below 1, not {text_of(section.steps)}"
        raise context.error(path, message)
    if isinstance(section.steps, int) and {"train.steps", "train.budget"} & section.over.keys():
        raise context.error(path, "the search is over the length of the training; give 'tune.steps' as a fraction")


def _seeds(context: Context, section: TuneSection, reported: Sequence[int]) -> tuple[int, ...]:
    """The seeds of the search, none of which a reported run has."""
    path = ["tune", "seeds"]
    if isinstance(section.seeds, int):
        if not 1 <= section.seeds <= 100:
            raise context.error(
                path, f"'tune.seeds' is a number from 1 to 100, or a list of seeds, not {section.seeds}"
            )
        free = (seed for seed in range(FIRST_SEED, 2**63) if seed not in reported)
        return tuple(next(free) for _ in range(section.seeds))
    seeds = tuple(section.seeds)
    if not seeds or len(set(seeds)) < len(seeds) or not 0 <= min(seeds) <= max(seeds) < 2**63:
        raise context.error(path, f"'tune.seeds' lists different seeds from 0, not {text_of(list(seeds))}")
    shared = sorted({*seeds} & {*reported})
    if shared:
        raise context.error(path, f"seed {shared[0]} is one of the reported runs; a search has seeds of its own")
    return seeds


def _metric(context: Context, section: TuneSection, metrics: Sequence[Metric], task: str) -> Metric:
    """The metric that recipes are judged by: that of the section, else the main one."""
    name, path = section.metric or context.file.main, ["tune", "metric"] if section.metric else ["tune"]
    if not any(metric.kind == "accuracy" for metric in metrics):
        raise context.error(
            ["tune"],
            "no metric of this ablation needs training: leave 'tune' out, or --set tune=null",
        )
    if not name:
        raise context.error(path, "say what recipes are judged by: 'main', or 'metric' in 'tune'")
    try:
        metric = context.registries.metrics.get(name)
    except RegistryError as error:
        raise context.error(path, error) from None
    if metric.kind != "accuracy" or metric.better is None or not metric.fits(task):
        why = "does not depend on training" if metric.kind != "accuracy" else f"is for {' and '.join(metric.tasks)}"
        why = why if metric.better or metric.kind != "accuracy" else "has no better direction"
        raise context.error(path, f"recipes cannot be judged by '{name}', which {why}; name another as 'tune.metric'")
    return metric


def edge_of(name: str, value: Any, tried: Sequence[Any]) -> str:
    """`largest` or `smallest` where a chosen number is at an end of those tried, and its field goes on beyond it."""
    numbers = [each for each in tried if isinstance(each, (int, float)) and not isinstance(each, bool)]
    if len(numbers) < 2 or len(numbers) < len(tried) or value in _limits(name):
        return ""
    return "largest" if value == max(numbers) else "smallest" if value == min(numbers) else ""


def _limits(name: str) -> set[Any]:
    """The least and the largest value that a field of the recipe may have, where it has such."""
    metadata = Recipe.model_fields[name.partition(".")[2]].metadata
    return {getattr(each, end) for each in metadata for end in ("ge", "le") if hasattr(each, end)}
