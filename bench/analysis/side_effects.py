"""Side effects of an axis: how parameters, MACs and receptive field moved along with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.results.signature import Signature
from bench.spec.variant import Variant


@dataclass(frozen=True)
class SideEffect:
    """A variant's sizes, and their relative changes from the baseline where both are known.

    `receptive_field` is in px, None where it is global; `note` says why a network could not be recorded.
    """

    variant: str
    params: int
    macs: float
    receptive_field: Any
    params_change: float | None
    macs_change: float | None
    note: str = ""


def side_effects(signatures: Mapping[Variant, Signature], baseline: str) -> Iterator[SideEffect]:
    """One for each variant, in order."""
    base = next((each for variant, each in signatures.items() if variant.name == baseline), None)
    for variant, signature in signatures.items():
        yield SideEffect(
            variant.name,
            signature.params,
            signature.macs,
            signature.field,
            _relative(signature.params, base.params if base else 0, signature.error),
            _relative(signature.macs, base.macs if base else 0, signature.error),
            f"not checked: {signature.error}" if signature.error else "",
        )


def _relative(value: float, base: float, error: str | None) -> float | None:
    return None if error or not base else value / base - 1
