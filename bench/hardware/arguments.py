"""What a network is called with and what it returns, where these are not one tensor each.

Metrics call a network with tensors by place. A hook before its forward pass makes arguments by name, dicts and lists
of these tensors again; a hook after it takes the tensors out of any object that the network returns. The network keeps
its class, its children and its attributes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any

import torch
from torch.utils import _pytree as pytree

from bench.hardware.subject import Subject
from bench.registry.errors import DoesNotApplyError
from bench.spec.inputs import Call, Spec
from bench.structure.lazy import has_lazy_parts, materialise
from bench.structure.nodes import StructureError
from bench.structure.tape import Tape, record
from bench.structure.twins import twin

DEPTH = 8
"""Levels of an output in which tensors are looked for: an object may refer to itself."""


class NotAnImageError(DoesNotApplyError, StructureError):
    """A metric that asks about the pixels of an image calls a network whose inputs are none: it does not apply."""


@dataclass(frozen=True)
class Arguments:
    """The arguments of one call. `leaves`: tensors and other values in the order of `spec`, a tree of (args, kwargs).

    `order`: the places of the tensors among the leaves, images first.
    """

    leaves: tuple[Any, ...]
    spec: pytree.TreeSpec
    order: tuple[int, ...]

    @classmethod
    def of(cls, value: Any) -> Arguments:
        """The arguments that a person's example means: a tensor, a tuple or list of arguments, or a dict by name.

        Raises ValueError for an example without tensor.
        """
        args, kwargs = _call(value)
        leaves, spec = pytree.tree_flatten((_as_tensors(args), _as_tensors(kwargs)))
        places = [place for place, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
        if not places:
            raise ValueError(f"the example inputs have no tensor: {type(value).__name__}")
        return cls(tuple(leaves), spec, tuple(sorted(places, key=lambda place: _rank(leaves[place]))))

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """The tensors, images first."""
        return tuple(self.leaves[place] for place in self.order)

    def with_tensors(self, tensors: tuple[torch.Tensor, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments with these tensors in place of the first ones; the others follow the size of the first.

        Raises NotAnImageError where a floating tensor stands in for integers.
        """
        for tensor, own in zip(tensors, self.tensors, strict=False):
            if tensor.is_floating_point() and not (own.is_floating_point() or own.is_complex()):
                raise NotAnImageError(f"the network's first input is no image, but {described(own)}")
        leaves = list(self.leaves)
        missing = (_following(own, self.tensors[0], tensors[0]) for own in self.tensors[len(tensors) :])
        for place, tensor in zip(self.order, (*tensors, *missing), strict=True):
            leaves[place] = tensor
        args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        return args, kwargs


def described(tensor: torch.Tensor) -> str:
    """A tensor as `--inputs` has it: `int64[1,16]`."""
    return f"{str(tensor.dtype).removeprefix('torch.')}[{','.join(map(str, tensor.shape))}]"


def _call(value: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(value, Call):
        return value.args, value.kwargs
    if isinstance(value, Mapping):
        return (), dict(value)
    is_list = isinstance(value, (tuple, list)) and not hasattr(value, "_fields")
    return (tuple(value) if is_list else (value,)), {}


def _as_tensors(value: Any) -> Any:
    """Arrays as tensors and mappings of any class as dicts, at any depth."""
    if isinstance(value, Mapping):
        return {name: _as_tensors(each) for name, each in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_as_tensors(each) for each in value)
    return torch.from_numpy(value) if type(value).__module__ == "numpy" and hasattr(value, "ndim") else value


def _rank(tensor: torch.Tensor) -> int:
    """0 for images and videos, 1 for signals, 2 for other numbers, 3 for tokens and masks."""
    if not tensor.is_floating_point():
        return 3
    return max(0, 4 - max(tensor.ndim, 2))


def _following(own: torch.Tensor, first: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    """An input that a caller does not give, with the batch size of the first, and its height and width if they agree.

    `first` is the example's first tensor, `given` the one in its place.
    """
    if own.is_floating_point() and own.ndim == first.ndim > 2 and own.shape[2:] == first.shape[2:] != given.shape[2:]:
        return given.new_zeros(given.shape[0], own.shape[1], *given.shape[2:])
    if own.ndim and own.shape[0] == first.shape[0] > given.shape[0]:
        own = own[: given.shape[0]]
    return own if given.is_meta else converted(own, given.dtype, str(given.device))


def converted(tensor: torch.Tensor, dtype: torch.dtype, device: str) -> torch.Tensor:
    """A tensor on a device; floating numbers in `dtype`."""
    return tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype)


@dataclass(frozen=True)
class Feed:
    """The hook before a forward pass. A dict whose names the forward pass does not have is its one argument."""

    arguments: Arguments

    def __call__(self, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        args, kwargs = self.arguments.with_tensors(args)
        return (args, kwargs) if args or _takes(model.forward, kwargs) else ((kwargs,), {})


def _takes(forward: Callable[..., Any], kwargs: Mapping[str, Any]) -> bool:
    try:
        parameters = inspect.signature(forward).parameters
    except (TypeError, ValueError):  # a scripted network
        return True
    return any(p.kind is p.VAR_KEYWORD for p in parameters.values()) or all(name in parameters for name in kwargs)


def plain_output(model: Any, args: Any, output: Any) -> Any:
    """The hook after a forward pass: None leaves an output of tensors, tuples, lists and dicts as it is."""
    return None if _is_plain(output) else _tensors_in(output, DEPTH)


def _is_plain(value: Any) -> bool:
    if isinstance(value, (torch.Tensor, str, bytes, int, float, type(None))):
        return True
    if type(value) is dict:
        return all(_is_plain(each) for each in value.values())
    is_tuple = type(value) in (tuple, list) or (isinstance(value, tuple) and hasattr(value, "_fields"))
    return is_tuple and all(_is_plain(each) for each in value)


def _tensors_in(value: Any, depth: int) -> Any:
    """The tensors of an object: dicts for mappings, dataclasses and objects, tuples for sequences and generators."""
    if isinstance(value, torch.Tensor):
        return value
    if not depth or value is None or isinstance(value, (str, bytes, int, float, type)):
        return None
    if isinstance(value, Mapping):
        return {str(name): _tensors_in(each, depth - 1) for name, each in value.items()}
    if is_dataclass(value):
        return {each.name: _tensors_in(getattr(value, each.name), depth - 1) for each in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: _tensors_in(getattr(value, name), depth - 1) for name in value._fields}
    if isinstance(value, (tuple, list, set, frozenset, Iterator)):
        return tuple(_tensors_in(each, depth - 1) for each in value)
    return {name: _tensors_in(each, depth - 1) for name, each in _attributes(value)}


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """The public attributes of an object, `logits` too where it is computed."""
    own = {name: each for name, each in getattr(value, "__dict__", {}).items() if name[0] != "_"}
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    own |= {name: getattr(value, name) for name in (*slots, "logits") if name[0] != "_" and hasattr(value, name)}
    yield from own.items()


class Called(torch.nn.Module):
    """A scripted network, which takes no hooks, as the child of a network that does."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the network returns."""
        return self.network(*args, **kwargs)


def fitted(network: Any, arguments: Arguments | None) -> Any:
    """The network with both hooks; with the one after its forward pass only where it is called with an image."""
    if not isinstance(network, torch.nn.Module):
        return network
    if isinstance(network, torch.jit.ScriptModule):  # it returns tensors, tuples, lists and dicts only
        return network if arguments is None else fitted(Called(network), arguments)
    network.register_forward_hook(plain_output)
    if arguments is not None:
        network.register_forward_pre_hook(Feed(arguments), prepend=True, with_kwargs=True)
        if has_lazy_parts(network):
            materialise(network, [twin(tensor) for tensor in arguments.tensors])
    return network


@dataclass(frozen=True)
class FedSubject(Subject):
    """A subject that is called with `arguments`; its `shape` is that of the first tensor, without its first axis."""

    arguments: Arguments | None = None

    @cached_property
    def inputs(self) -> tuple[torch.Tensor, ...]:
        """The tensors of the arguments, images first, on the device and in the dtype and layout of the network."""
        return inputs_of(self, self.arguments)

    @cached_property
    def tape(self) -> Tape:
        """The network recorded on the meta device with tensors like `inputs`."""
        return tape_of(self, self.arguments)


def inputs_of(subject: Subject, arguments: Arguments | None) -> tuple[torch.Tensor, ...]:
    """See `FedSubject.inputs`; without arguments those of a `Subject`."""
    if arguments is None:
        plain: tuple[torch.Tensor, ...] = Subject.inputs.func(subject)  # type: ignore[attr-defined]
        return plain
    moved = (converted(x, getattr(torch, subject.dtype), subject.device) for x in arguments.tensors)
    if subject.layout == "contiguous":
        return tuple(moved)
    return tuple(x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x for x in moved)


def tape_of(subject: Subject, arguments: Arguments | None) -> Tape:
    """See `FedSubject.tape`; without arguments that of a `Subject`."""
    if arguments is None:
        plain: Tape = Subject.tape.func(subject)  # type: ignore[attr-defined]
        return plain
    dtype = getattr(torch, subject.dtype)
    return record(subject.structure, [twin(converted(x, dtype, "cpu")) for x in arguments.tensors])


def drawn(call: Call, batch: int, seed: int) -> Call:
    """The arguments of a text with random values from a seed: unit-normal, integers below their limit."""
    generator = torch.Generator().manual_seed(seed)
    args = tuple(_drawn(spec, batch, generator) for spec in call.args)
    return Call(args, {name: _drawn(spec, batch, generator) for name, spec in call.kwargs.items()})


def _drawn(spec: Spec, batch: int, generator: torch.Generator) -> Any:
    if isinstance(spec, dict):
        return {name: _drawn(each, batch, generator) for name, each in spec.items()}
    dtype, shape = getattr(torch, spec.dtype), spec.shape(batch)
    if dtype.is_floating_point or dtype.is_complex:
        return torch.randn(shape, generator=generator, dtype=torch.promote_types(dtype, torch.float32)).to(dtype)
    return torch.randint(0, spec.limit, shape, generator=generator).to(dtype)
