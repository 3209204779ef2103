"""The dispatch mode that writes a tape while a network runs on the meta device.

The tape holds aten operators. An operator that torch would take apart itself (`conv2d`, `linear`, in inference mode) is
taken apart here, and the `_convolution` of traced code is recorded as `convolution`, so that one rule covers both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from functools import cache
from typing import Any

import torch
from torch._decomp import decomposition_table
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from bench.structure.constants import evaluate
from bench.structure.device import RunDevice, plain_attention
from bench.structure.lazy import has_lazy_parts, materialised_copy
from bench.structure.ledger import Ledger
from bench.structure.nodes import Call, Node, Ref, StructureError, Tape, UnrolledError, base_name
from bench.structure.scripts import refuse_scripts_that_ask_for_a_device
from bench.structure.shapes import SHAPES
from bench.structure.twins import Parts, parameter_twins, standing_in, twin, uncollected

_PLAIN = frozenset((int, float, bool, str, type(None), torch.dtype, torch.device))
_INDEX = torch.ops.aten.index.Tensor
_CONVOLUTION = torch.ops.aten.convolution.default
_TRACED_CONVOLUTION = torch.ops.aten._convolution.default
_COPY = torch.ops.aten._to_copy.default
_ITEM = torch.ops.aten._local_scalar_dense.default
_EQUAL = torch.ops.aten.equal.default
_OWN = "_fovbench_own"


@dataclass(frozen=True)
class _Schema:
    """Properties of an operator: the arguments that it writes (by place or name), whether it returns views.

    `creates`: whether it returns tensors other than those that it writes. `parts`: runs the operators that make it up,
    if it is recorded as these.
    """

    written: tuple[int | str, ...]
    creates: bool
    views: bool
    has_device: bool
    parts: Callable[..., Any] | None


@cache
def _schema(op: torch._ops.OpOverload) -> _Schema:
    written: list[int | str] = []
    for place, argument in enumerate(op._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            written.append(argument.name if argument.kwarg_only else place)
    aliases = [r.alias_info for r in op._schema.returns]
    creates = any(a is None or not a.is_write for a in aliases)
    views = any(a is not None and not a.is_write for a in aliases)
    has_device = any(argument.name == "device" for argument in op._schema.arguments)
    return _Schema(tuple(written), creates, views, has_device, _parts(op))


_APART = (
    "_euclidean_dist affine_grid_generator aminmax binary_cross_entropy binary_cross_entropy_with_logits block_diag "
    "count_nonzero dist huber_loss isin linalg_cross mse_loss nll_loss_forward nll_loss2d_forward renorm rot90 "
    "smooth_l1_loss soft_margin_loss"
)
APART = frozenset(_APART.split())
"""Operators with a kernel of their own that are recorded as the simpler ones of torch's decomposition."""


def _written_through(view: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A copy of the first tensor with the second one written through a view of it."""

    def parts(x: torch.Tensor, source: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        result = x.clone()
        view(result, *args, **kwargs).copy_(source)
        return result

    return parts


def _polar(size: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    return torch.complex(size * angle.cos(), size * angle.sin())


OWN_PARTS: Mapping[str, Callable[..., torch.Tensor]] = {
    "polar": _polar,
    "slice_scatter": _written_through(torch.ops.aten.slice),
    "select_scatter": _written_through(torch.ops.aten.select),
    "diagonal_scatter": _written_through(torch.ops.aten.diagonal),
    "as_strided_scatter": _written_through(torch.ops.aten.as_strided),
}


def _parts(op: torch._ops.OpOverload) -> Callable[..., Any] | None:
    if base_name(op) in OWN_PARTS and not op._schema.is_mutable:
        return OWN_PARTS[base_name(op)]
    if base_name(op) in APART and not op._schema.is_mutable:
        return decomposition_table.get(op)
    return op.decompose if _is_composite(op) else None


def _is_composite(op: torch._ops.OpOverload) -> bool:
    """Whether torch defines an operator by other operators, without a kernel of its own for the meta device."""
    name = f"{op._schema.name}.{op._schema.overload_name}".rstrip(".")
    own = any(torch._C._dispatch_has_kernel_for_dispatch_key(name, key) for key in ("Meta", "CPU"))
    return not own and torch._C._dispatch_has_kernel_for_dispatch_key(name, "CompositeImplicitAutograd")


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records one run of one model; used once."""

    def __init__(
        self,
        model: torch.nn.Module,
        shape_or_inputs: Sequence[Any],
        training: bool,
        device: str = "cpu",
        limit: int | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device, self.limit = device, limit
        self.model, self.training = _without_lazy_parts(getattr(model, "_orig_mod", model), shape_or_inputs), training
        self.calls: dict[str, list[Call]] = {}
        self.ledger = Ledger()
        self.journal: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.names: dict[int, str] = {}
        self.refusal: StructureError | None = None
        self.inputs = meta_inputs(self.model, shape_or_inputs)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """True: nothing here is compiled, and torch's check for it would cost more than the recording."""
        return False

    # -- one run --------------------------------------------------------------------------------

    def run(self) -> Tape:
        """The tape of one forward pass."""
        refuse_scripts_that_ask_for_a_device(self.model)
        parts = Parts(self.model)
        twins = parameter_twins(parts)
        parameters = {name: self._parameter(p, twins[p]) for p, name in parts.parameters.items()}
        inputs = tuple(self.ledger.leaf(x, "input") for x in self.inputs)
        hidden = {b: twin(b) for b in parts.buffers if b.is_meta}
        statistics = {b: self.ledger.leaf(t, "constant") for b, t in hidden.items()}
        self.ledger.hidden = tuple(statistics.values())
        buffers = {n: statistics[b] if b in statistics else self.ledger.identified(b) for b, n in parts.buffers.items()}
        self.names = {id(m): name for name, m in parts.modules}
        with standing_in(self.model, parts, twins, self.training, hidden), uncollected():
            result = self._forward()
            outputs = tuple((name, self.ledger.identify(t)) for name, t in leaves(result))
        return self._tape(inputs, outputs, parameters, buffers)

    def _parameter(self, p: torch.nn.Parameter, meta: torch.nn.Parameter) -> int:
        value = self.ledger.leaf(meta, "parameter")
        if not p.is_meta:
            self.ledger.strays[p.untyped_storage()._cdata] = (p, meta)
        if not p.requires_grad:
            self.ledger.frozen[value] = p
        return value

    def _forward(self) -> Any:
        hooks = [register_module_forward_pre_hook(self._enter), register_module_forward_hook(self._leave)]
        try:
            with torch.no_grad(), plain_attention(), RunDevice(self.device), self:
                return self.model(*self.inputs)
        except StructureError:
            raise
        except Exception as error:
            if self.refusal is not None:  # TorchScript raises an error of its own in place of ours
                raise self.refusal from error
            where = f" in '{self.ledger.here()}'" if self.ledger.here() else ""
            raise StructureError(f"the network cannot be recorded{where}: {_one_line(error)}") from error
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
        return Tape(
            values=tuple(self.ledger.values),
            nodes=tuple(self.ledger.nodes),
            inputs=inputs,
            outputs=outputs,
            parameters=parameters,
            buffers=buffers,
            constants=self.ledger.constants,
            hidden=self.ledger.hidden,
            frozen=self.ledger.frozen,
            calls={path: tuple(calls) for path, calls in self.calls.items()},
            storages=self.ledger.storages(),
            training=self.training,
            taps=dict(getattr(self.model, "receptive_field_taps", {})),
        )

    def _enter(self, module: torch.nn.Module, args: Any) -> None:
        with torch._C.DisableTorchFunction():
            inputs = tuple(self.ledger.identify(t) for t in _tensors(args) if not _is_wrapped(t))
        self.ledger.path.append((self.names.get(id(module), self.ledger.here()), inputs))

    def _leave(self, module: torch.nn.Module, args: Any, output: Any) -> None:
        path, inputs = self.ledger.path.pop()
        if id(module) not in self.names:
            return
        with torch._C.DisableTorchFunction():
            outputs = tuple(self.ledger.identify(t) for _, t in leaves(output) if not _is_wrapped(t))
        self.calls.setdefault(path, []).append(Call(inputs, outputs))

    # -- operators ---------------------------------------------------------------------------------

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        with torch._C.DisableTorchFunction():
            try:
                return self._dispatched(func, args, kwargs or {})
            except StructureError as error:
                self.refusal = error
                raise

    def _dispatched(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func is _ITEM:
            return self._constant(args[0]).item()
        if func is _EQUAL:
            return args[0].shape == args[1].shape and torch.equal(*map(self._constant, args))
        if func is _TRACED_CONVOLUTION:
            func, args = _CONVOLUTION, args[:9]
        if func is _INDEX:
            args = (args[0], self._integer_indices(args[1]))
        if func is _COPY and _leaves_meta(kwargs):
            constant = evaluate(self.ledger, self.ledger.identify(args[0]))
            if constant is not None:
                return constant.to(kwargs.get("dtype") or constant.dtype)
        parts = _schema(func).parts
        if parts is not None:
            with self:
                return parts(*args, **kwargs)
        if self._reads_data_only(func, args, kwargs):
            return self._execute_on_data(func, args, kwargs)
        return self._record(func, args, kwargs)

    def _reads_data_only(self, func: Any, args: Any, kwargs: Any) -> bool:
        """Whether an operator has only constant operands, or neither tensors nor a device (profiler ranges)."""
        tensors = _tensors(args)
        _collect(kwargs, tensors)
        if not tensors:
            return not _schema(func).has_device
        on_meta = _enters_meta(kwargs) or any(self.ledger.stand_in(t).is_meta for t in tensors)
        return not on_meta and self._unwritten(tensors)

    def _integer_indices(self, indices: Any) -> Any:
        """Boolean masks among indices replaced by the positions where they are true."""
        if not any(isinstance(index, torch.Tensor) and index.dtype is torch.bool for index in indices):
            return indices
        positions: list[Any] = []
        for index in indices:
            if index is None or index.dtype is not torch.bool:
                positions.append(index)
                continue
            mask = evaluate(self.ledger, self.ledger.identify(index))
            if mask is None:
                raise StructureError(f"{self.ledger.where()}a mask computed from the input decides a tensor's shape")
            positions.extend(mask.nonzero().unbind(1))
        return positions

    def _unwritten(self, tensors: list[torch.Tensor]) -> bool:
        """Whether the recording has written nothing to these real tensors."""
        memories = (self.ledger.lookup(t) for t in tensors)
        return all(memory is None or memory.version == 0 for memory in memories)

    def _constant(self, t: torch.Tensor) -> torch.Tensor:
        """The content of a tensor that does not depend on the input; StructureError for one that does."""
        constant = evaluate(self.ledger, self.ledger.identify(t))
        if constant is None:
            raise StructureError(f"{self.ledger.where()}the control flow asks for data that a recording does not have")
        return constant

    def _execute_on_data(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Execute an operator on real tensors alone (masks, tables); its results are constants."""
        for place in _schema(func).written:
            self._remember(kwargs[place] if isinstance(place, str) else args[place])
        result = func(*args, **kwargs)
        for t in _tensors(result):
            setattr(t.untyped_storage(), _OWN, True)
        return result

    def _remember(self, t: torch.Tensor) -> None:
        """Save the content of a tensor of the caller before the network writes to it."""
        storage = t.untyped_storage()
        if not hasattr(storage, _OWN) and storage._cdata not in self.journal:
            whole = torch.empty(0, dtype=t.dtype, device=t.device).set_(storage)
            self.journal[storage._cdata] = (whole, whole.clone())

    def _record(self, func: Any, args: Any, kwargs: Any) -> Any:
        if self.limit is not None and len(self.ledger.nodes) > self.limit:
            raise UnrolledError(f"{self.ledger.where()}the network runs more operators the larger its input is")
        if self.limit is not None and _pieces(func, args) > self.limit:
            raise UnrolledError(f"{self.ledger.where()}{func} takes a larger input apart into more tensors")
        if torch.Tag.inplace_view in func.tags:
            return self._reshape_in_place(func, args, kwargs)
        inputs: list[int] = []
        noted, plain = self._operands(args, inputs)
        options, plain_options = self._operands(kwargs, inputs) if kwargs else (kwargs, kwargs)
        written = [kwargs[w] if isinstance(w, str) else args[w] for w in _schema(func).written]
        creates = not written or _schema(func).creates
        result = self._execute(func, plain, plain_options, bool(inputs)) if creates else self._returned(func, written)
        flat = [result] if isinstance(result, torch.Tensor) else _tensors(result)
        node = Node(len(self.ledger.nodes), func, noted, options, tuple(inputs), (), self.ledger.here())
        self.ledger.nodes.append(node)
        created = self._created(node, args, flat) if creates else ()
        rewritten = self._rewritten(node, written, len(created))
        self.ledger.nodes[node.index] = replace(node, outputs=(*created, *rewritten))
        for t, value in zip(written, rewritten, strict=True):
            self.ledger.write(self.ledger.stand_in(t), value)
        return result

    def _operands(self, tree: Any, inputs: list[int]) -> tuple[Any, Any]:
        """The arguments as the tape has them (`Ref`), and on the meta device; appends value ids to `inputs`."""
        if type(tree) in _PLAIN:
            return tree, tree
        if isinstance(tree, torch.Tensor):
            t = self.ledger.stand_in(tree)
            inputs.append(self.ledger.identified(t))
            return Ref(inputs[-1]), t if t.is_meta else twin(t)
        if type(tree) in (tuple, list):
            if not tree or _sizes(tree):
                return tree, tree
            pairs = [self._operands(item, inputs) for item in tree]
            return type(tree)([n for n, _ in pairs]), type(tree)([p for _, p in pairs])
        if type(tree) is dict:
            both = {key: self._operands(item, inputs) for key, item in tree.items()}
            return {k: n for k, (n, _) in both.items()}, {k: p for k, (_, p) in both.items()}
        return tree, tree

    def _reshape_in_place(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Record an operator that changes a tensor's own shape (`unsqueeze_`) as the plain one that returns a view."""
        packet = getattr(torch.ops.aten, base_name(func))
        plain = next((o for o in map(packet.__getattr__, packet.overloads()) if _takes_same(o, func)), None)
        if plain is None or not _schema(plain).views:
            raise StructureError(f"{self.ledger.where()}{func} changes a shape in place, which cannot be recorded")
        inputs: list[int] = []
        noted, _ = self._operands(args, inputs)
        view = plain(*args, **kwargs)
        node = Node(len(self.ledger.nodes), plain, noted, kwargs, tuple(inputs), (), self.ledger.here())
        self.ledger.nodes.append(node)
        self.ledger.nodes[-1] = replace(node, outputs=(self.ledger.fresh(node, view, 0, args[0]),))
        return func(*args, **kwargs)

    def _returned(self, func: Any, written: list[Any]) -> Any:
        """The result of an operator that writes: the tensors that it writes to, unchanged."""
        if any(not isinstance(t, torch.Tensor) for t in written):
            raise StructureError(f"{self.ledger.where()}{func} writes to a list of tensors, which cannot be recorded")
        return written[0] if len(written) == 1 else tuple(written)

    def _execute(self, func: Any, args: Any, kwargs: Any, reads: bool) -> Any:
        """The result on the meta device; tensors that the network creates are created there."""
        shape = SHAPES.get(func)
        if shape is not None:
            return shape(*args, **kwargs)
        if _schema(func).has_device and (not reads or "device" in kwargs):
            kwargs = {**kwargs, "device": torch.device("meta"), "pin_memory": None}
        if kwargs.get("generator") is not None:
            kwargs = {**kwargs, "generator": None}
        if (torch.Tag.dynamic_output_shape in func.tags and func is not _INDEX) or base_name(func) == "nms":
            raise StructureError(f"{self.ledger.where()}the shape of the result of {func} depends on the data")
        if any(isinstance(a, torch.ScriptObject) for a in args):
            raise StructureError(f"{self.ledger.where()}{func} works on packed weights, which have no shapes to record")
        try:
            return func(*args, **kwargs)
        except NotImplementedError as error:
            message = f"{self.ledger.where()}torch cannot run {func} without data, so that it cannot be recorded"
            raise StructureError(message) from error

    def _created(self, node: Node, args: Any, flat: list[torch.Tensor]) -> tuple[int, ...]:
        """Ids of the tensors that an operator returns."""
        source = args[0] if args and isinstance(args[0], torch.Tensor) else None
        return tuple(self.ledger.fresh(node, t, slot, source) for slot, t in enumerate(flat))

    def _rewritten(self, node: Node, written: list[Any], first: int) -> tuple[int, ...]:
        """Ids of the new contents of the tensors that an operator writes to, as outputs from place `first` on."""
        memories = [self.ledger.lookup(self.ledger.stand_in(t)) for t in written]
        return tuple(
            self.ledger.new(t, node.index, slot, memory.id if memory else -1)
            for slot, (t, memory) in enumerate(zip(written, memories, strict=True), first)
        )


def leaves(result: Any) -> list[tuple[str, torch.Tensor]]:
    """The tensors of a network's result by their place in it: `out`, `0`, `0.features`."""
    if isinstance(result, torch.Tensor):
        return [("0", result)]
    if is_dataclass(result) and not isinstance(result, type):
        result = dict(vars(result))
    entries, _ = pytree.tree_flatten_with_path(result)
    return [(_place(path), t) for path, t in entries if isinstance(t, torch.Tensor)]


def _place(path: Any) -> str:
    return ".".join(str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in path)


def meta_inputs(model: torch.nn.Module, shape_or_inputs: Sequence[Any]) -> tuple[torch.Tensor, ...]:
    """Meta tensors for the network's arguments; those from shapes in the floating dtype of its parameters."""
    floating = (p.dtype for p in model.parameters() if p.dtype.is_floating_point)
    dtype = next(floating, torch.float32)
    shapes = [shape_or_inputs] if all(isinstance(n, int) for n in shape_or_inputs) else list(shape_or_inputs)
    return tuple(
        twin(s) if isinstance(s, torch.Tensor) else torch.empty(tuple(s), dtype=dtype, device="meta") for s in shapes
    )


def _tensors(tree: Any) -> list[torch.Tensor]:
    tensors: list[torch.Tensor] = []
    _collect(tree, tensors)
    return tensors


def _collect(tree: Any, tensors: list[torch.Tensor]) -> None:
    if isinstance(tree, torch.Tensor):
        tensors.append(tree)
    elif isinstance(tree, (tuple, list)):
        if tree and _sizes(tree):
            return
        for item in tree:
            if type(item) not in _PLAIN:
                _collect(item, tensors)
    elif isinstance(tree, dict):
        for item in tree.values():
            _collect(item, tensors)


def _sizes(tree: Any) -> bool:
    """Whether it is a list of numbers (the tuple of all arguments of an operator may begin with a number too)."""
    return type(tree) is list and type(tree[0]) is int


def _enters_meta(kwargs: dict[str, Any]) -> bool:
    """Whether the result is requested on the meta device."""
    return kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "meta"


def _leaves_meta(kwargs: dict[str, Any]) -> bool:
    """Whether a copy goes to a device with data."""
    return kwargs.get("device") is not None and torch.device(kwargs["device"]).type != "meta"


def _without_lazy_parts(model: torch.nn.Module, shape_or_inputs: Sequence[Any]) -> torch.nn.Module:
    """The model, or a copy whose lazy layers have their parameters."""
    if not has_lazy_parts(model):
        return model
    return materialised_copy(model, meta_inputs(model, shape_or_inputs))


def _takes_same(op: torch._ops.OpOverload, other: torch._ops.OpOverload) -> bool:
    """Whether two operators have arguments of the same names."""
    return [a.name for a in op._schema.arguments] == [a.name for a in other._schema.arguments]


def _is_wrapped(t: torch.Tensor) -> bool:
    """Whether a tensor stands for one example of a batch (`torch.vmap`), and has no memory of its own."""
    return bool(torch._C._functorch.is_functorch_wrapped_tensor(t))


def _pieces(func: torch._ops.OpOverload, args: Any) -> int:
    """The number of tensors that an operator takes its operand apart into; 1 for other operators."""
    name = base_name(func)
    if name == "unbind":
        return int(args[0].shape[args[1] if len(args) > 1 else 0]) if args[0].dim() else 1
    if name in ("split", "unsafe_split") and isinstance(args[1], int):
        return int(args[0].shape[args[2] if len(args) > 2 else 0]) // max(args[1], 1)
    return 1


def _one_line(error: Exception) -> str:
    """The error's first line; of an error in TorchScript the last one, which says what happened."""
    lines = str(error).strip().splitlines()
    if len(lines) > 1 and "TorchScript" in lines[0]:
        return lines[-1]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"
