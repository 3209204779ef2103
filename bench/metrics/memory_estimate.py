"""Memory of inference, estimated without running the network."""

from __future__ import annotations

from bench.hardware.subject import Subject
from bench.registry import metric
from bench.results.measurement import Reading
from bench.structure.lifetimes import inference

MIB = 2**20


@metric(unit="MiB", better="lower", kind="static", display_name="estimated memory", bounds=(0, None))
def memory_estimate(subject: Subject) -> Reading:
    """Weights, buffers, and the most that the forward pass of one image keeps alive; kernels' workspace is left out.

    Read off the recording (`bench.structure.lifetimes`), so that it is exact and the same on every machine.
    """
    memory = inference(subject.tape)
    parts = {"weights": memory.weights / MIB, "activations": memory.activations / subject.batch / MIB}
    return Reading(sum(parts.values()), parts)
