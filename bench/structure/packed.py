"""Weights that a quantised layer has packed into an opaque object, which is no parameter to torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from bench.structure.nodes import StructureError
from bench.structure.scripts import graph_of, named

KINDS = ("LinearPackedParamsBase", "Conv2dPackedParamsBase", "Conv3dPackedParamsBase")
"""The kinds that torch can unpack."""


def packed_sizes(model: torch.nn.Module) -> Mapping[str, int]:
    """Numbers in the packed weights and biases of each module, by module path.

    Raises StructureError for packed weights that cannot be unpacked (recurrent layers, scripts), and for a frozen
    script, whose weights are constants of its code.
    """
    sizes: dict[str, int] = {}
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            _refuse_hidden_weights(module, path)
            continue
        for name, value in vars(module).items():
            if isinstance(value, torch.ScriptObject):
                sizes[path] = sizes.get(path, 0) + _size(value, f"{path}.{name}".strip("."))
    return sizes


def _refuse_hidden_weights(script: torch.jit.ScriptModule, path: str) -> None:
    """Raise StructureError for a script with weights that are no parameters."""
    graph = graph_of(script)
    if graph is None:
        return
    types = [str(node.output().type()) for node in graph.findAllNodes("prim::GetAttr")]
    if any(kind.startswith("__torch__.torch.classes.") for kind in types):
        raise StructureError(f"{named(path)} is a script with packed weights that cannot be counted")
    nodes = graph.findAllNodes("prim::Constant")
    kinds = [(n, n.kindOf("value")) for n in nodes if n.hasAttribute("value")]
    constants = [n for n, kind in kinds if kind == "ival" or (kind == "t" and n.t("value").dim())]
    is_frozen = not script._c.hasattr("training")
    if is_frozen and constants:
        message = "its weights are constants of its code, and cannot be counted; measure it before torch.jit.freeze"
        raise StructureError(f"{named(path)} is a frozen script: {message}")


def _size(packed: torch.ScriptObject, name: str) -> int:
    kind = packed._type().qualified_name().rpartition(".")[2]
    if kind not in KINDS:
        raise StructureError(f"'{name}' holds packed weights ({kind}) that cannot be counted")
    tensors: list[Any] = list(packed.unpack())  # type: ignore[attr-defined]
    return sum(t.numel() for t in tensors if isinstance(t, torch.Tensor))
