"""Which measurements are made together: one training run, or one timing of networks with equal graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.registry.catalogue import declarations
from bench.results.keys import Request
from bench.results.signature import Signature
from bench.spec.variant import Variant
from bench.spec.workload import Workload


def training_runs(due: Sequence[Request]) -> list[list[Request]]:
    """The accuracy measurements of each training run."""
    groups: dict[str, list[Request]] = {}
    for request in due:
        groups.setdefault(request.training_run, []).append(request)
    return list(groups.values())


def deciding_first(runs: Sequence[list[Request]], answers: Sequence[tuple[str, str]]) -> list[list[Request]]:
    """The training runs in their order, those of the variants that `answers` compare before the others."""
    compared = {name for pair in answers for name in pair}
    return sorted(runs, key=lambda group: group[0].variant.name not in compared)


def timings(
    due: Sequence[Request], plugins: tuple[str, ...], signatures: Mapping[Variant, Signature]
) -> list[list[Request]]:
    """The speed measurements of each timing; equal graphs and workloads share one, of metrics of the graph."""
    metrics = declarations(plugins).metrics
    groups: dict[tuple[str, str, Workload], list[Request]] = {}
    for request in due:
        graph = signatures[request.variant].graph if request.variant in signatures else ""
        own = not graph or not metrics.get(request.metric).of_graph
        groups.setdefault((request.metric, request.key if own else graph, request.workload), []).append(request)
    return list(groups.values())
