"""Layers on the longest path."""

from __future__ import annotations

from bench.hardware.subject import Subject
from bench.registry import metric
from bench.results.measurement import Reading
from bench.structure.graph import depth as longest


@metric(unit="layers", better=None, kind="static", bounds=(0, None))
def depth(subject: Subject) -> Reading:
    """Convolutions and matrix products with parameters on the longest path from input to output."""
    return Reading(longest(subject.tape))
