"""Floating-point operations of one forward pass."""

from __future__ import annotations

from bench.measurement import Reading
from bench.registry import metric
from bench.structure.costs import costs
from bench.subject import Subject


@metric(unit="FLOPs", better="lower", kind="static")
def flops(subject: Subject) -> Reading:
    """Floating-point operations of one image's forward pass, every operator by a written rule."""
    counted = costs(subject.tape)
    detail = {
        "coverage": counted.coverage,
        "uncounted": list(counted.uncounted),
        "operators": {o.name: o.flops / subject.batch for o in counted.operators if o.flops},
    }
    return Reading(counted.flops / subject.batch, detail)
