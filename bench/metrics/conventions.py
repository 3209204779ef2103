"""The cost of one forward pass as published tables count it."""

from __future__ import annotations

from bench.measurement import Reading
from bench.registry import metric
from bench.structure.conventions import CONVENTIONS
from bench.subject import Subject


@metric(name="conventions", unit="", better=None, kind="static")
def measured(subject: Subject) -> Reading:
    """What published tables would print for one forward pass, by their conventions; no number of its own."""
    return Reading(None, {name: count(subject.tape) for name, count in CONVENTIONS.items()})
