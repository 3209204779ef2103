"""Our counts compared with fvcore's and torch's, operator by operator; each difference has a named rule, or is flagged.

The three count the same forward pass, in eval mode: ours from the recording, torch's FlopCounterMode on the meta
device, fvcore on real tensors (so fvcore is slow, and fails on operators that check their input's values). They
define a FLOP differently: fvcore counts one per MAC and a few for other operators, torch two per MAC and nothing
else; `bench.structure.costs` defines ours. A rule explains a number only if it predicts it exactly.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from bench.structure.costs import calls_text, cost_of, costs
from bench.structure.modes import in_eval
from bench.structure.nodes import Node, Ref, Tape
from bench.structure.tape import record
from bench.structure.twins import Parts, parameter_twins, standing_in, twin

EQUAL_FVCORE = "one per MAC; a bias is free"
EQUAL_TORCH = "two per MAC; a bias is free"
NO_ATTENTION = "scaled_dot_product_attention has no price: its two products are left out"
EINSUM = "einsum is priced from the four digits that numpy prints"
NO_BADDBMM = "baddbmm has no price"
NO_VECTORS = "mv, addmv and dot have no price"
NO_PRICE = "has no price"
PRODUCTS_ONLY = "products only"
MOVES = "moves data, computes nothing"
MASKED = "the rest are products with weights that a mask, or freezing, keeps at zero: all three count them"

VECTORS = frozenset({"mv", "addmv", "dot"})
PRODUCTS = frozenset({"mm", "bmm", "addmm", "baddbmm"}) | VECTORS
POOL = "_adaptive_avg_pool2d"
FVCORE_NAMES: Mapping[str, tuple[str, ...]] = {
    "convolution": ("conv",),
    "products": ("linear", "matmul", "addmm", "bmm", "mm", "einsum"),
    "native_batch_norm": ("batch_norm", "instance_norm"),
    "native_layer_norm": ("layer_norm",),
    "native_group_norm": ("group_norm",),
    POOL: ("adaptive_avg_pool2d",),
    "upsample_nearest2d": ("upsample_nearest2d",),
    "upsample_bilinear2d": ("upsample_bilinear2d",),
    "grid_sampler_2d": ("grid_sampler",),
}
"""fvcore's names for the operators of a line: fvcore reads the graph of torch.jit, one level above aten."""


@dataclass(frozen=True)
class Line:
    """The cost of all runs of one operator (or of all matrix products) by each counter, with the rules that explain it.

    `fvcore` is None if fvcore failed on the network. A rule is empty if no rule predicts the number.
    `counted` is False if our own count has no rule for the operator.
    """

    operator: str
    runs: int
    macs: int
    flops: int
    fvcore: int | None
    torch: int
    fvcore_rule: str
    torch_rule: str
    counted: bool = True

    @property
    def explained(self) -> bool:
        return self.counted and bool(self.torch_rule) and (self.fvcore is None or bool(self.fvcore_rule))


@dataclass(frozen=True)
class Audit:
    """One forward pass by three counters. `live`: our MACs without the weights that masks set to zero.

    `failure`: why fvcore has no count (its error, and the operators that it could not run or trace).
    """

    lines: tuple[Line, ...]
    live: int
    failure: str = ""

    @property
    def macs(self) -> int:
        return sum(line.macs for line in self.lines)

    @property
    def flops(self) -> int:
        return sum(line.flops for line in self.lines)

    @property
    def torch(self) -> int:
        """FLOPs by torch's counter."""
        return sum(line.torch for line in self.lines)

    @property
    def fvcore(self) -> int | None:
        """FLOPs by fvcore's counter; None if it failed."""
        return None if self.failure else sum(line.fvcore or 0 for line in self.lines)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """The operators that our own count leaves out, each with its calls."""
        return tuple(calls_text(line.operator, line.runs) for line in self.lines if not line.counted)

    @property
    def unexplained(self) -> tuple[Line, ...]:
        """Lines with a number that no rule predicts."""
        return tuple(line for line in self.lines if not line.explained)


def audit(model: torch.nn.Module, shape: Sequence[int]) -> Audit:
    """Count one forward pass of `model` on (N, C, ...) three times; the model is the same afterwards.

    fvcore runs it once on real tensors. Raises StructureError if the model cannot be recorded.
    """
    tape = record(model, shape)
    by_torch, attention = torch_table(model, shape)
    by_fvcore: Mapping[str, int] | None = None
    failure = ""
    try:
        by_fvcore = fvcore_table(model, shape)
    except Exception as error:  # fvcore fails in many ways; the failure is part of the result
        failure = _failure(error, tape)
    return Audit(tuple(_lines(_Tables(tape, by_torch, by_fvcore, attention))), costs(tape).live, failure)


def torch_table(model: torch.nn.Module, shape: Sequence[int]) -> tuple[dict[str, int], int]:
    """FLOPs by operator from torch's FlopCounterMode on the meta device, and those inside scaled dot products."""
    from torch.utils.flop_counter import FlopCounterMode

    parts = Parts(model)
    floating = (p.dtype for p in parts.parameters if p.is_floating_point())
    x = torch.empty(tuple(shape), dtype=next(floating, torch.float32), device="meta")
    buffers = {b: twin(b) for b in parts.buffers}
    counter = FlopCounterMode(display=False)
    attention = _Attention(counter)
    standing = standing_in(model, parts, parameter_twins(parts), False, buffers)
    with standing, torch.no_grad(), counter, attention:
        model(x)
    counts: Mapping[Any, int] = counter.get_flop_counts().get("Global", {})
    return {str(op).rpartition(".")[2]: count for op, count in counts.items()}, attention.flops


class _Attention(TorchFunctionMode):
    """Adds up the FLOPs that a counter attributes to scaled_dot_product_attention.

    A function mode is not called for functions inside multi_head_attention_forward. Without `need_weights` that
    function calls scaled_dot_product_attention, and only the latter's products are batched (bmm).
    """

    def __init__(self, counter: Any) -> None:
        super().__init__()
        self.counter, self.flops = counter, 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        fused = func is F.scaled_dot_product_attention
        fused = fused or (func is F.multi_head_attention_forward and not kwargs.get("need_weights", True))
        before = self._batched() if fused else 0
        result = func(*args, **kwargs)
        self.flops += self._batched() - before if fused else 0
        return result

    def _batched(self) -> int:
        counts: Mapping[Any, int] = self.counter.get_flop_counts().get("Global", {})
        return counts.get(torch.ops.aten.bmm, 0)


def fvcore_table(model: torch.nn.Module, shape: Sequence[int]) -> dict[str, int]:
    """fvcore's counts by its own operator names."""
    modes = [m.training for m in model.modules()]
    floating = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    x = torch.zeros(tuple(shape), dtype=floating.dtype, device=floating.device)
    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch.jit, which fvcore traces with
            from fvcore.nn import FlopCountAnalysis

            counts = FlopCountAnalysis(in_eval(model), x).by_operator()
    finally:
        for module, mode in zip(model.modules(), modes, strict=True):
            module.training = mode
    return {name: int(count) for name, count in counts.items()}


def _failure(error: Exception, tape: Tape) -> str:
    """The error's first line, and the operators of this network on which fvcore always fails."""
    first = next(iter(str(error).strip().splitlines()), "")
    unpooling = sorted({n.name for n in tape.executed if n.name.startswith("max_unpool")})
    named = f" (the network has {', '.join(unpooling)}, on which fvcore fails)" if unpooling else ""
    return f"{type(error).__name__}: {first}{named}".strip(": ")


@dataclass(frozen=True)
class _Tables:
    """The counts to compare: our recording, torch's and fvcore's counts by operator.

    `fvcore` is None if fvcore failed. `attention`: torch's FLOPs inside scaled dot products.
    """

    tape: Tape
    torch: Mapping[str, int]
    fvcore: Mapping[str, int] | None
    attention: int


def _lines(tables: _Tables) -> list[Line]:
    """One line per executed operator, and per operator that only another counter reports; the costliest first."""
    groups: dict[str, list[Node]] = {}
    for node in tables.tape.executed:
        groups.setdefault(_group(node), []).append(node)
    group_of = {name: group for group, names in FVCORE_NAMES.items() for name in names}
    for name in [group_of.get(name, name) for name in tables.fvcore or ()] + [_group_name(op) for op in tables.torch]:
        groups.setdefault(name, [])
    lines = [_line(tables, name, nodes) for name, nodes in groups.items()]
    return sorted(lines, key=lambda line: (-line.flops, line.operator))


def _group(node: Node) -> str:
    """The line of a node. Adaptive pooling to one bin is recorded as a mean over axes -1 and -2."""
    single = node.name == "mean" and list(node.bind().get("dim") or ()) == [-1, -2]
    return POOL if single else _group_name(node.name)


def _group_name(name: str) -> str:
    return "products" if name in PRODUCTS else name


@dataclass(frozen=True)
class _Ours:
    """Our counts for all runs of one operator.

    `vectors`, `batched`: the MACs of matrix-vector products and of baddbmm among them. `priced`: fvcore's count for
    an operator that is not a product, by its rule.
    """

    macs: int
    flops: int
    vectors: int
    batched: int
    priced: int
    counted: bool

    @classmethod
    def of(cls, tape: Tape, nodes: Sequence[Node]) -> _Ours:
        costs_or_none = [cost_of(tape, node) for node in nodes]
        costs_ = [(node, *(cost or (0, 0))) for node, cost in zip(nodes, costs_or_none, strict=True)]
        return cls(
            macs=sum(macs for _, macs, _ in costs_),
            flops=sum(flops for _, _, flops in costs_),
            vectors=sum(macs for node, macs, _ in costs_ if node.name in VECTORS),
            batched=sum(macs for node, macs, _ in costs_ if node.name == "baddbmm"),
            priced=sum(_price(tape, node) for node in nodes),
            counted=None not in costs_or_none,
        )


def _line(tables: _Tables, name: str, nodes: Sequence[Node]) -> Line:
    """The line of one operator."""
    ours = _Ours.of(tables.tape, nodes)
    by_torch = sum(count for op, count in tables.torch.items() if _group_name(op) == name)
    by_fvcore, fvcore_rule = _by_fvcore(tables, name, ours)
    return Line(
        operator=", ".join(sorted({node.name for node in nodes})) or name,
        runs=len(nodes),
        macs=ours.macs,
        flops=ours.flops,
        fvcore=by_fvcore,
        torch=by_torch,
        fvcore_rule=fvcore_rule,
        torch_rule=_torch_rule(ours, by_torch),
        counted=ours.counted,
    )


def _torch_rule(ours: _Ours, count: int) -> str:
    if ours.macs and count == 2 * ours.macs:
        return EQUAL_TORCH
    if ours.macs and count == 2 * (ours.macs - ours.vectors):
        return NO_VECTORS
    if count or ours.macs:
        return ""
    if not ours.counted:
        return NO_PRICE
    return PRODUCTS_ONLY if ours.flops else MOVES


def _by_fvcore(tables: _Tables, name: str, ours: _Ours) -> tuple[int | None, str]:
    """fvcore's count for one operator, and the rule that explains it."""
    if tables.fvcore is None:
        return None, ""
    counts = {n: tables.fvcore[n] for n in FVCORE_NAMES.get(name, (name,)) if n in tables.fvcore}
    attention = tables.attention // 2 if name == "products" else 0
    return sum(counts.values()), _fvcore_rule(name, ours, counts, attention)


def _fvcore_rule(name: str, ours: _Ours, counts: Mapping[str, int], attention: int) -> str:
    count = sum(counts.values())
    if ours.macs:
        unpriced = {NO_ATTENTION: attention, NO_BADDBMM: ours.batched, NO_VECTORS: ours.vectors}
        return _product_rule(ours.macs - count, unpriced, counts.get("einsum", 0))
    if count:
        return PRICES[name] if name in PRICES and count == ours.priced else ""
    if ours.priced:
        return ""
    return NO_PRICE if ours.flops or not ours.counted else MOVES


def _product_rule(missing: int, unpriced: Mapping[str, int], einsum: int) -> str:
    """Why fvcore counts `missing` fewer: `unpriced` by rule. Of its count for einsum only four digits are right."""
    rules = [rule for rule, count in unpriced.items() if count]
    rest = missing - sum(unpriced.values())
    if rest and abs(rest) <= einsum * 5e-4:
        return "; ".join([*rules, EINSUM])
    if rest:
        return ""
    return "; ".join(rules) or EQUAL_FVCORE


def _price(tape: Tape, node: Node) -> int:
    """fvcore's count for an operator that is not a product."""
    price = ELEMENTWISE.get(_group(node))
    return price(tape, node) if price else 0


def _norm(fixed: int) -> Callable[[Tape, Node], int]:
    """`fixed` per element, 4 with batch statistics, and 1 more for an affine map."""

    def price(tape: Tape, node: Node) -> int:
        bound = node.bind()
        each = (4 if bound.get("training") else fixed) + isinstance(bound["weight"], Ref)
        return each * math.prod(tape.values[node.inputs[0]].shape)

    return price


def _outputs(each: int) -> Callable[[Tape, Node], int]:
    return lambda tape, node: each * math.prod(tape.values[node.outputs[0]].shape)


def _inputs(tape: Tape, node: Node) -> int:
    return math.prod(tape.values[node.inputs[0]].shape)


ELEMENTWISE: Mapping[str, Callable[[Tape, Node], int]] = {
    "native_batch_norm": _norm(1),
    "native_layer_norm": _norm(4),
    "native_group_norm": _norm(4),
    POOL: _inputs,
    "upsample_nearest2d": _outputs(1),
    "upsample_bilinear2d": _outputs(4),
    "grid_sampler_2d": _outputs(4),
}
PRICES: Mapping[str, str] = {
    "native_batch_norm": "1 an element, 2 if affine; 4 and 5 with statistics of its own",
    "native_layer_norm": "4 an element, 5 if affine",
    "native_group_norm": "4 an element, 5 if affine",
    POOL: "1 an input element",
    "upsample_nearest2d": "1 an output element",
    "upsample_bilinear2d": "4 an output element",
    "grid_sampler_2d": "4 an output element",
}
"""The rule of each price."""
