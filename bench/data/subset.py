"""Parts of a training split: the fraction that is used, and the fraction that a search holds back.

Every dataset has the option `fraction`, which its loader need not know.

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

HELD_BACK_SEED = 1
"""Of what a search holds back: another one, so that it is no matter of the order behind `fraction`."""


def own_axes(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are axes of the dataset itself, which its loader takes."""
    return {name: value for name, value in options.items() if name != FRACTION.name}


def chosen(count: int, fraction: float, seed: int = SEED) -> list[int]:
    """Which of `count` examples are used, in ascending order: `fraction` of them, rounded, and one at least."""
    order = sorted(range(count), key=lambda number: hashlib.sha256(f"{seed}\0{number}".encode()).digest())
    return sorted(order[: max(1, round(fraction * count))])


def part_of(examples: Examples, fraction: float) -> Examples:
    """The chosen fraction of the examples; `left_out` counts the others."""
    index = chosen(len(examples), fraction)
    others = {f"images outside of the fraction {fraction:g}": len(examples) - len(index)}
    return replace(_selected(examples, index), left_out={**examples.left_out, **others})


def held_back(examples: Examples, fraction: float) -> tuple[Examples, Examples]:
    """(the examples to train on, the `fraction` of them that is held back). Raises ValueError where one is empty."""
    index = chosen(len(examples), fraction, HELD_BACK_SEED)
    rest = sorted({*range(len(examples))} - {*index})
    if not rest:
        raise ValueError(f"of {len(examples)} training examples none is left when {fraction:g} are held back")
    return _selected(examples, rest), _selected(examples, index)


def _selected(examples: Examples, index: list[int]) -> Examples:
    targets = {name: target[index] for name, target in examples.targets.items()}
    return replace(examples, images=examples.images[index], targets=targets)
