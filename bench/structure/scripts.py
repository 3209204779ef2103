"""Scripts (`torch.jit.script`, `torch.jit.trace`) in a network, whose code is no Python code."""

from __future__ import annotations

from typing import Any

import torch

from bench.structure.nodes import StructureError

QUESTIONS = ("prim::type", "prim::is_cuda", "prim::is_cpu", "prim::is_meta", "aten::get_device")


def refuse_scripts_that_ask_for_a_device(model: torch.nn.Module) -> None:
    """Raise StructureError for a script whose control flow may depend on the device of a tensor.

    A recording answers Python code with the device of the run; a script would be answered with the meta device.
    """
    for path, module in model.named_modules():
        graph = graph_of(module)
        if graph is not None and any(_asks(graph)):
            raise StructureError(
                f"{named(path)} is a script that asks for a device; measure it before torch.jit.script"
            )


def _asks(graph: Any) -> Any:
    yield from (kind for kind in QUESTIONS if graph.findAllNodes(kind))
    compared = (node for kind in ("aten::eq", "aten::ne") for node in graph.findAllNodes(kind))
    yield from (node for node in compared if any(str(i.type()) == "Device" for i in node.inputs()))


def named(path: str) -> str:
    """A module for a message."""
    return f"'{path}'" if path else "the network"


def graph_of(module: torch.nn.Module) -> Any:
    """The code of a script with all that it calls; None for a module that is no script, or has no forward pass."""
    if not isinstance(module, torch.jit.ScriptModule) or not module._c._has_method("forward"):
        return None
    return module.inlined_graph
