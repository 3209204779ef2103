"""Number of parameters."""

from __future__ import annotations

from bench.hardware.subject import Subject
from bench.registry import metric
from bench.results.measurement import Reading


@metric(unit="parameters", better="lower", kind="static", display_name="parameters")
def params(subject: Subject) -> Reading:
    """Parameters, trained and frozen, each counted once. Detail: buffers, and the parameters of each child module.

    Children are the network's direct submodules by name (`params/generator`); a shared parameter counts in each.
    """
    children = subject.structure.named_children()
    parts = {name: size for name, child in children if (size := sum(p.numel() for p in child.parameters()))}
    parameters = list(subject.structure.parameters())
    total = sum(p.numel() for p in parameters)
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    buffers = sum(b.numel() for b in subject.structure.buffers())
    return Reading(total, {**parts, "total": total, "trainable": trainable, "buffers": buffers})
