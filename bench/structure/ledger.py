"""The values and storages of a tape in progress: views and in-place writes become new values."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from bench.structure.nodes import Node, Ref, Storage, StructureError, Value
from bench.structure.twins import twin

_MEMORY = "_fovbench_cell"
Geometry = tuple[Any, ...]
Step = tuple[torch._ops.OpOverload, tuple[Any, ...], dict[str, Any], int]


@dataclass(slots=True)
class _View:
    """A view of a storage: the operators that lead from its base to the view, and its value at one version."""

    steps: tuple[Step, ...]
    version: int
    value: int


@dataclass(slots=True)
class _Memory:
    """A storage during a recording: the value of all of it (`base`), the number of writes so far, its views."""

    id: int
    base: int
    version: int = 0
    views: dict[Geometry, _View] = field(default_factory=dict)


class Ledger:
    """The values and nodes of a tape in progress, and the storages of the values.

    A storage is identified by an attribute on it, so the ledger keeps no storage alive and can record when it is
    freed. A write through one view updates the storage's base; the other views are read again from the base at
    their next use.
    """

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.nodes: list[Node] = []
        self.constants: dict[int, torch.Tensor] = {}
        self.frozen: dict[int, torch.Tensor] = {}
        self.hidden: tuple[int, ...] = ()
        self.path: list[tuple[str, tuple[int, ...]]] = []
        self.kinds: list[tuple[int, int, Any]] = []
        self.died: dict[int, int] = {}
        self.alive: list[weakref.ref[Any]] = []
        self.real: dict[int, tuple[_Memory, torch.Tensor]] = {}
        self.strays: dict[int, tuple[torch.Tensor, torch.nn.Parameter]] = {}

    def new(self, t: torch.Tensor, node: int, slot: int, storage: int) -> int:
        self.values.append(Value(len(self.values), tuple(t.shape), t.dtype, node, slot, storage))
        return len(self.values) - 1

    def allocate(self, t: torch.Tensor, kind: Any, node: int = -1, slot: int = 0) -> int:
        """A value in a new storage."""
        storage = t.untyped_storage()
        number = len(self.kinds)
        self.kinds.append((storage.nbytes(), len(self.nodes), kind))
        value = self.new(t, node, slot, number)
        memory = _Memory(number, value)
        memory.views[geometry(t)] = _View((), 0, value)
        if t.is_meta:
            setattr(storage, _MEMORY, memory)
            if kind == "activation":
                self.alive.append(weakref.ref(storage, lambda _: self.died.setdefault(number, len(self.nodes))))
        else:
            self.real[storage._cdata] = (memory, t)
        return value

    def leaf(self, t: torch.Tensor, kind: str) -> int:
        return self.allocate(t, kind)

    def lookup(self, t: torch.Tensor) -> _Memory | None:
        storage = t.untyped_storage()
        if t.is_meta:
            return getattr(storage, _MEMORY, None)
        entry = self.real.get(storage._cdata)
        return entry[0] if entry else None

    def identify(self, t: torch.Tensor) -> int:
        """The id of the current value of `t`."""
        return self.identified(self.stand_in(t))

    def identified(self, t: torch.Tensor) -> int:
        memory = self.lookup(t)
        if memory is None:
            value = self.allocate(t, "constant")
            if t.is_meta:
                raise StructureError(f"{self.where()}a tensor on the meta device has unknown values")
            self.constants[value] = t.detach()
            return value
        view = memory.views.get(geometry(t)) or self._stray_view(memory, t)
        return self._current(memory, view)

    def stand_in(self, t: torch.Tensor) -> torch.Tensor:
        """`t` itself, or the meta twin of a real parameter that is not in the module tree."""
        if t.is_meta:
            return t
        stray = self.strays.get(t.untyped_storage()._cdata)
        if stray is not None and geometry(stray[0]) == geometry(t):
            return stray[1]
        if isinstance(t, torch.nn.Parameter) or t.requires_grad:
            with _disable_current_modes():
                meta = torch.nn.Parameter(twin(t), requires_grad=t.requires_grad)
            self.strays[t.untyped_storage()._cdata] = (t, meta)
            self.leaf(meta, "parameter")
            return meta
        return t

    def _stray_view(self, memory: _Memory, t: torch.Tensor) -> _View:
        """A view created without a dispatched operator (`detach` in C++): by strides over the base."""
        op = torch.ops.aten.as_strided.default
        steps: tuple[Step, ...] = ((op, (None, tuple(t.shape), t.stride(), t.storage_offset()), {}, 0),)
        view = _View(steps, -1, -1)
        if not t.is_meta and memory.version == 0:
            view = _View(steps, 0, self.new(t, -1, 0, memory.id))
            self.constants[view.value] = t.detach()
        memory.views[geometry(t)] = view
        return view

    def _current(self, memory: _Memory, view: _View) -> int:
        if view.version != memory.version:
            view.value = self._replay(memory, view.steps)[-1]
            view.version = memory.version
        return view.value

    def _replay(self, memory: _Memory, steps: tuple[Step, ...]) -> list[int]:
        """The values along a chain of views, read from the current base."""
        chain = [memory.base]
        with _disable_current_modes():
            for step in steps:
                chain.append(self._replay_one(step, chain[-1], memory.id))
        return chain

    def _replay_one(self, step: Step, source: int, storage: int) -> int:
        op, args, kwargs, slot = step
        value = self.values[source]
        if op is torch.ops.aten.as_strided.default:
            shaped = torch.empty(args[1], dtype=value.dtype, device="meta")
        else:
            result = op(torch.empty(value.shape, dtype=value.dtype, device="meta"), *args[1:], **kwargs)
            shaped = result[slot] if isinstance(result, (list, tuple)) else result
        index = len(self.nodes)
        read = self.new(shaped, index, slot, storage)
        outputs = (*[-1] * slot, read)
        call = (Ref(source), *args[1:])
        self.nodes.append(Node(index, op, call, kwargs, (source,), outputs, self.here(), "replay"))
        return read

    def write(self, t: torch.Tensor, value: int) -> None:
        """Set `t` to `value`, and update the base of its storage through the view."""
        memory = self.lookup(t)
        assert memory is not None
        if not t.is_meta and not _whole(self.real[t.untyped_storage()._cdata][1]):
            raise StructureError(f"{self.where()}the network writes to a part of a tensor that is not on meta")
        view = memory.views.get(geometry(t)) or self._stray_view(memory, t)
        chain = self._replay(memory, view.steps[:-1]) if view.steps else []
        for step, under in zip(reversed(view.steps), reversed(chain), strict=True):
            value = self._scatter(step, under, value, memory.id)
        memory.base, memory.version = value, memory.version + 1

    def _scatter(self, step: Step, under: int, value: int, storage: int) -> int:
        op, args, kwargs, slot = step
        index, base = len(self.nodes), self.values[under]
        with _disable_current_modes():
            shaped = torch.empty(base.shape, dtype=base.dtype, device="meta")
        written = self.new(shaped, index, 0, storage)
        kwargs = {**kwargs, "slot": slot}
        call = (Ref(under), *args[1:])
        self.nodes.append(Node(index, op, call, kwargs, (under, value), (written,), self.here(), "scatter"))
        return written

    def storages(self) -> tuple[Storage, ...]:
        """All storages, with the node before which each was allocated and freed."""
        return tuple(Storage(i, size, born, self.died.get(i), kind) for i, (size, born, kind) in enumerate(self.kinds))

    def here(self) -> str:
        """Name of the module that is running; empty for the network itself."""
        return self.path[-1][0] if self.path else ""

    def where(self) -> str:
        """The same as the beginning of a message."""
        return f"in '{self.here()}': " if self.here() else ""

    def fresh(self, node: Node, t: torch.Tensor, slot: int, source: torch.Tensor | None) -> int:
        """The value of a result: in new memory, or a view of the first argument, as the meta kernel decides."""
        memory = self.lookup(t)
        if memory is None:
            return self.allocate(t, "activation", node.index, slot)
        if source is None or self.lookup(self.stand_in(source)) is not memory:
            raise StructureError(f"{node.where()} returns a view of an argument that is not its first")
        return self._view(node, self.stand_in(source), t, slot, memory)

    def _view(self, node: Node, source: torch.Tensor, t: torch.Tensor, slot: int, memory: _Memory) -> int:
        under = memory.views[geometry(source)]
        plain = (None, *node.args[1:])
        value = self.new(t, node.index, slot, memory.id)
        steps = (*under.steps, (node.op, plain, dict(node.kwargs), slot))
        if geometry(t) == geometry(source):
            steps = under.steps
        memory.views[geometry(t)] = _View(steps, memory.version, value)
        return value


def geometry(t: torch.Tensor) -> Geometry:
    return (t.shape, t.stride(), t.storage_offset(), t.dtype)


def _whole(t: torch.Tensor) -> bool:
    return t.is_contiguous() and t.untyped_storage().nbytes() == t.numel() * t.element_size()
