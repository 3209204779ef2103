"""Networks that run, and whose structure a recording cannot follow, since their control flow depends on data."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from bench.results.measurement import Measurement

NOT_MEASURED = {"not_measured": True}
"""Stands for the numbers of a network whose structure cannot be read."""
CRASHED = "the network cannot be recorded"
"""What a recording says where the network itself raised an error."""


def settled(measurements: Iterable[Measurement], named: Collection[str] = ()) -> list[Measurement]:
    """The measurements; where the structure of a network that runs cannot be read, `NOT_MEASURED` of those that the
    ablation does not name.
    """
    return [
        replace(m, error=None, samples=(), detail=NOT_MEASURED) if m.metric not in named and _unreadable(m) else m
        for m in measurements
    ]


def _unreadable(measurement: Measurement) -> bool:
    """Whether a recording cannot follow the network, which says nothing about whether it runs."""
    error = measurement.error or ""
    return ("StructureError" in error or "UnrolledError" in error) and CRASHED not in error
