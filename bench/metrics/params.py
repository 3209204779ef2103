"""Number of parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.hardware.subject import Subject
from bench.registry import metric
from bench.results.measurement import Reading
from bench.structure.packed import packed_sizes

if TYPE_CHECKING:
    import torch


@metric(unit="parameters", better="lower", kind="static", display_name="parameters", bounds=(0, None))
def params(subject: Subject) -> Reading:
    """Parameters, trained and frozen, each counted once. Detail: buffers, and the parameters of each child module.

    Children are the network's direct submodules by name (`params/generator`); a shared parameter counts in each.
    Packed weights of quantised layers count too (`packed`). Raises StructureError if they cannot be unpacked.
    """
    model = subject.structure
    packed = sum(packed_sizes(model).values())
    parts = {name: size for name, child in model.named_children() if (size := _size(child))}
    total, trainable = _size(model), sum(p.numel() for p in model.parameters() if p.requires_grad)
    detail = {"total": total, "trainable": trainable, "buffers": sum(b.numel() for b in model.buffers())}
    return Reading(total, {**parts, **detail, **({"packed": packed} if packed else {})})


def _size(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters()) + sum(packed_sizes(model).values())
