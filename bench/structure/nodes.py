"""The value types of a recording: nodes (executed operators), values (tensors), storages, and the tape of them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import torch

Role = Literal["call", "replay", "scatter"]


class StructureError(ValueError):
    """The structure of a network cannot be read; the message says why and in which module."""


class UnrolledError(StructureError):
    """The recording became longer than its limit: the network runs a loop over its input."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A tensor among the arguments of a node, by the id of its value."""

    id: int


class Value(NamedTuple):
    """A tensor on the tape. `node` is -1 for a leaf (input, parameter, constant)."""

    id: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    node: int
    slot: int
    storage: int


@dataclass(frozen=True, slots=True)
class Node:
    """An executed operator with its arguments, and the module that ran it.

    `role`: a `call` was executed by the network; a `replay` reads a view again after a write to its base; a
    `scatter` writes `inputs[1]` through the view `op` into `inputs[0]`. Only calls count as operators. `outputs`
    are value ids, one per returned tensor.
    """

    index: int
    op: torch._ops.OpOverload
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    module: str
    role: Role = "call"

    @property
    def name(self) -> str:
        """The operator's name without overload; in-place variants have the name of the plain operator."""
        return base_name(self.op)

    def bind(self) -> dict[str, Any]:
        """All arguments by their names in the operator's schema, with defaults filled in."""
        bound: dict[str, Any] = {}
        for place, argument in enumerate(self.op._schema.arguments):
            if place < len(self.args):
                bound[argument.name] = self.args[place]
            else:
                bound[argument.name] = self.kwargs.get(argument.name, argument.default_value)
        return bound

    def where(self) -> str:
        """Operator and module, for messages."""
        return f"{self.op.namespace}.{self.name}" + (f" in '{self.module}'" if self.module else "")


@cache
def base_name(op: torch._ops.OpOverload) -> str:
    """`add` for `aten.add_.Tensor`, `aten.add.out` and `aten.add.Scalar`."""
    name = op._schema.name.split("::")[-1]
    if name.endswith("_") and not name.endswith("__"):
        return name[:-1]
    return name


class Call(NamedTuple):
    """One run of a module: its input and output values."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Storage:
    """Memory that one or more values use, from before node `born` to before node `died`.

    `died` is None if the memory outlives the recording. `size` is in bytes.
    """

    id: int
    size: int
    born: int
    died: int | None
    kind: Literal["input", "parameter", "constant", "activation"]


@dataclass(frozen=True)
class Tape:
    """A recorded run of a network. Ids index `values`; `nodes` are in order of execution.

    `parameters` and `buffers`: value ids by name. `constants`: real tensors by value id (buffers, and tensors that
    the network creates). `hidden`: ids of buffers without data, of a network that was built on the meta device.
    `frozen`: parameters with data that are not trained. `calls`: every run of each named module; `""` is the
    network. `outputs`: the tensors of the network's result, named by their place in it. `taps`: the named skips.
    `scratch`: results that other modules cache.
    """

    values: tuple[Value, ...]
    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[tuple[str, int], ...]
    parameters: Mapping[str, int]
    buffers: Mapping[str, int]
    constants: Mapping[int, torch.Tensor]
    hidden: tuple[int, ...]
    frozen: Mapping[int, torch.Tensor]
    calls: Mapping[str, tuple[Call, ...]]
    storages: tuple[Storage, ...]
    training: bool
    taps: Mapping[str, str] = field(default_factory=dict)
    scratch: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def executed(self) -> tuple[Node, ...]:
        """The operators that the network executed, without replays and scatters.

        The empty workspace tensor of torch's batch norm is left out.
        """
        return tuple(n for n in self.nodes if n.role == "call" and not self._workspace(n))

    def _workspace(self, node: Node) -> bool:
        return node.name == "empty" and all(0 in self.values[v].shape for v in node.outputs)

    def output(self, which: int | str) -> int:
        """The value id of an output tensor by place or name. Raises StructureError for an unknown one."""
        if isinstance(which, int):
            if not -len(self.outputs) <= which < len(self.outputs):
                raise StructureError(f"the network has {len(self.outputs)} outputs, not an output {which}")
            return self.outputs[which][1]
        for name, value in self.outputs:
            if name == which:
                return value
        raise StructureError(f"no output '{which}' (outputs: {', '.join(n for n, _ in self.outputs)})")
