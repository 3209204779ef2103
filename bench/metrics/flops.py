"""Floating-point operations of one forward pass."""

from __future__ import annotations

from bench.hardware.subject import Subject
from bench.registry import metric
from bench.results.measurement import Reading
from bench.structure.costs import costs, per_input


@metric(unit="FLOPs", better="lower", kind="static", display_name="FLOPs", bounds=(0, None))
def flops(subject: Subject) -> Reading:
    """Floating-point operations of one image's forward pass, every operator by a written rule."""
    counted, batch = costs(subject.tape), subject.batch
    detail = {
        "coverage": counted.coverage,
        "uncounted": list(counted.left_out),
        "operators": {o.name: per_input(o.flops, batch) for o in counted.operators if o.flops},
    }
    return Reading(per_input(counted.flops, batch), detail)
