"""Values, and the storages they stand in: how views and in-place writes become new values on a tape."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from bench.structure.nodes import Node, Ref, Storage, StructureError, Value
from bench.structure.twins import twin

_CELL = "_fovbench_cell"
Geometry = tuple[Any, ...]
Step = tuple[torch._ops.OpOverload, tuple[Any, ...], dict[str, Any], int]


@dataclass(slots=True)
class _View:
    """A way to look at a storage: the steps from its base, and its value at one version."""

    steps: tuple[Step, ...]
    version: int
    value: int


@dataclass(slots=True)
class _Cell:
    """A storage while recording: the value of its whole, how often it was written, its views."""

    id: int
    base: int
    version: int = 0
    views: dict[Geometry, _View] = field(default_factory=dict)


class HiddenTableError(StructureError):
    """A tensor was made where no operator is seen: of a list given as an index, or by `torch.tensor`."""


class Ledger:
    """The values and nodes of a tape while it is written, and the storages that the values stand in.

    A storage is known by an attribute on it, so that nothing here keeps it alive: its death is an event.
    What is written through one view is carried into the storage's base; the other views are read again
    from there when they are next used.
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
        self.real: dict[int, tuple[_Cell, torch.Tensor]] = {}
        self.strays: dict[int, tuple[torch.Tensor, torch.nn.Parameter]] = {}

    def new(self, t: torch.Tensor, node: int, slot: int, storage: int) -> int:
        self.values.append(Value(len(self.values), tuple(t.shape), t.dtype, node, slot, storage))
        return len(self.values) - 1

    def cell(self, t: torch.Tensor, kind: Any, node: int = -1, slot: int = 0) -> int:
        """A value in a storage not seen before."""
        storage = t.untyped_storage()
        number = len(self.kinds)
        self.kinds.append((storage.nbytes(), len(self.nodes), kind))
        value = self.new(t, node, slot, number)
        cell = _Cell(number, value)
        cell.views[geometry(t)] = _View((), 0, value)
        if t.is_meta:
            setattr(storage, _CELL, cell)
            if kind == "activation":
                self.alive.append(weakref.ref(storage, lambda _: self.died.setdefault(number, len(self.nodes))))
        else:
            self.real[storage._cdata] = (cell, t)
        return value

    def leaf(self, t: torch.Tensor, kind: str) -> int:
        return self.cell(t, kind)

    def lookup(self, t: torch.Tensor) -> _Cell | None:
        storage = t.untyped_storage()
        if t.is_meta:
            return getattr(storage, _CELL, None)
        entry = self.real.get(storage._cdata)
        return entry[0] if entry else None

    def identify(self, t: torch.Tensor) -> int:
        """The id of the value that `t` has now."""
        return self.identified(self.stand_in(t))

    def identified(self, t: torch.Tensor) -> int:
        cell = self.lookup(t)
        if cell is None:
            value = self.cell(t, "constant")
            if t.is_meta:
                raise HiddenTableError(f"{self.where()}a table of unknown values came in on the meta device")
            self.constants[value] = t.detach()
            return value
        view = cell.views.get(geometry(t)) or self._stray_view(cell, t)
        return self._current(cell, view)

    def stand_in(self, t: torch.Tensor) -> torch.Tensor:
        """The meta twin of a real parameter that came in past the module tree."""
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

    def _stray_view(self, cell: _Cell, t: torch.Tensor) -> _View:
        """A view that was made where no operator was seen (`detach` in C++): by strides over the base."""
        op = torch.ops.aten.as_strided.default
        steps: tuple[Step, ...] = ((op, (None, tuple(t.shape), t.stride(), t.storage_offset()), {}, 0),)
        view = _View(steps, -1, -1)
        if not t.is_meta and cell.version == 0:
            view = _View(steps, 0, self.new(t, -1, 0, cell.id))
            self.constants[view.value] = t.detach()
        cell.views[geometry(t)] = view
        return view

    def _current(self, cell: _Cell, view: _View) -> int:
        if view.version != cell.version:
            view.value = self._replay(cell, view.steps)[-1]
            view.version = cell.version
        return view.value

    def _replay(self, cell: _Cell, steps: tuple[Step, ...]) -> list[int]:
        """The values along a chain of views, read from the base as it is now."""
        chain = [cell.base]
        with _disable_current_modes():
            for step in steps:
                chain.append(self._replay_one(step, chain[-1], cell.id))
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
        """`t` now has `value`: carry it through the view into the storage's base."""
        cell = self.lookup(t)
        assert cell is not None
        if not t.is_meta and not _whole(self.real[t.untyped_storage()._cdata][1]):
            raise StructureError(f"{self.where()}the network writes to a part of a real tensor's memory")
        view = cell.views.get(geometry(t)) or self._stray_view(cell, t)
        chain = self._replay(cell, view.steps[:-1]) if view.steps else []
        for step, under in zip(reversed(view.steps), reversed(chain), strict=True):
            value = self._scatter(step, under, value, cell.id)
        cell.base, cell.version = value, cell.version + 1

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
        """All memory that was seen, with its birth and death."""
        return tuple(Storage(i, size, born, self.died.get(i), kind) for i, (size, born, kind) in enumerate(self.kinds))

    def here(self) -> str:
        """The module that is running."""
        return self.path[-1][0] if self.path else ""

    def where(self) -> str:
        """The same, for the beginning of a message."""
        return f"in '{self.here()}': " if self.here() else ""

    def fresh(self, node: Node, t: torch.Tensor, slot: int, source: torch.Tensor | None) -> int:
        """A result: in memory of its own, or a view of its first argument (as the meta kernel says)."""
        cell = self.lookup(t)
        if cell is None:
            return self.cell(t, "activation", node.index, slot)
        if source is None or self.lookup(self.stand_in(source)) is not cell:
            raise StructureError(f"{node.where()} returns memory of another argument than its first")
        return self._view(node, self.stand_in(source), t, slot, cell)

    def _view(self, node: Node, source: torch.Tensor, t: torch.Tensor, slot: int, cell: _Cell) -> int:
        under = cell.views[geometry(source)]
        plain = (None, *node.args[1:])
        value = self.new(t, node.index, slot, cell.id)
        steps = (*under.steps, (node.op, plain, dict(node.kwargs), slot))
        if geometry(t) == geometry(source):
            steps = under.steps
        cell.views[geometry(t)] = _View(steps, cell.version, value)
        return value


def geometry(t: torch.Tensor) -> Geometry:
    return (t.shape, t.stride(), t.storage_offset(), t.dtype)


def _whole(t: torch.Tensor) -> bool:
    return t.is_contiguous() and t.untyped_storage().nbytes() == t.numel() * t.element_size()
