"""Operators executed in one forward pass."""

from __future__ import annotations

from bench.hardware.subject import Subject
from bench.registry import metric
from bench.results.measurement import Reading
from bench.structure.graph import op_counts as counted


@metric(unit="operators", better="lower", kind="static", display_name="operators", bounds=(0, None))
def op_counts(subject: Subject) -> Reading:
    """Operators executed in one forward pass, views included; detail: the number by name."""
    counts = counted(subject.tape)
    return Reading(sum(counts.values()), counts)
