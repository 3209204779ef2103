"""The state of a network and of its recording, piece by piece, so that a change of it can be named."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from inspect import getattr_static
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    import torch

    from bench.structure.nodes import Tape

State = dict[str, Any]
"""Name of a piece, as in `parameter 'conv.weight'` -> what is compared."""

WHOLE = 1_000_000
"""Bytes of a tensor up to which all are hashed; of a larger one, its bits are summed, which takes a quarter of that."""

_PLAIN = frozenset((bool, int, float, complex, str, bytes, type(None)))
_CONTAINERS = frozenset((dict, OrderedDict, list, tuple, set, frozenset))


def changes(before: State, now: State) -> Iterator[str]:
    """A text for each piece that was added, removed or changed."""
    yield from (f"added {name}" for name in now if name not in before)
    yield from (f"removed {name}" for name in before if name not in now)
    yield from (f"changed {name}" for name in before if name in now and now[name] != before[name])


def network_state(model: torch.nn.Module) -> State:
    """Of every module its type, mode, hooks and attributes; of every parameter and buffer what `tensors_state` says."""
    state: State = {}
    tensors: dict[str, Any] = {}
    for name, module in model.named_modules():
        state[f"module '{name}'" if name else "the network"] = _module(module)
        for kind, group in (("parameter", module._parameters), ("buffer", module._buffers)):
            tensors |= {f"{kind} '{name}.{key}'".replace("'.", "'"): tensor for key, tensor in group.items()}
    return state | tensors_state(tensors)


def _module(module: torch.nn.Module) -> Any:
    attributes = module.__dict__
    own = [(key, value if type(value) in _PLAIN else _identity(value)) for key, value in attributes.items()]
    forward = getattr_static(type(module), "forward", None)  # a plain look-up fails on scripted and traced modules
    return id(type(module)), id(forward), own


def _identity(value: Any, depth: int = 3) -> Any:
    """A plain value by itself, a container by its content, anything else by its address."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind in _CONTAINERS and depth:
        if not value:
            return ()
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        return [(key, _identity(each, depth - 1)) for key, each in items]
    return id(value)


def tensors_state(tensors: Mapping[str, Any]) -> State:
    """What is compared of tensors: which they are, shape, dtype, layout, autograd, how often written, and content.

    Writes through `.data` or numpy do not count as such for torch, so that the content is hashed where it is on a CPU.
    The address is not compared: a timing moves the same values to others.
    """
    return {name: tensor if tensor is None else _tensor(tensor) for name, tensor in tensors.items()} | _content(tensors)


def _tensor(tensor: torch.Tensor) -> Any:
    from torch.nn.parameter import is_lazy

    kind = (id(tensor), tensor.dtype, tensor.device, tensor.requires_grad, tensor.grad is None)
    if is_lazy(tensor):
        return kind
    version = None if tensor.is_inference() else tensor._version
    return (*kind, tuple(tensor.shape), version)


def _readable(tensor: Any) -> bool:
    import torch
    from torch.nn.parameter import is_lazy

    if tensor is None or is_lazy(tensor) or type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        return False
    return tensor.device.type == "cpu" and tensor.layout is torch.strided and not tensor.is_quantized


def _content(tensors: Mapping[str, Any]) -> State:
    readable = {name: tensor for name, tensor in tensors.items() if _readable(tensor) and tensor.numel()}
    return {f"the values of {name}": _hashed(tensor) for name, tensor in readable.items()}


def _hashed(tensor: torch.Tensor) -> Any:
    import torch

    raw = tensor.detach().resolve_conj().resolve_neg().contiguous().flatten().view(torch.uint8)
    if len(raw) <= WHOLE:
        return crc32(raw.numpy().data)
    end = len(raw) // 16 * 16
    words = raw[:end].view(torch.int64)
    return int(words.sum()), int(words[: len(words) // 2].sum()), raw[end:].tolist()


def tape_state(tape: Tape) -> State:
    """Of a recording: its lists and mappings, the arguments of its operators, its constants, and what is cached."""
    from dataclasses import fields

    own = {each.name: getattr(tape, each.name) for each in fields(tape)}
    constants = {f"constant {key} of the recording": value for key, value in tape.constants.items()}
    state = {f"the recording's {name}": _shallow(value) for name, value in own.items() if name != "scratch"}
    state["the recording's arguments"] = crc32("\n".join(_arguments(tape)).encode())
    return state | tensors_state(constants)


def _shallow(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: id(each) for key, each in value.items()}
    return tuple(map(id, value)) if isinstance(value, (list, tuple)) else value


def _arguments(tape: Tape) -> Iterable[str]:
    for node in tape.nodes:
        yield repr((node.args, node.kwargs, node.inputs, node.outputs))
