"""A budget of training: `60s`, `5m`, `2h` of training time, or `1e15 flops`.

A training step of a batch of B images through a network of M multiply-accumulates (the metric `macs`) counts as
6 M B FLOPs: 2 for each multiply-accumulate of the forward pass, and twice the forward pass for the backward pass.
"""

from __future__ import annotations

import math
import re

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
FLOPS = "flops"
NUMBER = r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)"
OF_A_STEP = 6
"""FLOPs of a training step for each multiply-accumulate of the forward pass."""


def budget_text(text: str) -> str:
    """The budget in one form: `5m` as `300s`. Raises ValueError for what is none."""
    match = re.fullmatch(rf"{NUMBER} *(s|m|h|flops)", text.strip(), re.IGNORECASE)
    unit = match[2].lower() if match else ""
    amount = float(match[1]) * UNITS.get(unit, 1.0) if match else 0.0
    if not 0 < amount < math.inf:
        raise ValueError("write a training time (60s, 5m, 2h) or training FLOPs (1e15 flops)")
    if unit == FLOPS:
        mantissa, _, exponent = f"{amount:.12e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)} flops"
    return f"{amount:.12g}s"


def seconds_of(budget: str) -> float | None:
    """The seconds of a budget as `budget_text` writes it; None where it is in FLOPs."""
    return None if budget.endswith(FLOPS) else float(budget.removesuffix("s"))


def flops_of(budget: str) -> float | None:
    """The FLOPs of a budget as `budget_text` writes it; None where it is a time."""
    return float(budget.removesuffix(FLOPS)) if budget.endswith(FLOPS) else None


def shortened(budget: str, fraction: float) -> str:
    """A fraction of a budget."""
    seconds, flops = seconds_of(budget), flops_of(budget)
    return budget_text(f"{fraction * seconds}s" if seconds is not None else f"{fraction * (flops or 0.0)} {FLOPS}")


def steps_for(flops: float, macs: float, batch: int) -> int:
    """The steps that so many training FLOPs pay, where a forward pass of one image has so many multiply-accumulates.

    Raises ValueError for a network whose operations are not counted, or where not even one step is paid.
    """
    if macs <= 0:
        raise ValueError("a budget of FLOPs needs a network whose multiply-accumulates are counted: this one has none")
    step = OF_A_STEP * macs * batch
    if flops < step:
        raise ValueError(f"the budget of {flops:.4g} FLOPs pays no step: one costs {step:.4g}")
    return int(flops // step)
