"""`bench measure`: networks, each measured in a process of its own; nothing is stored."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.registry import Architecture, Metric, RegistryError, targets
from bench.registry.catalogue import declarations
from bench.results.measurement import Measurement
from bench.results.store import Store
from bench.spec.ablation import Ablation
from bench.spec.inputs import with_inputs
from bench.spec.recipe import Recipe
from bench.spec.settings import Settings
from bench.spec.variant import Variant
from bench.spec.workload import Workload
from bench.spec.yamlfile import parse_value
from bench.sweep.driver import refuse_stale, run
from bench.sweep.example_inputs import adapts, check_inputs, example_inputs
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.plan import plan
from bench.sweep.preloading import preload
from bench.sweep.settings import Options

SHAPE = (3, 224, 224)
"""The input where neither the command nor the network says another."""

WORKLOAD = "workload."
"""What the name of a field of the workload begins with."""

LISTED = 8
"""Names of metrics that a line lists."""

SLOW = {
    "effective_receptive_field": "it runs four networks with gradients",
    "roofline": "it measures the ceilings of the machine",
    "throughput": "it is a second timing of what latency times",
    "train_memory": "it trains",
    "train_step_latency": "it trains",
    "sample_seconds": "it draws whole images",
}
"""Metrics that are measured only where they are named, and why."""


@dataclass(frozen=True)
class Choice:
    """The metrics that are measured of a network, and the names of those that are not, by reason."""

    metrics: tuple[Metric, ...]
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """What is measured, what is left out and why, a line for each; nothing where the metrics were named."""
        if self.left_out:
            yield f"measured: {', '.join(metric.name for metric in self.metrics)}"
        for reason, names in self.left_out.items():
            listed = ", ".join(names) if len(names) <= LISTED else f"{len(names)} metrics (bench list metrics)"
            yield f"left out, {reason}: {listed}"


@dataclass(frozen=True)
class Target:
    """A network to measure: its name, its axes as texts `name=value`."""

    name: str
    axes: tuple[str, ...] = ()


def targets_of(words: Sequence[str], overrides: Sequence[str] = ()) -> list[Target]:
    """The targets of a command line: each name with the axes behind it, and `overrides`, which are for all.

    Raises RegistryError where an axis stands before the first name.
    """
    chosen: list[Target] = []
    for word in words:
        if not is_axis(word):
            chosen.append(Target(word, tuple(overrides)))
        elif not chosen:
            raise RegistryError(f"'{word}' is an axis: name a network before it")
        else:
            chosen[-1] = replace(chosen[-1], axes=(*chosen[-1].axes, word))
    return chosen


def settings_of(overrides: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """(the axes, the workload by field) of texts `axis=value` and `workload.FIELD=value`.

    Raises RegistryError for a field that does not exist or does not take the value, and for the dataset.
    """
    workload: dict[str, Any] = {}
    for name, value in stated_axes([text for text in overrides if text.startswith(WORKLOAD)]).items():
        if name == "workload.dataset":
            raise RegistryError("'workload.dataset': write --dataset NAME, with --weights FILE")
        workload[name.removeprefix(WORKLOAD)] = Settings().axis(name).parse(value)
    if "batch" in workload:
        workload["batches"] = (workload.pop("batch"),)
    return [text for text in overrides if not text.startswith(WORKLOAD)], workload


def is_axis(word: str) -> bool:
    """Whether a word of the command line is `axis=value`, and no target."""
    return re.match(r"[A-Za-z_][\w.]*=", word) is not None


def measure_target(target: str, axes: Sequence[str], **how: Any) -> list[Measurement]:
    """The measurements of one network; see `measure_targets`."""
    return measure_targets([Target(target, tuple(axes))], **how)


def measure_targets(
    wanted: Sequence[Target],
    *,
    metrics: Sequence[str],
    shape: tuple[int, ...] | None,
    batches: Sequence[int],
    timeout: float,
    plugins: Sequence[str],
    inputs: str = "",
    say: Callable[[str], None] = lambda text: None,
    notify: Callable[[Any], None] = lambda event: None,
    **how: Any,
) -> list[Measurement]:
    """The measurements by network and batch size, in the order of `metrics`; static ones at the first batch size only.

    Without `metrics`: those that fit the network and are quick; `say` is told which. `inputs`, in the grammar of
    `bench.spec.inputs`, or what stands beside the builder, takes the place of an image of `shape`. `timeout` is in
    seconds for each metric; `how` are the other fields of the workload: device, dtype, threads, layout, compile,
    graph. Raises RegistryError for a name that does not exist, ValueError for a workload that is not possible.
    """
    how |= {"metrics": metrics, "shape": shape, "batches": batches, "timeout": timeout, "plugins": plugins}
    _refuse_axes_without_value(wanted, plugins)
    lines: list[str] = []
    sweeps = [each for target in wanted for each in _ablations(target, inputs=inputs, say=lines.append, **how)]
    for line in dict.fromkeys(lines):  # after whatever may be wrong
        say(line)
    return list(measured(sweeps, notify=notify))


def _refuse_axes_without_value(wanted: Sequence[Target], plugins: Sequence[str]) -> None:
    """Raises RegistryError where a word that is taken for a target is an axis of the one before it."""
    for target, after in pairwise(wanted):
        if after.name in {axis.name for axis in targets.declared(target.name, plugins).axes}:
            raise RegistryError(f"'{after.name}': write an axis as name=value")


def _ablations(
    target: Target,
    *,
    metrics: Sequence[str],
    shape: tuple[int, ...] | None,
    batches: Sequence[int],
    timeout: float,
    plugins: Sequence[str],
    inputs: str,
    say: Callable[[str], None],
    **how: Any,
) -> list[Ablation]:
    """One for each batch size."""
    entry = targets.declared(target.name, plugins)
    variant = variant_of(entry, target.axes)
    choice = chosen_metrics(entry, metrics, tuple(plugins))
    stated = inputs or ("" if shape else example_inputs(entry, plugins))
    check_inputs(stated, batches)
    size = shape or _shape_of(entry, variant.values)
    for line in (_called_with(target.name, stated, size, shape), *choice.lines()):
        if line:
            say(line)
    workload = with_inputs(Workload(entry.task, "", (), size, batches[0], **how), stated)
    ablation = replace(ablation_of(variant, workload, choice.metrics, plugins, timeout), source=entry.source)
    speed = tuple(m for m in choice.metrics if m.kind == "speed")
    return [ablation, *(_at(ablation, batch, speed) for batch in batches[1:] if speed)]


def ablation_of(
    variant: Variant, workload: Workload, metrics: Sequence[Metric], plugins: Sequence[str], timeout: float = math.inf
) -> Ablation:
    """An ablation of one variant that is no file."""
    return Ablation(
        name="measure",
        path="measure",
        question="",
        source="",
        variants=(variant,),
        excluded=(),
        varied=(),
        metrics=tuple(metrics),
        workload=workload,
        recipe=Recipe(),
        seeds=(0,),
        timeout=timeout,
        plugins=tuple(plugins),
    )


def _called_with(name: str, inputs: str, size: tuple[int, ...], shape: tuple[int, ...] | None) -> str:
    """What the user has not said about the input, and should know."""
    if not inputs:
        return "" if shape else f"{name}: an input of shape {','.join(map(str, size))}; --shape or --inputs say another"
    without = " (one call with exactly these; write N where the batch size goes)"
    return f"{name}: called with {inputs}{'' if adapts(inputs) else without}"


def _shape_of(entry: Architecture, values: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of a registered network's images: its axes `channels` and `size`, where it has them."""
    if not entry.task:
        return SHAPE
    channels, side = values.get("channels", SHAPE[0]), values.get("size", SHAPE[1])
    return (channels, side, side) if isinstance(channels, int) and isinstance(side, int) else SHAPE


def _at(ablation: Ablation, batch: int, metrics: tuple[Metric, ...]) -> Ablation:
    return replace(ablation, workload=replace(ablation.workload, batch=batch), metrics=metrics)


def chosen_metrics(entry: Architecture, names: Sequence[str], plugins: tuple[str, ...]) -> Choice:
    """The named metrics; without names those that fit the network, are quick and need no training.

    Raises RegistryError for a name that does not exist, and for a metric that cannot be measured of this network.
    """
    registry = declarations(plugins).metrics
    if not names:
        return _default(list(registry), entry.task)
    metrics = [registry.get(name) for name in names]
    for metric in metrics:
        if metric.kind == "accuracy":
            raise RegistryError(f"'{metric.name}' needs training: put it into an ablation and use bench run")
        if entry.task and not metric.fits(entry.task):
            raise RegistryError(f"'{metric.name}' is for {' and '.join(metric.tasks)}, not for {entry.task}")
    return Choice(tuple(dict.fromkeys(metrics)))


def _default(metrics: Sequence[Metric], task: str) -> Choice:
    left_out: dict[str, tuple[str, ...]] = {}
    for metric in metrics:
        if reason := _why_not(metric, task):
            left_out[reason] = (*left_out.get(reason, ()), metric.name)
    names = {name for names in left_out.values() for name in names}
    return Choice(tuple(metric for metric in metrics if metric.name not in names), left_out)


def _why_not(metric: Metric, task: str) -> str:
    """Why a metric that nobody named is not measured of a network of this task; empty where it is."""
    if task and not metric.fits(task):
        return f"not for {task}"
    if metric.kind == "accuracy":
        return "they need a dataset and training (bench run ABLATION)"
    if metric.tasks and not task:
        return f"for {' and '.join(metric.tasks)} only (--metrics measures them if the network is of that task)"
    return "slow (--metrics measures them)" if metric.name in SLOW else ""


def variant_of(entry: Architecture, axes: Sequence[str]) -> Variant:
    """The variant with the axes of `name=value` texts. Raises RegistryError for a wrong axis or value."""
    values = stated_axes(axes)
    resolved = entry.resolve(values)
    return Variant(entry.name, tuple(resolved.items()), tuple(name for name in resolved if name in values))


def stated_axes(texts: Sequence[str]) -> dict[str, Any]:
    """The values by axis of `name=value` texts. Raises RegistryError for a text without `=`."""
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise RegistryError(f"'{text}': write an axis as name=value")
        values[name] = parse_value(value)
    return values


def measured(
    ablations: Sequence[Ablation], data: Path | None = None, notify: Callable[[Any], None] = lambda _: None
) -> Iterator[Measurement]:
    """Every measurement of these ablations, by ablation, in the order of the metrics; nothing is stored.

    `notify` is called with every event of the runs.
    """
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
        plans = [plan(ablation, store, data) for ablation in ablations]
        executor = LocalExecutor(1, preload(plans))
        try:
            for each in plans:
                refuse_stale(run(each, store, executor, Options(notify=notify)))
        finally:
            executor.stop()
        for each in plans:
            measurements = {r.measurement.metric: r.measurement for r in store.records(each.keys)}
            yield from (measurements[metric.name] for metric in each.ablation.metrics)
