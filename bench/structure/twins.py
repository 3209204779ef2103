"""A network that stands on the meta device for a while, and is exactly what it was afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from bench.structure.tape import StructureError

_INNER = ("_parameters", "_buffers", "_modules")


def twin(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of the same geometry without data. Raises StructureError for one without strides."""
    if tensor.layout is not torch.strided:
        raise StructureError(f"a {tensor.layout} tensor has no meta twin; only dense tensors can be recorded")
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def parameter_twins(model: torch.nn.Module) -> dict[torch.nn.Parameter, torch.nn.Parameter]:
    """Meta twins of all parameters, one for each object, so that tied weights stay tied."""
    twins = {}
    for name, p in model.named_parameters():
        if isinstance(p, torch.nn.parameter.UninitializedParameter):
            raise StructureError(f"parameter '{name}' has no shape yet: run the lazy module once before")
        twins[p] = torch.nn.Parameter(twin(p), requires_grad=p.requires_grad)
    return twins


@contextmanager
def standing_in(
    model: torch.nn.Module,
    twins: dict[torch.nn.Parameter, torch.nn.Parameter],
    training: bool,
    buffers: Mapping[torch.Tensor, torch.Tensor] | None = None,
) -> Iterator[None]:
    """Parameters (and `buffers`) replaced by twins, the mode set; every module as it was at the end."""
    saved = [_snapshot(module) for module in model.modules()]
    try:
        for module in model.modules():
            _replace(module, twins)
            for name, b in module._buffers.items() if buffers else ():
                module._buffers[name] = b if b is None or buffers is None else buffers.get(b, b)
        if any(m.training is not training for m in model.modules()):
            model.train(training)
        yield
    finally:
        for module, attributes, containers in saved:
            module.__dict__.clear()
            module.__dict__.update(attributes)
            for container, content in containers:
                _refill(container, content)


def _snapshot(module: torch.nn.Module) -> tuple[torch.nn.Module, dict[str, Any], list[tuple[Any, Any]]]:
    held = module.__dict__
    containers = [(v, v.copy()) for v in held.values() if isinstance(v, (dict, list))]
    return module, held.copy(), containers


def _replace(module: torch.nn.Module, twins: dict[torch.nn.Parameter, torch.nn.Parameter]) -> None:
    for name, p in module._parameters.items():
        if p is not None:
            module._parameters[name] = twins[p]
    for value in module.__dict__.values():
        if type(value) is list:
            value[:] = [twins.get(v, v) if isinstance(v, torch.nn.Parameter) else v for v in value]


def _refill(container: Any, content: Any) -> None:
    if isinstance(container, list):
        container[:] = content
    else:
        container.clear()
        container.update(content)
