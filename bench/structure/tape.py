"""`record`: one run of a network on the meta device, recorded as a list of aten operators.

Tensors on the meta device have shapes and no data, so a recording costs no arithmetic and reads no weight. In-place
writes and writes through views appear on the tape as new values (functionalised). Structural metrics only read tapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from bench.structure.nodes import Call, Node, Ref, Storage, StructureError, Tape, Value
from bench.structure.recorder import Recorder

__all__ = ["Call", "Node", "Ref", "Storage", "StructureError", "Tape", "Value", "record"]


def record(
    model: torch.nn.Module,
    shape_or_inputs: Sequence[Any],
    *,
    training: bool = False,
    device: str = "cpu",
    limit: int | None = None,
) -> Tape:
    """Run `model` once on the meta device and record its operators.

    `shape_or_inputs`: the input's shape with its batch axis, (N, C, ...); or a sequence of such shapes or tensors, one
    per positional argument. The network is in eval mode unless `training`. Afterwards it is unchanged, down to its
    flags, buffers and attributes; a network with lazy layers is recorded as a copy. `device`: what the network finds
    in `x.device`. `limit`: the number of operators above which UnrolledError is raised.

    Raises StructureError if the control flow depends on data, or the network cannot run on this shape.
    """
    return Recorder(model, shape_or_inputs, training, device, limit).run()
