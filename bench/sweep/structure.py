"""The static metrics that the gate compares whatever an ablation names."""

from __future__ import annotations

from dataclasses import replace

from bench.registry.catalogue import declarations
from bench.spec.ablation import Ablation

STRUCTURE = (
    "params",
    "macs",
    "activations",
    "memory_estimate",
    "output_size",
    "receptive_field",
    "op_counts",
    "graph_hash",
    "module_operators",
)


def with_structure(ablation: Ablation, *further: str) -> Ablation:
    """The ablation with these metrics, and `further` ones, after its own."""
    metrics = declarations(ablation.plugins).metrics
    added = [metrics.get(name) for name in (*STRUCTURE, *further)]
    return replace(ablation, metrics=tuple({m.name: m for m in (*ablation.metrics, *added)}.values()))
