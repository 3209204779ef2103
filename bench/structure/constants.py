"""Values that a tape fixes before any input is seen, and the exact zeros that they leave behind.

`evaluate` gives a value that depends on buffers and on nothing else. `generic` gives a value for
parameters and activations drawn at random, so that what is exactly zero in it is zero for (almost)
every network of this structure: the taps that a mask removes from a weight, masked attention scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch.utils._python_dispatch import _disable_current_modes

from bench.structure.tape import Node, Ref, StructureError, Value

LARGEST = 1 << 27
"""Elements of the largest tensor that is looked into."""

_STRUCTURAL = (
    "mul div add sub neg masked_fill where softmax _softmax _safe_softmax tril triu exp abs view "
    "_unsafe_view reshape expand permute transpose t unsqueeze squeeze slice select split "
    "split_with_sizes unbind chunk detach alias clone _to_copy lift_fresh cat stack repeat flip roll "
    "as_strided diagonal copy index_select index constant_pad_nd logical_not logical_and logical_or "
    "bitwise_not bitwise_and bitwise_or eq ne lt le gt ge zeros_like ones_like sum mean fill zero"
)
STRUCTURAL = frozenset(_STRUCTURAL.split())
"""Operators that can hand on an exact zero or an infinity; all others yield generic numbers."""


class Recording(Protocol):
    """A tape, finished or being written."""

    @property
    def values(self) -> Sequence[Value]: ...
    @property
    def nodes(self) -> Sequence[Node]: ...
    @property
    def constants(self) -> Mapping[int, torch.Tensor]: ...
    @property
    def frozen(self) -> Mapping[int, torch.Tensor]: ...


def fixed(tape: Recording, value: int, memo: dict[int, bool] | None = None) -> bool:
    """Whether a value depends on constants alone: no input, no weight, no random number."""
    memo = {} if memo is None else memo
    if value not in memo:
        held = tape.values[value]
        if held.node < 0:
            memo[value] = value in tape.constants or _mask_parameter(tape, value)
        else:
            node = tape.nodes[held.node]
            random = torch.Tag.nondeterministic_seeded in node.op.tags
            memo[value] = not random and all(fixed(tape, i, memo) for i in node.inputs)
    return memo[value]


def _mask_parameter(tape: Recording, value: int) -> bool:
    """A frozen parameter of zeros and ones, both present: a mask that its author kept as a parameter."""
    held = tape.frozen.get(value)
    if held is None or held.is_meta or held.numel() > LARGEST:
        return False
    ones, zeros = held == 1, held == 0
    return bool(ones.any()) and bool(zeros.any()) and bool((ones | zeros).all())


def evaluate(tape: Recording, value: int, memo: dict[int, torch.Tensor] | None = None) -> torch.Tensor | None:
    """The real tensor behind a value that depends on constants alone, else None."""
    if not fixed(tape, value) or _elements(tape.values[value]) > LARGEST:
        return None
    with _disable_current_modes(), torch.no_grad():
        return _Evaluation(tape, memo if memo is not None else {}, None)(value)


def generic(tape: Recording, value: int) -> torch.Tensor:
    """A value in float64, where all that is neither constant nor structural is drawn from (0.5, 1.5)."""
    with _disable_current_modes(), torch.no_grad():
        return _Evaluation(tape, {}, torch.Generator().manual_seed(0))(value)


class _Evaluation:
    """Runs a part of the tape on real tensors; `generator` fills what is not constant."""

    def __init__(
        self, tape: Recording, memo: dict[int, torch.Tensor], generator: torch.Generator | None
    ) -> None:
        self.tape, self.memo, self.generator = tape, memo, generator
        self.fixed: dict[int, bool] = {}

    def __call__(self, value: int) -> torch.Tensor:
        if value not in self.memo:
            self._compute(value)
        return self.memo[value]

    def _compute(self, value: int) -> None:
        held = self.tape.values[value]
        known = fixed(self.tape, value, self.fixed)
        structural = held.node >= 0 and self.tape.nodes[held.node].name in STRUCTURAL
        if held.node < 0 and known:
            source = self.tape.constants.get(value)
            self.memo[value] = (self.tape.frozen[value] if source is None else source).detach().cpu()
        elif known or structural:
            self._run(self.tape.nodes[held.node])
        else:
            self.memo[value] = self._drawn(held)

    def _drawn(self, held: Value) -> torch.Tensor:
        if self.generator is None or _elements(held) > LARGEST:
            raise StructureError(f"a value of {_elements(held)} elements is too large to look for zeros in")
        drawn = torch.rand(held.shape, generator=self.generator, dtype=torch.float64) + 0.5
        return drawn if held.dtype.is_floating_point else drawn.to(held.dtype)

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
