"""The dispatch mode that writes a tape while a network runs on the meta device."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, is_dataclass, replace
from functools import cache
from typing import Any

import torch
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

from bench.structure.constants import evaluate
from bench.structure.shapes import SHAPES
from bench.structure.tape import Call, Node, Ref, Storage, StructureError, Tape, Value, base_name
from bench.structure.twins import Parts, parameter_twins, standing_in, twin, uncollected

_PLAIN = frozenset((int, float, bool, str, type(None), torch.dtype, torch.device))
_INDEX = torch.ops.aten.index.Tensor
_ITEM = torch.ops.aten._local_scalar_dense.default
_CELL, _OWN = "_fovbench_cell", "_fovbench_own"
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


@dataclass(frozen=True)
class _Schema:
    """What an operator does to memory: places and names of the arguments it writes, views it returns."""

    written: tuple[int | str, ...]
    views: bool
    random: bool


@cache
def _schema(op: torch._ops.OpOverload) -> _Schema:
    written: list[int | str] = []
    for place, argument in enumerate(op._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            written.append(argument.name if argument.kwarg_only else place)
    aliases = [r.alias_info for r in op._schema.returns if r.alias_info is not None]
    views = any(not a.is_write for a in aliases)
    return _Schema(tuple(written), views, torch.Tag.nondeterministic_seeded in op.tags)


class HiddenTableError(StructureError):
    """A tensor was made where no operator is seen: of a list given as an index, or by `torch.tensor`."""


class Tables(TorchFunctionMode):
    """Makes tensors of lists in sight of the recorder: indices, and numbers for the meta device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            args = (args[0], _tabled(args[1]), *args[2:])
        elif func in (torch.tensor, torch.as_tensor) and kwargs and not isinstance(args[0], torch.Tensor):
            kwargs = {**kwargs, "device": None}
        return func(*args, **(kwargs or {}))


def _tabled(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(torch.tensor(i) if isinstance(i, list) else i for i in index)
    return torch.tensor(index) if isinstance(index, list) else index


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records one run of one model; used once."""

    def __init__(
        self, model: torch.nn.Module, shape_or_inputs: Sequence[Any], training: bool, tables: bool = False
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tables = Tables() if tables else nullcontext()
        self.model, self.training = getattr(model, "_orig_mod", model), training  # what torch.compile wraps
        self.values: list[Value] = []
        self.nodes: list[Node] = []
        self.constants: dict[int, torch.Tensor] = {}
        self.frozen: dict[int, torch.Tensor] = {}
        self.hidden: tuple[int, ...] = ()
        self.calls: dict[str, list[Call]] = {}
        self.path: list[tuple[str, tuple[int, ...]]] = []
        self.kinds: list[tuple[int, int, Any]] = []
        self.died: dict[int, int] = {}
        self.alive: list[weakref.ref[Any]] = []
        self.real: dict[int, tuple[_Cell, torch.Tensor]] = {}
        self.strays: dict[int, tuple[torch.Tensor, torch.nn.Parameter]] = {}
        self.journal: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.known: dict[int, str] = {}
        self.inputs = _inputs(model, shape_or_inputs)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing here is ever compiled, and torch's guard against that costs more than the recording."""
        return False

    # -- the run ---------------------------------------------------------------------------------

    def run(self) -> Tape:
        """The tape of one forward pass."""
        parts = Parts(self.model)
        twins = parameter_twins(parts)
        parameters = {name: self._parameter(p, twins[p]) for p, name in parts.parameters.items()}
        inputs = tuple(self._leaf(x, "input") for x in self.inputs)
        hidden = {b: twin(b) for b in parts.buffers if b.is_meta}
        known = {b: self._leaf(t, "constant") for b, t in hidden.items()}
        self.hidden = tuple(known.values())
        buffers = {n: known[b] if b in known else self._identified(b) for b, n in parts.buffers.items()}
        self.known = {id(m): name for name, m in parts.modules}
        with standing_in(self.model, parts, twins, self.training, hidden), uncollected():
            result = self._forward()
            outputs = tuple((name, self.identify(t)) for name, t in leaves(result))
        return self._tape(inputs, outputs, parameters, buffers)

    def _parameter(self, p: torch.nn.Parameter, meta: torch.nn.Parameter) -> int:
        value = self._leaf(meta, "parameter")
        if not p.is_meta:
            self.strays[p.untyped_storage()._cdata] = (p, meta)
        if not p.requires_grad:
            self.frozen[value] = p
        return value

    def _forward(self) -> Any:
        hooks = [register_module_forward_pre_hook(self._enter), register_module_forward_hook(self._leave)]
        try:
            with torch.no_grad(), self.tables, self:
                return self.model(*self.inputs)
        except StructureError:
            raise
        except Exception as error:
            where = f" in '{self.path[-1][0]}'" if self.path and self.path[-1][0] else ""
            raise StructureError(f"the network cannot be recorded{where}: {_first_line(error)}") from error
        finally:
            for hook in hooks:
                hook.remove()
            for original, backup in self.journal.values():
                original.copy_(backup)

    def _tape(
        self,
        inputs: tuple[int, ...],
        outputs: tuple[tuple[str, int], ...],
        parameters: dict[str, int],
        buffers: dict[str, int],
    ) -> Tape:
        storages = (Storage(i, size, born, self.died.get(i), kind) for i, (size, born, kind) in enumerate(self.kinds))
        return Tape(
            values=tuple(self.values),
            nodes=tuple(self.nodes),
            inputs=inputs,
            outputs=outputs,
            parameters=parameters,
            buffers=buffers,
            constants=self.constants,
            hidden=self.hidden,
            frozen=self.frozen,
            calls={path: tuple(calls) for path, calls in self.calls.items()},
            storages=tuple(storages),
            training=self.training,
            taps=dict(getattr(self.model, "receptive_field_taps", {})),
        )

    def _enter(self, module: torch.nn.Module, args: Any) -> None:
        inputs = tuple(self.identify(t) for t in _tensors(args))
        self.path.append((self.known.get(id(module), self.path[-1][0] if self.path else ""), inputs))

    def _leave(self, module: torch.nn.Module, args: Any, output: Any) -> None:
        path, inputs = self.path.pop()
        if id(module) in self.known:
            outputs = tuple(self.identify(t) for _, t in leaves(output))
            self.calls.setdefault(path, []).append(Call(inputs, outputs))

    # -- values and the storages they stand in -----------------------------------------------------

    def _new(self, t: torch.Tensor, node: int, slot: int, storage: int) -> int:
        self.values.append(Value(len(self.values), tuple(t.shape), t.dtype, node, slot, storage))
        return len(self.values) - 1

    def _cell(self, t: torch.Tensor, kind: Any, node: int = -1, slot: int = 0) -> int:
        """A value in a storage not seen before."""
        storage = t.untyped_storage()
        number = len(self.kinds)
        self.kinds.append((storage.nbytes(), len(self.nodes), kind))
        value = self._new(t, node, slot, number)
        cell = _Cell(number, value)
        cell.views[_geometry(t)] = _View((), 0, value)
        if t.is_meta:
            setattr(storage, _CELL, cell)
            if kind == "activation":
                self.alive.append(weakref.ref(storage, lambda _: self.died.setdefault(number, len(self.nodes))))
        else:
            self.real[storage._cdata] = (cell, t)
        return value

    def _leaf(self, t: torch.Tensor, kind: str) -> int:
        return self._cell(t, kind)

    def _lookup(self, t: torch.Tensor) -> _Cell | None:
        storage = t.untyped_storage()
        if t.is_meta:
            return getattr(storage, _CELL, None)
        held = self.real.get(storage._cdata)
        return held[0] if held else None

    def identify(self, t: torch.Tensor) -> int:
        """The id of the value that `t` has now."""
        return self._identified(self._stand_in(t))

    def _identified(self, t: torch.Tensor) -> int:
        cell = self._lookup(t)
        if cell is None:
            value = self._cell(t, "constant")
            if t.is_meta:
                raise HiddenTableError(f"{_at(self._here())}a table of unknown values came in on the meta device")
            self.constants[value] = t.detach()
            return value
        view = cell.views.get(_geometry(t)) or self._stray_view(cell, t)
        return self._current(cell, view)

    def _stand_in(self, t: torch.Tensor) -> torch.Tensor:
        """The meta twin of a real parameter that came in past the module tree."""
        if t.is_meta:
            return t
        held = self.strays.get(t.untyped_storage()._cdata)
        if held is not None and _geometry(held[0]) == _geometry(t):
            return held[1]
        if isinstance(t, torch.nn.Parameter) or t.requires_grad:
            with _disable_current_modes():
                meta = torch.nn.Parameter(twin(t), requires_grad=t.requires_grad)
            self.strays[t.untyped_storage()._cdata] = (t, meta)
            self._leaf(meta, "parameter")
            return meta
        return t

    def _stray_view(self, cell: _Cell, t: torch.Tensor) -> _View:
        """A view that was made where no operator was seen (`detach` in C++): by strides over the base."""
        op = torch.ops.aten.as_strided.default
        steps: tuple[Step, ...] = ((op, (None, tuple(t.shape), t.stride(), t.storage_offset()), {}, 0),)
        view = _View(steps, -1, -1)
        if not t.is_meta and cell.version == 0:
            view = _View(steps, 0, self._new(t, -1, 0, cell.id))
            self.constants[view.value] = t.detach()
        cell.views[_geometry(t)] = view
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
        read = self._new(shaped, index, slot, storage)
        outputs = (*[-1] * slot, read)
        call = (Ref(source), *args[1:])
        self.nodes.append(Node(index, op, call, kwargs, (source,), outputs, self._here(), "replay"))
        return read

    def _write(self, t: torch.Tensor, value: int) -> None:
        """`t` now has `value`: carry it through the view into the storage's base."""
        cell = self._lookup(t)
        assert cell is not None
        if not t.is_meta and not _whole(self.real[t.untyped_storage()._cdata][1]):
            raise StructureError(f"{_at(self._here())}the network writes to a part of a real tensor's memory")
        view = cell.views.get(_geometry(t)) or self._stray_view(cell, t)
        chain = self._replay(cell, view.steps[:-1]) if view.steps else []
        for step, under in zip(reversed(view.steps), reversed(chain), strict=True):
            value = self._scatter(step, under, value, cell.id)
        cell.base, cell.version = value, cell.version + 1

    def _scatter(self, step: Step, under: int, value: int, storage: int) -> int:
        op, args, kwargs, slot = step
        index, base = len(self.nodes), self.values[under]
        with _disable_current_modes():
            shaped = torch.empty(base.shape, dtype=base.dtype, device="meta")
        written = self._new(shaped, index, 0, storage)
        kwargs = {**kwargs, "slot": slot}
        call = (Ref(under), *args[1:])
        self.nodes.append(Node(index, op, call, kwargs, (under, value), (written,), self._here(), "scatter"))
        return written

    def _here(self) -> str:
        return self.path[-1][0] if self.path else ""

    # -- operators ---------------------------------------------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = _tensors(args)
        if kwargs:
            _collect(kwargs, tensors)
        if func is _ITEM:
            return self._asked_for(tensors[0])
        if func is _INDEX and any(t.dtype is torch.bool for t in tensors[1:]):
            args = (args[0], self._positions(args[1]))
            tensors = _tensors(args)
        if _leaves_meta(func, kwargs) and (known := evaluate(self, self.identify(tensors[0]))) is not None:
            return known.to(kwargs.get("dtype") or known.dtype)
        meta = not tensors or any(self._stand_in(t).is_meta for t in tensors) or _enters_meta(kwargs)
        if not meta and self._untouched(tensors):
            return self._really(func, args, kwargs)
        return self._record(func, args, kwargs)

    def _positions(self, indices: Any) -> list[Any]:
        """Boolean masks among indices as the positions where they are true."""
        found: list[Any] = []
        for index in indices:
            if index is None or index.dtype is not torch.bool:
                found.append(index)
                continue
            mask = evaluate(self, self.identify(index))
            if mask is None:
                raise StructureError(f"{_at(self._here())}a mask computed from the input decides a tensor's shape")
            found.extend(mask.nonzero().unbind(1))
        return found

    def _untouched(self, tensors: list[torch.Tensor]) -> bool:
        """Whether the real tensors hold what the network sees: nothing from the tape was written to them."""
        cells = (self._lookup(t) for t in tensors)
        return all(cell is None or cell.version == 0 for cell in cells)

    def _asked_for(self, t: torch.Tensor) -> Any:
        """The network reads a number: only what does not depend on its input has one."""
        known = evaluate(self, self.identify(t))
        if known is None:
            raise StructureError(f"{_at(self._here())}the control flow asks for data that a recording does not have")
        return known.item()

    def _really(self, func: Any, args: Any, kwargs: Any) -> Any:
        """An operator on real tensors alone (masks, tables): executed, its results are constants."""
        for place in _schema(func).written:
            self._remember(kwargs[place] if isinstance(place, str) else args[place])
        result = func(*args, **kwargs)
        for t in _tensors(result):
            setattr(t.untyped_storage(), _OWN, True)
        return result

    def _remember(self, t: torch.Tensor) -> None:
        """Keep what a tensor of the caller's held before the network writes to it."""
        storage = t.untyped_storage()
        if not hasattr(storage, _OWN) and storage._cdata not in self.journal:
            whole = torch.empty(0, dtype=t.dtype, device=t.device).set_(storage)
            self.journal[storage._cdata] = (whole, whole.clone())

    def _record(self, func: Any, args: Any, kwargs: Any) -> Any:
        if torch.Tag.inplace_view in func.tags:
            return self._turn(func, args, kwargs)
        inputs: list[int] = []
        noted, plain = self._operands(args, inputs)
        options, plain_options = self._operands(kwargs, inputs) if kwargs else (kwargs, kwargs)
        written = [kwargs[w] if isinstance(w, str) else args[w] for w in _schema(func).written]
        result = self._returned(func, written) if written else self._execute(func, plain, plain_options, bool(inputs))
        flat = [result] if isinstance(result, torch.Tensor) else _tensors(result)
        node = Node(len(self.nodes), func, noted, options, tuple(inputs), (), self._here())
        self.nodes.append(node)
        outputs = self._outputs(node, args, flat, written)
        self.nodes[node.index] = replace(node, outputs=outputs)
        for t, value in zip(written, outputs, strict=False):
            self._write(self._stand_in(t), value)
        return result

    def _operands(self, tree: Any, inputs: list[int]) -> tuple[Any, Any]:
        """Arguments as they stand on the tape, and as they are on the meta device."""
        if type(tree) in _PLAIN:
            return tree, tree
        if isinstance(tree, torch.Tensor):
            t = self._stand_in(tree)
            inputs.append(self._identified(t))
            return Ref(inputs[-1]), t if t.is_meta else twin(t)
        if type(tree) in (tuple, list):
            if not tree or type(tree[0]) is int:
                return tree, tree
            pairs = [self._operands(item, inputs) for item in tree]
            return type(tree)([n for n, _ in pairs]), type(tree)([p for _, p in pairs])
        if type(tree) is dict:
            both = {key: self._operands(item, inputs) for key, item in tree.items()}
            return {k: n for k, (n, _) in both.items()}, {k: p for k, (_, p) in both.items()}
        return tree, tree

    def _turn(self, func: Any, args: Any, kwargs: Any) -> Any:
        """An operator that changes a tensor's own shape (`unsqueeze_`): the plain one, as a view."""
        packet = getattr(torch.ops.aten, base_name(func))
        plain = next((o for o in map(packet.__getattr__, packet.overloads()) if _takes_same(o, func)), None)
        if plain is None or not _schema(plain).views:
            raise StructureError(f"{_at(self._here())}aten.{func.__name__} changes a tensor's memory")
        inputs: list[int] = []
        noted, _ = self._operands(args, inputs)
        turned = plain(*args, **kwargs)
        node = Node(len(self.nodes), plain, noted, kwargs, tuple(inputs), (), self._here())
        self.nodes.append(node)
        self.nodes[-1] = replace(node, outputs=(self._fresh(node, turned, 0, args[0]),))
        return func(*args, **kwargs)

    def _returned(self, func: Any, written: list[Any]) -> Any:
        """What an operator that writes returns: the tensors it writes to, untouched."""
        if any(not isinstance(t, torch.Tensor) for t in written):
            raise StructureError(f"{_at(self._here())}aten.{func.__name__} writes to a list of tensors")
        return written[0] if len(written) == 1 else tuple(written)

    def _execute(self, func: Any, args: Any, kwargs: Any, reads: bool) -> Any:
        """The result on the meta device; what a network creates is created there."""
        shape = SHAPES.get(func)
        if shape is not None:
            return shape(*args, **kwargs)
        if not reads or "device" in kwargs:
            kwargs = {**kwargs, "device": torch.device("meta")}
            kwargs.pop("pin_memory", None)
        if torch.Tag.dynamic_output_shape in func.tags and func is not _INDEX:
            raise StructureError(f"{_at(self._here())}the shape of the result of {func} depends on the data")
        return func(*args, **kwargs)

    def _outputs(
        self, node: Node, args: Any, flat: list[torch.Tensor], written: list[Any]
    ) -> tuple[int, ...]:
        if written:
            cells = [self._lookup(self._stand_in(t)) for t in written]
            return tuple(
                self._new(t, node.index, slot, cell.id if cell else -1)
                for slot, (t, cell) in enumerate(zip(written, cells, strict=True))
            )
        source = args[0] if args and isinstance(args[0], torch.Tensor) else None
        return tuple(self._fresh(node, t, slot, source) for slot, t in enumerate(flat))

    def _fresh(self, node: Node, t: torch.Tensor, slot: int, source: torch.Tensor | None) -> int:
        """A result: in memory of its own, or a view of its first argument (as the meta kernel says)."""
        cell = self._lookup(t)
        if cell is None:
            return self._cell(t, "activation", node.index, slot)
        if source is None or self._lookup(self._stand_in(source)) is not cell:
            raise StructureError(f"{node.where()} returns memory of another argument than its first")
        return self._view(node, self._stand_in(source), t, slot, cell)

    def _view(self, node: Node, source: torch.Tensor, t: torch.Tensor, slot: int, cell: _Cell) -> int:
        under = cell.views[_geometry(source)]
        plain = (None, *node.args[1:])
        value = self._new(t, node.index, slot, cell.id)
        steps = (*under.steps, (node.op, plain, dict(node.kwargs), slot))
        if _geometry(t) == _geometry(source):
            steps = under.steps
        cell.views[_geometry(t)] = _View(steps, cell.version, value)
        return value


def leaves(result: Any) -> list[tuple[str, torch.Tensor]]:
    """The tensors of a network's result, with their place in it: `out`, `0`, `0.features`."""
    if isinstance(result, torch.Tensor):
        return [("0", result)]
    if is_dataclass(result) and not isinstance(result, type):
        result = dict(vars(result))
    found, _ = pytree.tree_flatten_with_path(result)
    return [(_place(path), t) for path, t in found if isinstance(t, torch.Tensor)]


def _place(path: Any) -> str:
    return ".".join(str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in path)


def _inputs(model: torch.nn.Module, given: Sequence[Any]) -> tuple[torch.Tensor, ...]:
    """Meta tensors for the network's arguments, floating ones in the dtype of its parameters."""
    floating = (p.dtype for p in model.parameters() if p.is_floating_point())
    dtype = next(floating, torch.float32)
    shapes = [given] if all(isinstance(n, int) for n in given) else list(given)
    return tuple(
        twin(s) if isinstance(s, torch.Tensor) else torch.empty(tuple(s), dtype=dtype, device="meta") for s in shapes
    )


def _geometry(t: torch.Tensor) -> Geometry:
    return (t.shape, t.stride(), t.storage_offset(), t.dtype)


def _tensors(tree: Any) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    _collect(tree, found)
    return found


def _collect(tree: Any, found: list[torch.Tensor]) -> None:
    if isinstance(tree, torch.Tensor):
        found.append(tree)
    elif isinstance(tree, (tuple, list)):
        if tree and type(tree[0]) is int:
            return
        for item in tree:
            if type(item) not in _PLAIN:
                _collect(item, found)
    elif isinstance(tree, dict):
        for item in tree.values():
            _collect(item, found)


def _enters_meta(kwargs: dict[str, Any]) -> bool:
    """Whether the result is asked for on the device where the input stands."""
    return kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "meta"


def _leaves_meta(func: Any, kwargs: dict[str, Any]) -> bool:
    """Whether the network copies a tensor to a device with data, in order to look at it."""
    if func is not torch.ops.aten._to_copy.default or kwargs.get("device") is None:
        return False
    return torch.device(kwargs["device"]).type != "meta"


def _takes_same(op: torch._ops.OpOverload, other: torch._ops.OpOverload) -> bool:
    """Whether two operators take arguments of the same names."""
    return [a.name for a in op._schema.arguments] == [a.name for a in other._schema.arguments]


def _whole(t: torch.Tensor) -> bool:
    return t.is_contiguous() and t.untyped_storage().nbytes() == t.numel() * t.element_size()


def _at(path: str) -> str:
    return f"in '{path}': " if path else ""


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
