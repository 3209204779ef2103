"""Puts a network on the meta device for a while; afterwards it is exactly as before."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from bench.structure.modes import in_eval, in_training
from bench.structure.nodes import StructureError


def twin(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of the same geometry without data. Raises StructureError for one without strides."""
    if tensor.layout is not torch.strided:
        raise StructureError(f"a tensor of layout {tensor.layout} cannot be recorded; only dense tensors can")
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


class Parts:
    """The modules, parameters and buffers of a network by name, each object once."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.modules = list(model.named_modules())
        self.parameters: dict[torch.nn.Parameter, str] = {}
        self.buffers: dict[torch.Tensor, str] = {}
        for path, module in self.modules:
            lead = path + "." if path else ""
            for name, p in module._parameters.items():
                if p is not None:
                    self.parameters.setdefault(p, lead + name)
            for name, b in module._buffers.items():
                if b is not None:
                    self.buffers.setdefault(b, lead + name)


def parameter_twins(parts: Parts) -> dict[torch.nn.Parameter, torch.nn.Parameter]:
    """Meta twins of all parameters, one for each object, so that tied weights stay tied."""
    twins = {}
    for p, name in parts.parameters.items():
        if isinstance(p, torch.nn.parameter.UninitializedParameter):
            raise StructureError(f"parameter '{name}' has no shape yet: run the lazy module once before")
        twins[p] = torch.nn.Parameter(twin(p), requires_grad=p.requires_grad)
    return twins


@contextmanager
def uncollected() -> Iterator[None]:
    """Turns off garbage collection: a recording creates thousands of objects without reference cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def standing_in(
    model: torch.nn.Module,
    parts: Parts,
    twins: dict[torch.nn.Parameter, torch.nn.Parameter],
    training: bool,
    buffers: Mapping[torch.Tensor, torch.Tensor],
) -> Iterator[None]:
    """Replaces parameters and `buffers` by twins and sets the mode; restores every module at the end."""
    saved = [_snapshot(module) for _, module in parts.modules]
    try:
        for _, module in parts.modules:
            _replace(module, twins, buffers)
        if any(m.training is not training for _, m in parts.modules):
            in_training(model) if training else in_eval(model)
        yield
    finally:
        for module, attributes, containers in saved:
            module.__dict__.clear()
            module.__dict__.update(attributes)
            for container, content in containers:
                _refill(container, content)


def _snapshot(module: torch.nn.Module) -> tuple[torch.nn.Module, dict[str, Any], list[tuple[Any, Any]]]:
    attributes = module.__dict__
    containers = [(v, v.copy() if v else None) for v in attributes.values() if isinstance(v, (dict, list))]
    groups = (module._parameters, module._buffers)
    scripted = [(group, dict(group.items())) for group in groups if not isinstance(group, dict)]
    return module, attributes.copy(), [*containers, *scripted]


def _replace(
    module: torch.nn.Module,
    twins: dict[torch.nn.Parameter, torch.nn.Parameter],
    buffers: Mapping[torch.Tensor, torch.Tensor],
) -> None:
    for name, p in module._parameters.items():
        if p is not None:
            module._parameters[name] = twins[p]
    for name, b in module._buffers.items() if buffers else ():
        module._buffers[name] = b if b is None else buffers.get(b, b)
    for value in module.__dict__.values():
        if type(value) is list and value:
            value[:] = [twins.get(v, v) if isinstance(v, torch.nn.Parameter) else v for v in value]


def _refill(container: Any, content: Any) -> None:
    """Restore the content of a container of a module; None means empty."""
    if content is None:
        if container:
            container.clear()
    elif isinstance(container, list):
        container[:] = content
    elif isinstance(container, dict):
        container.clear()
        container.update(content)
    else:
        _refill_script(container, content)


def _refill_script(container: Any, content: Mapping[str, Any]) -> None:
    """Restore the tensors of a scripted module, which can be assigned one by one only."""
    for name, tensor in content.items():
        if tensor is not container[name]:
            container[name] = tensor
