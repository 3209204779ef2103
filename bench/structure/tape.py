"""`record`: one run of a network on the meta device, recorded as a list of aten operators.

Tensors on the meta device have shapes and no data, so a recording costs no arithmetic and reads no weight. In-place
writes and writes through views appear on the tape as new values (functionalised). Structural metrics only read tapes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from bench.structure.ledger import HiddenTableError
from bench.structure.nodes import Call, Node, Ref, Storage, StructureError, Tape, Value
from bench.structure.recorder import Recorder

__all__ = ["Call", "Node", "Ref", "Storage", "StructureError", "Tape", "Value", "record"]


def record(
    model: torch.nn.Module,
    shape_or_inputs: Sequence[Any],
    *,
    training: bool = False,
) -> Tape:
    """Run `model` once on the meta device and keep what it did.

    `shape_or_inputs`: the input's shape with its batch axis, (N, C, ...); or a sequence of such shapes
    or tensors, one for each positional argument. The network is in eval mode unless `training`; it is
    the same object afterwards, down to its flags, buffers and attributes. Raises StructureError where
    the control flow asks for data, or the network can't run on this shape.
    """
    try:
        return Recorder(model, shape_or_inputs, training).run()
    except HiddenTableError:
        return Recorder(model, shape_or_inputs, training, tables=True).run()
