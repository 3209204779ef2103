"""Our counts beside fvcore's and torch's, operator by operator; each difference has a named rule, or is flagged.

The three count the same forward pass, in eval mode: ours from the recording, torch's FlopCounterMode on the meta
device, fvcore on real tensors (that is how it works, and why it is slow and fails where the network's operators
mind what they are fed). They mean different things by a FLOP: fvcore one per MAC and a few for other operators,
torch two per MAC and nothing else; ours stand in `bench.structure.costs`. A rule explains a number only where it
predicts it, exactly.
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

from bench.structure.costs import cost_of, costs
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
"""The names that fvcore has for the operators of a line: it reads torch.jit's graph, which stands a level above."""


@dataclass(frozen=True)
class Line:
    """What all runs of one operator (or of all matrix products) cost by each count, and the rules that tell why.

    `fvcore` is None where fvcore failed on the network. A rule is empty where none predicts the number.
    `counted` is False where our own count has no rule for the operator.
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
    """One forward pass by three counts. `live`: our MACs without the weights that masks set to zero.

    `failure` is why fvcore has no count: its error, and the operators that it could not run or trace.
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
        """FLOPs by fvcore's; None where it failed."""
        return None if self.failure else sum(line.fvcore or 0 for line in self.lines)

    @property
    def unexplained(self) -> tuple[Line, ...]:
        """The lines with a number that no rule predicts."""
        return tuple(line for line in self.lines if not line.explained)


def audit(model: torch.nn.Module, shape: Sequence[int]) -> Audit:
    """Count one forward pass of `model` on (N, C, ...) three times; the model is the same afterwards.

    fvcore runs it once on real tensors. Raises StructureError where it cannot be recorded.
    """
    tape = record(model, shape)
    by_torch, attention = torch_table(model, shape)
    by_fvcore: Mapping[str, int] | None = None
    failure = ""
    try:
        by_fvcore = fvcore_table(model, shape)
    except Exception as error:  # it fails in many ways: the failure is the finding
        failure = _failure(error, tape)
    return Audit(tuple(_lines(tape, by_torch, by_fvcore, attention)), costs(tape).live, failure)


def torch_table(model: torch.nn.Module, shape: Sequence[int]) -> tuple[dict[str, int], int]:
    """FLOPs by operator of torch's FlopCounterMode on the meta device, and those inside of scaled dot products."""
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
    found: Mapping[Any, int] = counter.get_flop_counts().get("Global", {})
    return {str(op).rpartition(".")[2]: count for op, count in found.items()}, attention.flops


class _Attention(TorchFunctionMode):
    """Notes what a counter counts of scaled_dot_product_attention.

    A mode sees nothing of what runs inside of multi_head_attention_forward: where that one is not asked for its
    weights it calls scaled_dot_product_attention, whose products alone are of batches of matrices.
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

            counts = FlopCountAnalysis(model.eval(), x).by_operator()
    finally:
        for module, mode in zip(model.modules(), modes, strict=True):
            module.training = mode
    return {name: int(count) for name, count in counts.items()}


def _failure(error: Exception, tape: Tape) -> str:
    """The error's first line, and the operators of this network that are known to stop fvcore."""
    first = next(iter(str(error).strip().splitlines()), "")
    known = sorted({n.name for n in tape.executed if n.name.startswith("max_unpool")})
    named = f" (the network has {', '.join(known)}, which fvcore is known to fail on)" if known else ""
    return f"{type(error).__name__}: {first}{named}".strip(": ")


def _lines(tape: Tape, by_torch: Mapping[str, int], by_fvcore: Mapping[str, int] | None, attention: int) -> list[Line]:
    """One line for each operator executed, and for each that another counter alone has; the costly first."""
    groups: dict[str, list[Node]] = {}
    for node in tape.executed:
        groups.setdefault(_group(node), []).append(node)
    theirs = {name: group for group, names in FVCORE_NAMES.items() for name in names}
    strange = [theirs.get(name, name) for name in by_fvcore or ()] + [_group_name(name) for name in by_torch]
    for name in strange:
        groups.setdefault(name, [])
    found = [_line(tape, name, nodes, by_torch, by_fvcore, attention) for name, nodes in groups.items()]
    return sorted(found, key=lambda line: (-line.flops, line.operator))


def _group(node: Node) -> str:
    """The line that a node belongs to; an adaptive pooling to one bin is recorded as a mean over axes -1 and -2."""
    single = node.name == "mean" and list(node.bind().get("dim") or ()) == [-1, -2]
    return POOL if single else _group_name(node.name)


def _group_name(name: str) -> str:
    return "products" if name in PRODUCTS else name


def _line(
    tape: Tape,
    name: str,
    nodes: Sequence[Node],
    by_torch: Mapping[str, int],
    by_fvcore: Mapping[str, int] | None,
    attention: int,
) -> Line:
    ours = [cost_of(tape, node) for node in nodes]
    counted = [cost or (0, 0) for cost in ours]
    macs, flops = sum(m for m, _ in counted), sum(f for _, f in counted)
    vectors = sum(m for node, (m, _) in zip(nodes, counted, strict=True) if node.name in VECTORS)
    added = sum(m for node, (m, _) in zip(nodes, counted, strict=True) if node.name == "baddbmm")
    torchs = sum(count for op, count in by_torch.items() if _group_name(op) == name)
    torch_rule = _torch_rule(macs, flops, torchs, vectors)
    fvcores, rule = None, ""
    if by_fvcore is not None:
        part = {n: by_fvcore[n] for n in FVCORE_NAMES.get(name, (name,)) if n in by_fvcore}
        fvcores = sum(part.values())
        priced = sum(_price(tape, node) for node in nodes)
        fused = attention // 2 if name == "products" else 0
        missing = {NO_ATTENTION: fused, NO_BADDBMM: added, NO_VECTORS: vectors}
        rule = _fvcore_rule(name, macs, flops, part, priced, missing)
    shown = ", ".join(sorted({node.name for node in nodes})) or name
    return Line(shown, len(nodes), macs, flops, fvcores, torchs, rule, torch_rule, None not in ours)


def _torch_rule(macs: int, flops: int, count: int, vectors: int) -> str:
    if macs and count == 2 * macs:
        return EQUAL_TORCH
    if macs and count == 2 * (macs - vectors):
        return NO_VECTORS
    return "" if count or macs else PRODUCTS_ONLY if flops else MOVES


def _fvcore_rule(
    name: str, macs: int, flops: int, part: Mapping[str, int], priced: int, unpriced: Mapping[str, int]
) -> str:
    count = sum(part.values())
    if macs:
        return _product_rule(macs - count, unpriced, part.get("einsum", 0))
    if count:
        return PRICES[name] if name in PRICES and count == priced else ""
    return "" if priced else NO_PRICE if flops else MOVES


def _product_rule(missing: int, unpriced: Mapping[str, int], einsum: int) -> str:
    """Why fvcore has `missing` fewer: `unpriced` by rule. Of `einsum`, what it has for those, four digits are right."""
    rules = [rule for rule, count in unpriced.items() if count]
    rest = missing - sum(unpriced.values())
    if rest and abs(rest) <= einsum * 5e-4:
        return "; ".join([*rules, EINSUM])
    if rest:
        return ""
    return "; ".join(rules) or EQUAL_FVCORE


def _price(tape: Tape, node: Node) -> int:
    """What fvcore asks for an operator that is no product."""
    price = ELEMENTWISE.get(_group(node))
    return price(tape, node) if price else 0


def _norm(fixed: int) -> Callable[[Tape, Node], int]:
    """`fixed` an element, or 4 with statistics of its own, and 1 more for an affine map."""

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
