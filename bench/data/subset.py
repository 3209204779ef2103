"""A fraction of a training split: every dataset has the option `fraction`, which its loader need not know.

The images are ordered by a hash of SEED and their number in the split, and the first ones are used. A smaller fraction
is therefore part of a larger one, and every run of every machine uses the same images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bench.data.examples import Examples
from bench.registry.entries import FRACTION

SEED = 0


def own_axes(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are axes of the dataset itself, which its loader takes."""
    return {name: value for name, value in options.items() if name != FRACTION.name}


def chosen(count: int, fraction: float) -> list[int]:
    """Which of `count` examples are used, in ascending order: `fraction` of them, rounded, and one at least."""
    order = sorted(range(count), key=lambda number: hashlib.sha256(f"{SEED}\0{number}".encode()).digest())
    return sorted(order[: max(1, round(fraction * count))])


def part_of(examples: Examples, fraction: float) -> Examples:
    """The chosen fraction of the examples; `left_out` counts the others."""
    index = chosen(len(examples), fraction)
    others = {f"images outside of the fraction {fraction:g}": len(examples) - len(index)}
    targets = {name: target[index] for name, target in examples.targets.items()}
    return replace(examples, images=examples.images[index], targets=targets, left_out={**examples.left_out, **others})
