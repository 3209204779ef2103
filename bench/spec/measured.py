"""What the variants of an ablation are measured on and by: metrics, workload, dataset, seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.registry import Architecture, Dataset, Metric, RegistryError, suggestion, text_of
from bench.registry.places import place_of
from bench.spec.context import Context
from bench.spec.schema import SeedsSection
from bench.spec.settings import check_shape, recipe_with, stated_names
from bench.spec.variant import Variant
from bench.spec.workload import Workload, check_graph

MAX_SEEDS = 10_000
MAX_TRAINING_RUNS = 100_000
MAX_MEASUREMENTS = 200_000


def metrics_of(context: Context, architecture: Architecture) -> tuple[Metric, ...]:
    """The metrics that the file lists. Raises AblationError for an unknown, unfit or repeated one."""
    metrics: list[Metric] = []
    for index, name in enumerate(context.file.metrics):
        path = ["metrics", index]
        try:
            metric = context.registries.metrics.get(name)
        except RegistryError as error:
            raise context.error(path, context.unregistered(error, name, "metric")) from None
        if not metric.fits(architecture.task):
            raise context.error(
                path, f"'{name}' is for {' and '.join(metric.tasks)}, but {_task(context, architecture)}"
            )
        if metric in metrics:
            raise context.error(path, f"'{name}' is listed twice")
        metrics.append(metric)
    return tuple(metrics)


def _task(context: Context, architecture: Architecture) -> str:
    """`'net' is for segment (network.py:29), did you mean 'segmentation'?`: a task that does not exist is a mistake."""
    text, tasks = f"'{architecture.name}' is for {architecture.task}", context.registries.tasks
    if not architecture.task or architecture.task in tasks:
        return text
    return f"{text} ({place_of(architecture.call)}){suggestion(architecture.task, tasks.names())}"


def main_metric(context: Context, names: Sequence[str]) -> str:
    """The name of the main metric; empty where the file names none. Raises AblationError where it is not measured."""
    if context.file.main and context.file.main not in names:
        hint = suggestion(context.file.main, names)
        raise context.error(["main"], f"'main' is one of the metrics, not '{context.file.main}'{hint}")
    return context.file.main


def workload_of(context: Context, architecture: Architecture, metrics: Sequence[Metric]) -> Workload:
    """The workload, with a dataset where the file names one or a metric needs one. Raises AblationError."""
    section = context.file.workload
    needs_dataset = section.dataset is not None or any(metric.kind == "accuracy" for metric in metrics)
    try:
        check_shape(section.shape, images=needs_dataset)
    except RegistryError as error:
        raise context.error(["workload", "shape"], error) from None
    try:
        check_graph(section.graph, section.device)
    except ValueError as error:
        raise context.error(["workload", "graph"], error) from None
    dataset, axes = _dataset(context, architecture) if needs_dataset else ("", {})
    values = section.model_dump(exclude={"dataset", "shape"})
    shape = tuple(section.shape)
    return Workload(architecture.task, dataset, tuple(axes.items()), shape, **values)


def _dataset(context: Context, architecture: Architecture) -> tuple[str, dict[str, Any]]:
    """(name, every axis with its value) of the dataset."""
    section, path = context.file.workload.dataset, ["workload", "dataset"]
    axes = dict(section) if isinstance(section, dict) else {}
    name = axes.pop("name", None) if isinstance(section, dict) else section
    if isinstance(section, dict) and not isinstance(name, str):
        raise context.error(path, "'workload.dataset' needs a name: {name: context, distance: 14}")
    try:
        dataset = _default_dataset(context, architecture) if name is None else _named(context, name)
        if dataset.task != architecture.task:
            raise RegistryError(f"'{dataset.name}' is for {dataset.task}, but {_task(context, architecture)}")
        return dataset.name, dataset.resolve(axes)
    except RegistryError as error:
        raise context.error(path, error) from None


def _named(context: Context, name: str) -> Dataset:
    try:
        return context.registries.datasets.get(name)
    except RegistryError as error:
        raise context.unregistered(error, name, "dataset") from None


def _default_dataset(context: Context, architecture: Architecture) -> Dataset:
    for dataset in context.registries.datasets:
        if dataset.task == architecture.task and dataset.embedded:
            return dataset
    raise RegistryError(f"no embedded dataset for {architecture.task}; name one in workload.dataset")


def seeds_of(context: Context) -> tuple[int, ...]:
    """`seeds: 3` as (0, 1, 2), or the listed seeds, of adaptive seeds the most.

    Raises AblationError for none, repeated or negative ones.
    """
    seeds = context.file.seeds.max if isinstance(context.file.seeds, SeedsSection) else context.file.seeds
    too_many = seeds > MAX_SEEDS if isinstance(seeds, int) else any(seed >= 2**63 for seed in seeds)
    if too_many:
        raise context.error(["seeds"], f"'seeds' is at most {MAX_SEEDS}, and a seed is below 2**63")
    listed = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not listed or len(set(listed)) < len(listed) or min(listed) < 0:
        message = f"'seeds' is a number from 1, or a list of different seeds, not {text_of(seeds)}"
        raise context.error(["seeds"], message)
    return listed


def check_size(context: Context, variants: int, metrics: Sequence[Metric], seeds: int) -> None:
    """Raises AblationError where the ablation has too many training runs or measurements to plan."""
    trained = sum(metric.kind == "accuracy" for metric in metrics)
    runs = variants * seeds if trained else 0
    counts = f"{variants:,} variants x {seeds:,} seeds"
    if runs > MAX_TRAINING_RUNS:
        message = f"{counts} are {runs:,} training runs; at most {MAX_TRAINING_RUNS:,} are planned: use fewer seeds"
        raise context.error(["seeds"], message)
    measurements = variants * (len(metrics) - trained) + runs * trained
    if measurements > MAX_MEASUREMENTS:
        advice = f"at most {MAX_MEASUREMENTS:,} are planned: split the ablation, or use fewer seeds or metrics"
        message = f"{counts} with {len(metrics)} metrics are {measurements:,} measurements; {advice}"
        raise context.error(["metrics"], message)


def check_lengths(context: Context, variants: Sequence[Variant]) -> None:
    """Raises AblationError for steps beside a budget, or a training time that is no shorter than the timeout."""
    over = context.file.tune.over if context.file.tune else {}
    names = stated_names(context.file) | {*variants[0].settings, *over}
    if {"train.steps", "train.budget"} <= names:
        message = "'train.steps' and 'train.budget' are both stated; the length of a training is one of the two"
        raise context.error(["train"], message)
    recipes = (recipe_with(context.settings.recipe, variant.settings) for variant in variants)
    longest = max(recipe.seconds or 0.0 for recipe in recipes)
    if longest >= context.file.timeout:
        message = f"trainings of {longest:g} s need more; state a longer 'timeout' than {context.file.timeout:g} s"
        raise context.error(["timeout"], message)
