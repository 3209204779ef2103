"""Multiply-accumulates of one forward pass."""

from __future__ import annotations

from bench.hardware.subject import Subject
from bench.registry import metric
from bench.results.measurement import Reading
from bench.structure.costs import costs, per_input


@metric(unit="MACs", better="lower", kind="static", display_name="MACs", bounds=(0, None))
def macs(subject: Subject) -> Reading:
    """Multiply-accumulates of one image's forward pass: convolutions and matrix products."""
    counted = costs(subject.tape)
    batch = subject.batch
    detail = {
        "coverage": counted.coverage,
        "uncounted": list(counted.left_out),
        "live": per_input(counted.live, batch),
        "operators": {o.name: per_input(o.macs, batch) for o in counted.operators if o.macs},
    }
    return Reading(per_input(counted.macs, batch), detail)
