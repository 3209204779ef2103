"""`bench measure --weights`: the accuracy of one network with weights from a file; nothing is trained or stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.registry import Architecture, RegistryError, targets
from bench.registry.catalogue import declarations
from bench.registry.targets import ZOOS
from bench.results.location import Location
from bench.results.measurement import Measurement
from bench.results.weights import named, weights_folder
from bench.spec.ablation import from_document
from bench.spec.weights import weights_of, weights_text
from bench.spec.yamlfile import Document, parse_value
from bench.sweep.adhoc import measured, stated_axes


def score_target(
    target: str,
    axes: Sequence[str],
    weights: str,
    dataset: str,
    *,
    metrics: Sequence[str],
    shape: tuple[int, ...] | None,
    timeout: float,
    batches: Sequence[int],
    plugins: Sequence[str],
    data: Path | None,
    store: Location,
    **workload: Any,
) -> list[Measurement]:
    """The measurements in the order of `metrics`.

    `weights` and `dataset` are written as in an ablation file: a name, or a mapping in YAML. The default dataset is the
    embedded one of the network's task. Raises RegistryError or AblationError for what does not exist or fit.
    """
    if not weights:
        raise RegistryError("--dataset is what weights are scored on: add --weights FILE; bench run trains networks")
    if len(batches) > 1:
        raise RegistryError("with --weights there is one batch size")
    entry = targets.declared(target, plugins)
    _check_metrics(entry, metrics, plugins)
    where = {"dataset": parse_value(dataset)} if dataset else {}
    shaped = {"shape": list(shape)} if shape else {}
    file: dict[str, Any] = {
        "question": f"How good is {target} with {weights}?",
        "architecture": target,
        "baseline": stated_axes(axes),
        "metrics": list(metrics),
        "workload": {**where, **shaped, "batch": batches[0], **workload},
        "weights": _resolved(weights, store),
        "train": "none",
        "timeout": timeout,
    }
    named_code = [target.rpartition(":")[0]] if ":" in target and target.partition(":")[0] not in ZOOS else []
    ablation = from_document(Document("measure", file, {}), [*plugins, *named_code], "measure")
    return list(measured([replace(ablation, path="measure")], data))


def _resolved(weights: str, store: Location) -> Any:
    """The weights with the file of a kept run in place of its name."""
    text = weights_text(parse_value(weights) if weights.lstrip().startswith("{") else weights)
    if text is None:
        raise RegistryError("--weights names a file, not none")
    chosen = weights_of(text)
    behind = named(text, Path("measure"), weights_folder(store))
    if behind.digest is None:
        hint = "bench store info lists those that runs kept" if not behind.path else f"looked for in {Path.cwd()}"
        raise RegistryError(f"--weights {chosen.file}: there are none; {hint}")
    return str(replace(chosen, file=behind.path))


def _check_metrics(entry: Architecture, metrics: Sequence[str], plugins: Sequence[str]) -> None:
    """Raises RegistryError where none is named."""
    if not metrics:
        of_task: Mapping[str, Any] = {
            metric.name: metric
            for metric in declarations(tuple(plugins)).metrics
            if metric.kind == "accuracy" and metric.fits(entry.task)
        }
        raise RegistryError(f"name what to measure with these weights: --metrics {','.join([*of_task][:6])}")
