"""`seeds: {min: 3, max: 10, until: decided}`: seeds that are added while comparisons are inconclusive.

min     seeds of every variant, at least 2: one has no spread
max     the most seeds that a variant gets
until   decided: significant, or equivalent within the margin
looks   how many times at most comparisons are tested, the first at `min` and the last at `max` seeds; default 4
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.spec.context import Context
from bench.spec.schema import SeedsSection

LOOKS = 4


@dataclass(frozen=True)
class Adaptive:
    """The numbers of seeds at which comparisons are tested, rising; they are fixed before the run."""

    sizes: tuple[int, ...]

    @property
    def text(self) -> str:
        """`3 to 10, until decided (looks at 3, 5, 8 and 10)`."""
        *first, last = map(str, self.sizes)
        return f"{self.sizes[0]} to {last}, until decided (looks at {', '.join(first)} and {last})"


def adaptive_of(context: Context) -> Adaptive | None:
    """The adaptive seeds that the file asks for; None where its seeds are fixed. Raises AblationError."""
    section = context.file.seeds
    if not isinstance(section, SeedsSection):
        return None
    if section.max <= section.min:
        bounds = f"'seeds.max' ({section.max}) must be above 'seeds.min' ({section.min})"
        raise context.error(["seeds", "max"], f"{bounds}; for one number: seeds: {section.min}")
    most = section.max - section.min + 1
    looks = min(LOOKS, most) if section.looks is None else section.looks
    if looks > most:
        message = f"from {section.min} to {section.max} seeds there are at most {most} looks, not {looks}"
        raise context.error(["seeds", "looks"], message)
    return Adaptive(spaced(section.min, section.max, looks))


def spaced(least: int, most: int, looks: int) -> tuple[int, ...]:
    """So many numbers of seeds from the least to the most, evenly as far as whole numbers are; a half is rounded up."""
    steps = looks - 1
    return tuple(least + (2 * (most - least) * step + steps) // (2 * steps) for step in range(looks))
