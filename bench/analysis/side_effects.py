"""Side effects of an axis: what else moved with it (parameters, MACs, receptive field)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.results.signature import Signature
from bench.spec.variant import Variant


@dataclass(frozen=True)
class Moved:
    """A line of the side effects: a variant's size, and its distance from the baseline where both are known."""

    variant: str
    params: int
    macs: float
    field: Any
    params_change: float | None
    macs_change: float | None
    note: str = ""


def ledger(signatures: Mapping[Variant, Signature], baseline: str) -> Iterator[Moved]:
    """One line a variant, in order; changes are relative to the baseline."""
    base = next((each for variant, each in signatures.items() if variant.name == baseline), None)
    for variant, found in signatures.items():
        yield Moved(
            variant.name,
            found.params,
            found.macs,
            found.field,
            _relative(found.params, base.params if base else 0, found.error),
            _relative(found.macs, base.macs if base else 0, found.error),
            f"not checked: {found.error}" if found.error else "",
        )


def _relative(value: float, base: float, error: str | None) -> float | None:
    return None if error or not base else value / base - 1
