"""Input pixels per output position."""

from __future__ import annotations

from bench.measurement import Reading
from bench.registry import metric
from bench.structure.strides import strides
from bench.subject import Subject


@metric(unit="px", better=None, kind="static")
def output_stride(subject: Subject) -> Reading:
    """Input pixels per position of the output, or of the finest prediction grid where skips are named."""
    found = strides(subject.structure, subject.shape)
    return Reading(found.taken, {"output": found.output, "coarsest": found.coarsest, **found.taps})
