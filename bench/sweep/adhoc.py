"""`bench measure`: one network, measured in a process of its own; nothing is stored."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.registry import Architecture, Metric, RegistryError, targets
from bench.registry.catalogue import declarations
from bench.results.measurement import Measurement
from bench.results.store import Store
from bench.spec.ablation import Ablation
from bench.spec.recipe import Recipe
from bench.spec.variant import Variant
from bench.spec.workload import Workload
from bench.spec.yamlfile import parse_value
from bench.sweep.driver import refuse_stale, run
from bench.sweep.executors.local import LocalExecutor
from bench.sweep.plan import plan
from bench.sweep.preloading import preload


def measure_target(
    target: str,
    axes: Sequence[str],
    *,
    metrics: Sequence[str],
    shape: tuple[int, ...],
    batches: Sequence[int],
    timeout: float,
    plugins: Sequence[str],
    **how: Any,
) -> list[Measurement]:
    """The measurements by batch size, in the order of `metrics`; static ones, which depend on no batch size, once.

    `timeout` is in seconds for each metric; `how` are the other fields of the workload: device, dtype, threads, layout,
    compile, graph. Raises RegistryError for a name that does not exist, ValueError for a workload that is not possible.
    """
    entry = targets.declared(target, plugins)
    chosen = _metrics(entry, metrics, tuple(plugins))
    ablation = Ablation(
        name="measure",
        path="measure",
        question="",
        source=entry.source,
        variants=(variant_of(entry, axes),),
        excluded=(),
        varied=(),
        metrics=chosen,
        workload=Workload(entry.task, "", (), shape, batches[0], **how),
        recipe=Recipe(),
        seeds=(0,),
        timeout=timeout,
        claims=(),
        plugins=tuple(plugins),
    )
    speed = tuple(m for m in chosen if m.kind == "speed")
    sweeps = [ablation, *(_at(ablation, batch, speed) for batch in batches[1:] if speed)]
    return list(measured(sweeps))


def _at(ablation: Ablation, batch: int, metrics: tuple[Metric, ...]) -> Ablation:
    return replace(ablation, workload=replace(ablation.workload, batch=batch), metrics=metrics)


def _metrics(entry: Architecture, names: Sequence[str], plugins: tuple[str, ...]) -> tuple[Metric, ...]:
    registry = declarations(plugins).metrics
    metrics = [registry.get(name) for name in names] or [m for m in registry if _is_default(m, entry.task)]
    for metric in metrics:
        if metric.kind == "accuracy":
            raise RegistryError(f"'{metric.name}' needs training: put it into an ablation and use bench run")
        if names and entry.task and not metric.fits(entry.task):
            raise RegistryError(f"'{metric.name}' is for {' and '.join(metric.tasks)}, not for {entry.task}")
    return tuple(dict.fromkeys(metrics))


def _is_default(metric: Metric, task: str) -> bool:
    """Whether a metric that nobody named is measured of a network of this task; without task, if it fits every task."""
    return metric.kind != "accuracy" and (metric.fits(task) if task else not metric.tasks)


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


def measured(ablations: Sequence[Ablation], data: Path | None = None) -> Iterator[Measurement]:
    """Every measurement of these ablations, by ablation, in the order of the metrics; nothing is stored."""
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
        plans = [plan(ablation, store, data) for ablation in ablations]
        executor = LocalExecutor(1, preload(plans))
        try:
            for each in plans:
                refuse_stale(run(each, store, executor))
        finally:
            executor.stop()
        for each in plans:
            measurements = {r.measurement.metric: r.measurement for r in store.records(each.keys)}
            yield from (measurements[metric.name] for metric in each.ablation.metrics)
