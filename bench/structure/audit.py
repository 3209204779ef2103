"""Our counts beside fvcore's and torch's, each difference explained by a rule that has a name, or flagged.

The three count the same network: torch's counter on the meta device, fvcore on real tensors (that is
how it works, and why it is slow). Both are asked for what they call FLOPs: torch's are two per MAC, fvcore's
one per MAC and a few for other operators.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from bench.structure.conventions import fvcore_extra
from bench.structure.costs import costs
from bench.structure.tape import Tape, record
from bench.structure.twins import Parts, parameter_twins, standing_in, twin

FVCORE_PRODUCTS = ("conv", "linear", "matmul", "addmm", "bmm", "baddbmm", "mm", "einsum", "mv", "dot")
@dataclass(frozen=True)
class Difference:
    """What another counter has more (or less) than our MACs, and the rule that explains it, if one does."""

    counter: str
    operators: tuple[str, ...]
    amount: int
    rule: str

    @property
    def explained(self) -> bool:
        return bool(self.rule)


@dataclass(frozen=True)
class Audit:
    """MACs by our count, by torch's (halved), by fvcore's; None where a counter failed, with the reason."""

    ours: int
    torch: int
    fvcore: int | None
    differences: tuple[Difference, ...]
    failure: str = ""

    @property
    def agreed(self) -> bool:
        """Whether a named rule explains every difference."""
        return all(d.explained for d in self.differences)


def audit(model: torch.nn.Module, shape: Sequence[int]) -> Audit:
    """Counts one forward pass of `model` on (N, C, ...) three times. Runs it once on real tensors, in eval mode."""
    tape = record(model, shape)
    ours, by_torch = costs(tape).macs, torch_macs(model, shape)
    differences = [Difference("torch", (), by_torch - ours, "")] if by_torch != ours else []
    try:
        table = fvcore_table(model, shape)
    except Exception as error:  # fvcore fails in many ways: the failure is the finding
        text = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
        return Audit(ours, by_torch, None, tuple(differences), text)
    differences += _explained(tape, table)
    return Audit(ours, by_torch, sum(table.values()), tuple(differences))


def torch_macs(model: torch.nn.Module, shape: Sequence[int]) -> int:
    """Half of what torch's FlopCounterMode counts on the meta device."""
    from torch.utils.flop_counter import FlopCounterMode

    parts = Parts(model)
    floating = (p.dtype for p in parts.parameters if p.is_floating_point())
    x = torch.empty(tuple(shape), dtype=next(floating, torch.float32), device="meta")
    buffers = {b: twin(b) for b in parts.buffers}
    counter = FlopCounterMode(display=False)
    with standing_in(model, parts, parameter_twins(parts), False, buffers), torch.no_grad(), counter:
        model(x)
    return counter.get_total_flops() // 2


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


def _explained(tape: Tape, table: Mapping[str, int]) -> list[Difference]:
    """Operators that fvcore prices and we don't, and products that it counts otherwise."""
    found = []
    for name, count in table.items():
        if name not in FVCORE_PRODUCTS and count:
            rule, predicted = PRICED.get(name, ("", _nothing))
            found.append(Difference("fvcore", (name,), count, rule if predicted(tape) == count else ""))
    missing = sum(table.get(name, 0) for name in FVCORE_PRODUCTS) - costs(tape).macs
    if missing:
        explained = missing == -_between_activations(tape)
        found.append(Difference("fvcore", FVCORE_PRODUCTS, missing, NO_ATTENTION if explained else ""))
    return found


NO_ATTENTION = "scaled_dot_product_attention has no price: the two products of every attention are left out"


def _between_activations(tape: Tape) -> int:
    """MACs of products of two batches of matrices."""
    return sum(o.macs for o in costs(tape).operators if o.name == "bmm")


def _nothing(tape: Tape) -> int:
    return 0


def _of(*names: str) -> Callable[[Tape], int]:
    return lambda tape: sum(fvcore_extra(tape, node) for node in tape.executed if node.name in names)


PRICED: Mapping[str, tuple[str, Callable[[Tape], int]]] = {
    "batch_norm": ("normalisation is priced: 1 per element, 2 if affine", _of("native_batch_norm")),
    "layer_norm": ("normalisation is priced: 4 per element, 5 if affine", _of("native_layer_norm")),
    "group_norm": ("normalisation is priced: 4 per element, 5 if affine", _of("native_group_norm")),
    "adaptive_avg_pool2d": ("pooling is priced: 1 per input element", _of("_adaptive_avg_pool2d", "mean")),
    "upsample_nearest2d": ("interpolation is priced: 1 per output element", _of("upsample_nearest2d")),
    "upsample_bilinear2d": ("interpolation is priced: 4 per output element", _of("upsample_bilinear2d")),
    "grid_sampler": ("sampling is priced: 4 per output element", _of("grid_sampler_2d")),
}
"""Operators that have a price in fvcore and no MAC in ours: the rule, and what it predicts."""
