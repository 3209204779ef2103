"""Elements computed in one forward pass."""

from __future__ import annotations

from bench.hardware.subject import Subject
from bench.registry import metric
from bench.results.measurement import Reading
from bench.structure.graph import activations as counted


@metric(name="activations", unit="elements", better="lower", kind="static", bounds=(0, None))
def activations(subject: Subject) -> Reading:
    """Output elements of convolutions and matrix products for one image (Dollar et al. 2021, arXiv:2103.06877)."""
    elements = counted(subject.tape)
    return Reading(elements["products"] / subject.batch, {k: n / subject.batch for k, n in elements.items()})
