"""Size of the output."""

from __future__ import annotations

from bench.hardware.subject import Subject
from bench.registry import metric
from bench.registry.errors import DoesNotApplyError
from bench.results.measurement import Reading


@metric(unit="px", better=None, kind="static", display_name="output size", bounds=(0, None))
def output_size(subject: Subject) -> Reading:
    """Height of the first output, or the length of a sequence; detail: its whole shape without the batch axis."""
    tape = subject.tape
    shape = tape.values[tape.output(0)].shape[1:]
    if len(shape) == len(subject.shape) == 2:
        return Reading(shape[-1], {"shape": list(shape)})
    if len(shape) < 2:
        raise DoesNotApplyError(f"an output of shape {list(shape)} has no height")
    return Reading(shape[-2], {"shape": list(shape), "width": shape[-1]})
