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
    """A network, or a part of it, whose structure cannot be read; the message says what and where."""


@dataclass(frozen=True, slots=True)
class Ref:
    """The place of a tensor in a node's arguments: the id of a value."""

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
    """An operator that was executed: what, on which values, in which module.

    `role`: a `call` was executed by the network; a `replay` reads a view again after its base was
    written to; a `scatter` writes `inputs[1]` through the view `op` into `inputs[0]`. Only calls count
    as operators. `outputs` are value ids, one for each tensor returned.
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
        """The operator's name without overload; in-place variants bear the name of the plain one."""
        return base_name(self.op)

    def bind(self) -> dict[str, Any]:
        """All arguments by the names of the operator's schema, defaults filled in."""
        bound: dict[str, Any] = {}
        for place, argument in enumerate(self.op._schema.arguments):
            if place < len(self.args):
                bound[argument.name] = self.args[place]
            else:
                bound[argument.name] = self.kwargs.get(argument.name, argument.default_value)
        return bound

    def where(self) -> str:
        """For messages: operator and module."""
        return f"aten.{self.name}" + (f" in '{self.module}'" if self.module else "")


@cache
def base_name(op: torch._ops.OpOverload) -> str:
    """`add` for `aten.add_.Tensor`, `aten.add.out` and `aten.add.Scalar`."""
    name = op._schema.name.split("::")[-1]
    if name.endswith("_") and not name.endswith("__"):
        return name[:-1]
    return name


class Call(NamedTuple):
    """One run of a module: the values that went in and came out."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Storage:
    """Memory that one or more values share. It lives from before node `born` to before node `died`.

    `died` is None where it outlives the recording. `size` is in bytes.
    """

    id: int
    size: int
    born: int
    died: int | None
    kind: Literal["input", "parameter", "constant", "activation"]


@dataclass(frozen=True)
class Tape:
    """What was executed. Ids index `values`; nodes stand in order of execution.

    `parameters` and `buffers` map names to value ids; `constants` holds real tensors by value id
    (buffers, and tensors the network made itself); `hidden` are buffers without values, of a network that
    was built on the meta device; `frozen` real parameters that are not trained.
    `calls` holds every run of each named module, `""` being the network. `outputs` are the tensors
    of the network's result, named by their place in it. `taps` are the network's named skips.
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
        """The operators that the network executed, without the tape's bookkeeping.

        Left out is the empty tensor that torch's batch norm asks for as workspace.
        """
        return tuple(n for n in self.nodes if n.role == "call" and not self._workspace(n))

    def _workspace(self, node: Node) -> bool:
        return node.name == "empty" and all(0 in self.values[v].shape for v in node.outputs)

    def output(self, which: int | str) -> int:
        """The value id of an output leaf by place or name. Raises StructureError if there is none."""
        if isinstance(which, int):
            if not -len(self.outputs) <= which < len(self.outputs):
                raise StructureError(f"the network has {len(self.outputs)} outputs, there is no output {which}")
            return self.outputs[which][1]
        for name, value in self.outputs:
            if name == which:
                return value
        raise StructureError(f"no output '{which}' (there is: {', '.join(n for n, _ in self.outputs)})")
