"""Weights that a quantised layer has packed into an opaque object, which is no parameter to torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from bench.structure.nodes import StructureError

KINDS = ("LinearPackedParamsBase", "Conv2dPackedParamsBase", "Conv3dPackedParamsBase")
"""The kinds that torch can unpack."""


def packed_sizes(model: torch.nn.Module) -> Mapping[str, int]:
    """Numbers in the packed weights and biases of each module, by module path.

    Raises StructureError for packed weights that cannot be unpacked (recurrent layers).
    """
    sizes: dict[str, int] = {}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, torch.ScriptObject):
                sizes[path] = sizes.get(path, 0) + _size(value, f"{path}.{name}".strip("."))
    return sizes


def _size(packed: torch.ScriptObject, name: str) -> int:
    kind = packed._type().qualified_name().rpartition(".")[2]
    if kind not in KINDS:
        raise StructureError(f"'{name}' holds packed weights ({kind}) that cannot be counted")
    tensors: list[Any] = list(packed.unpack())  # type: ignore[attr-defined]
    return sum(t.numel() for t in tensors if isinstance(t, torch.Tensor))
