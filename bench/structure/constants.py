"""Values of a tape that do not depend on the input, and the exact zeros that they cause in other values.

`evaluate` computes a value that depends on buffers only. `Zeros` finds where other values are zero for every
input: it runs parts of the tape with random parameters and activations, and an element that is exactly zero
there is zero for (almost) every network of this structure. Examples are the taps that a mask removes from a
weight, and masked attention scores.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch.utils._python_dispatch import _disable_current_modes

from bench.structure.nodes import Node, Ref, Value

LARGEST = 1 << 27
"""Number of elements above which a tensor is not examined."""

_STRUCTURAL = (
    "mul div add sub neg masked_fill where softmax _softmax _safe_softmax tril triu exp abs view "
    "_unsafe_view reshape expand permute transpose t unsqueeze squeeze slice select split "
    "split_with_sizes unbind chunk detach alias clone _to_copy lift_fresh cat stack repeat flip roll "
    "as_strided diagonal copy index_select index constant_pad_nd logical_not logical_and logical_or "
    "bitwise_not bitwise_and bitwise_or eq ne lt le gt ge zeros_like ones_like sum mean fill zero"
)
STRUCTURAL = frozenset(_STRUCTURAL.split())
"""Operators that can pass on an exact zero or an infinity; the results of all others are generic numbers."""


class Recording(Protocol):
    """A tape, complete or in progress."""

    @property
    def values(self) -> Sequence[Value]: ...
    @property
    def nodes(self) -> Sequence[Node]: ...
    @property
    def constants(self) -> Mapping[int, torch.Tensor]: ...
    @property
    def hidden(self) -> Collection[int]: ...
    @property
    def frozen(self) -> Mapping[int, torch.Tensor]: ...


def fixed_values(tape: Recording) -> set[int]:
    """Ids of the values that depend on constants alone: on no input, weight or random number."""
    fixed = set(tape.constants)
    fixed.update(v for v, p in tape.frozen.items() if is_mask(p))
    for node in tape.nodes:
        if torch.Tag.nondeterministic_seeded not in node.op.tags and fixed.issuperset(node.inputs):
            fixed.update(v for v in node.outputs if v >= 0)
    return fixed


def is_mask(tensor: torch.Tensor) -> bool:
    """Whether a frozen parameter holds a mask: zeros and ones, both present."""
    if tensor.is_meta or tensor.numel() > LARGEST:
        return False
    start = tensor.reshape(-1)[:1024]
    return _binary(start) and _binary(tensor) and bool((tensor == 1).any()) and bool((tensor == 0).any())


def _binary(tensor: torch.Tensor) -> bool:
    return bool(((tensor == 0) | (tensor == 1)).all())


def evaluate(tape: Recording, value: int, fixed: set[int] | None = None) -> torch.Tensor | None:
    """The tensor of a value that depends on constants alone; None for other values."""
    fixed = fixed_values(tape) if fixed is None else fixed
    if value not in fixed or _elements(tape.values[value]) > LARGEST:
        return None
    with _disable_current_modes(), torch.no_grad():
        return _Evaluation(tape, fixed, set())(value)


class Zeros:
    """Where the values of a tape are zero or minus infinity for every input and all weights."""

    def __init__(self, tape: Recording) -> None:
        self.tape, self.fixed = tape, fixed_values(tape)
        self._constants: dict[int, torch.Tensor | None] = {}
        self._generic: dict[int, torch.Tensor] = {}
        self._consulted: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.unknown = self._unknown()
        self.zero: set[int] = set()
        self.infinite: set[int] = set()
        for node in tape.nodes:
            if node.name in STRUCTURAL and not self.fixed.issuperset(node.inputs):
                self._look(node)

    def _unknown(self) -> set[int]:
        """Constants without data (buffers of a network on the meta device), and values computed from them alone."""
        unknown = set(self.tape.hidden)
        determined = unknown | self.fixed
        for node in self.tape.nodes if unknown else ():
            if determined.issuperset(node.inputs):
                determined.update(node.outputs)
        return determined - self.fixed

    def constant(self, value: int) -> torch.Tensor | None:
        """The tensor of a value that depends on constants alone; None for other values."""
        if value not in self._constants:
            self._constants[value] = self._evaluated(value, set()) if self._known(value) else None
        return self._constants[value]

    def has_zeros(self, value: int) -> bool:
        """Whether some element may be structurally zero (without evaluating values that depend on weights)."""
        if value not in self.fixed:
            return value in self.zero
        constant = self.constant(value)
        return constant is not None and bool((constant == 0).any())

    def has_infinities(self, value: int) -> bool:
        """Whether some element may be minus infinity for every input."""
        if value not in self.fixed:
            return value in self.infinite
        constant = self.constant(value)
        return constant is not None and constant.is_floating_point() and bool((constant == -torch.inf).any())

    def generic(self, value: int) -> torch.Tensor:
        """A value in float64; inputs that are neither constant nor structural are drawn from (0.5, 1.5)."""
        if value not in self._generic:
            self._generic[value] = self._evaluated(value, self.zero | self.infinite)
        return self._generic[value]

    def _known(self, value: int) -> bool:
        return value in self.fixed and _elements(self.tape.values[value]) <= LARGEST

    def _evaluated(self, value: int, structural: set[int]) -> torch.Tensor:
        evaluation = _Evaluation(self.tape, self.fixed, structural)
        with _disable_current_modes(), torch.no_grad():
            result = evaluation(value)
            fresh = {v: t for v, t in evaluation.leaves.items() if v not in self._consulted}
            self._consulted.update({v: (t, t.clone()) for v, t in fresh.items()})
        return result

    def outdated(self) -> bool:
        """Whether a constant that was read has changed since."""
        return any(not torch.equal(now, then) for now, then in self._consulted.values())

    def _look(self, node: Node) -> None:
        outputs = [v for v in node.outputs if v >= 0]
        if max(_elements(self.tape.values[v]) for v in outputs) > LARGEST:
            return
        if self._yields_zeros(node):
            self.zero.update(outputs)
        if self._yields_infinities(node):
            self.infinite.update(outputs)

    def _yields_zeros(self, node: Node) -> bool:
        if node.name in ("tril", "triu"):
            return True
        if node.name in ("masked_fill", "where"):
            return any(i in self.fixed or self.has_zeros(i) for i in node.inputs)
        if node.name in ("softmax", "_softmax", "_safe_softmax", "exp"):
            return self.has_infinities(node.inputs[0])
        if node.name in ("add", "sub"):
            return len(node.inputs) == 2 and all(self.has_zeros(i) for i in node.inputs)
        if node.name in ("mean", "sum") or node.name in COMPARISONS:
            return False
        return any(self.has_zeros(i) for i in node.inputs)

    def _yields_infinities(self, node: Node) -> bool:
        if node.name in ("masked_fill", "where"):
            return any(i in self.fixed or self.has_infinities(i) for i in node.inputs)
        if node.name in ("softmax", "_softmax", "_safe_softmax", "exp", "tril", "triu") or node.name in COMPARISONS:
            return False
        return any(self.has_infinities(i) for i in node.inputs)


COMPARISONS = frozenset(
    ("eq", "ne", "lt", "le", "gt", "ge", "logical_not", "logical_and", "logical_or", "bitwise_not", "bitwise_and")
)


class _Evaluation:
    """Runs a part of the tape on real tensors; values that are neither `fixed` nor `structural` are drawn at random."""

    def __init__(self, tape: Recording, fixed: set[int], structural: set[int]) -> None:
        self.tape, self.fixed, self.structural = tape, fixed, structural
        self.memo: dict[int, torch.Tensor] = {}
        self.leaves: dict[int, torch.Tensor] = {}
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, value: int) -> torch.Tensor:
        if value not in self.memo:
            self._compute(value)
        return self.memo[value]

    def _compute(self, value: int) -> None:
        record = self.tape.values[value]
        if value in self.fixed and record.node < 0:
            source = self.tape.constants.get(value)
            self.leaves[value] = (self.tape.frozen[value] if source is None else source).detach()
            self.memo[value] = self.leaves[value].cpu()
        elif value in self.fixed or value in self.structural:
            self._run(self.tape.nodes[record.node])
        else:
            self.memo[value] = self._drawn(record)

    def _drawn(self, record: Value) -> torch.Tensor:
        drawn = torch.rand(record.shape, generator=self.generator, dtype=torch.float64) + 0.5
        return drawn if record.dtype.is_floating_point else drawn.to(record.dtype)

    def _run(self, node: Node) -> None:
        arguments = node.args
        if node.op._schema.is_mutable or node.role == "scatter":
            first = self(node.inputs[0]).clone(memory_format=torch.contiguous_format)
            result: Any = _written(node, first, self)
        else:
            result = node.op(*self._real(arguments), **self._options(node.kwargs))
        results = [result] if isinstance(result, torch.Tensor) else list(result)
        for value, t in zip(node.outputs, results, strict=False):
            if value >= 0:
                self.memo[value] = t

    def _real(self, tree: Any) -> Any:
        if isinstance(tree, Ref):
            return self(tree.id)
        if isinstance(tree, (tuple, list)):
            return type(tree)([self._real(item) for item in tree])
        return tree

    def _options(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        real = {k: self._real(v) for k, v in kwargs.items() if k not in ("device", "slot")}
        if "device" in kwargs:
            real["device"] = torch.device("cpu")
        return real


def _written(node: Node, target: torch.Tensor, evaluation: _Evaluation) -> torch.Tensor:
    """The tensor after an in-place write, or after a write through a view."""
    if node.role == "scatter":
        kwargs = evaluation._options(node.kwargs)
        if node.name == "as_strided":
            view = target.as_strided(*node.args[1:])
        else:
            result = node.op(target, *evaluation._real(node.args[1:]), **kwargs)
            view = result[node.kwargs["slot"]] if isinstance(result, (list, tuple)) else result
        view.copy_(evaluation(node.inputs[1]))
        return target
    node.op(target, *evaluation._real(node.args[1:]), **evaluation._options(node.kwargs))
    return target


def _elements(value: Value) -> int:
    count = 1
    for n in value.shape:
        count *= n
    return count
