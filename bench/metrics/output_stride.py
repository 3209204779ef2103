"""Input pixels per output position."""

from __future__ import annotations

from bench.hardware.subject import Subject
from bench.registry import metric
from bench.results.measurement import Reading
from bench.structure.strides import strides


@metric(unit="px", better=None, kind="static", display_name="output stride", bounds=(0, None))
def output_stride(subject: Subject) -> Reading:
    """Input pixels per position of the output, or of the finest prediction grid if the network names its skips."""
    stride = strides(subject.structure, subject.shape)
    return Reading(stride.finest, {"output": stride.output, "coarsest": stride.coarsest, **stride.taps})
