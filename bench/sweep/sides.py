"""What a user writes for one side of a paired comparison, as a network and what it is timed on.

fcn                          a registered architecture, at the defaults of its axes
fcn(stride=8,skips=true)     with values of its axes
timm:resnet50, net.py:Net    networks of a library, of a file
fcn_skips[stride=8]          a variant of an ablation, on the ablation's workload
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.registry import Metric, RegistryError, targets
from bench.registry.catalogue import declarations
from bench.spec.ablation import load
from bench.spec.references import Scope, VariantError, find_variant, items
from bench.spec.variant import Variant
from bench.spec.workload import Workload
from bench.sweep.adhoc import variant_of
from bench.sweep.roots import LIMIT
from bench.sweep.turns import Pair, Side

OF_ABLATION = re.compile(r"(?P<ablation>[^\[\]:()]+)\[(?P<reference>.*)\]")
OF_TARGET = re.compile(r"(?P<target>[^()]+)(\((?P<axes>.*)\))?")
SHAPE = (3, 224, 224)
"""The input of a target where nothing states it."""


def side_of(text: str, label: str, how: Mapping[str, Any], plugins: Sequence[str] = ()) -> Side:
    """The side that a text names; `how` are fields of the workload that are stated (shape, batch, device, ...).

    Raises RegistryError for what names no network.
    """
    if match := OF_ABLATION.fullmatch(text):
        variant, work, plugins = _of_ablation(match["ablation"], match["reference"], plugins)
        return Side(label, variant, replace(work, **how), tuple(plugins))
    match = OF_TARGET.fullmatch(text)
    if match is None:
        raise RegistryError(f"'{text}': write TARGET, TARGET(axis=value,...) or ABLATION[axis=value,...]")
    entry = targets.declared(match["target"], plugins)
    variant = variant_of(entry, items(match["axes"] or ""))
    return Side(label, variant, Workload(entry.task, "", (), **{"shape": SHAPE, "batch": 1, **how}), tuple(plugins))


def _of_ablation(name: str, reference: str, plugins: Sequence[str]) -> tuple[Variant, Workload, tuple[str, ...]]:
    ablation = load(name, (), plugins)
    try:
        variant = find_variant(reference, Scope((), ablation.variants, ablation.excluded))
    except VariantError as error:
        raise RegistryError(f"{name}: {error}") from None
    return variant, ablation.workload_of(variant), ablation.plugins


def pairs_of(
    a: str, b: str, metrics: Sequence[str], how: Mapping[str, Any], plugins: tuple[str, ...], budget: float = 0.0
) -> Iterator[tuple[str, Metric, Pair]]:
    """(name of the comparison, metric, pair) for each metric. A side that gives no answer for LIMIT, or for `budget`
    seconds if that is longer, hangs. Raises RegistryError for other metrics than of speed.
    """
    sides = side_of(a, "A", how, plugins), side_of(b, "B", how, plugins)
    together = tuple(dict.fromkeys((*plugins, *sides[0].plugins, *sides[1].plugins)))
    for metric in [speed_metric(name, together) for name in metrics]:
        yield f"{b} against {a}", metric, Pair(*sides, metric.name, max(LIMIT, budget))


def speed_metric(name: str, plugins: tuple[str, ...]) -> Metric:
    """The metric of kind speed of a name. Raises RegistryError with those that there are."""
    metrics = declarations(plugins).metrics
    metric = metrics.get(name)
    if metric.kind != "speed":
        speeds = ", ".join(each.name for each in metrics if each.kind == "speed")
        raise RegistryError(f"'{name}' is a metric of kind {metric.kind}; turns are taken for speed: {speeds}")
    return metric
