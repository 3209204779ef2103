"""The cost of one forward pass as published tables count it."""

from __future__ import annotations

from bench.hardware.subject import Subject
from bench.registry import metric
from bench.results.measurement import Reading
from bench.structure.conventions import CONVENTIONS
from bench.structure.costs import costs


@metric(name="conventions", unit="", better=None, kind="static", display_name="costs by published conventions")
def measured(subject: Subject) -> Reading:
    """The cost of one forward pass by each published convention, in the detail; the metric has no number of its own."""
    counted = costs(subject.tape)
    counts = {name: count(subject.tape) for name, count in CONVENTIONS.items()}
    return Reading(None, {**counts, "coverage": counted.coverage, "uncounted": list(counted.left_out)})
