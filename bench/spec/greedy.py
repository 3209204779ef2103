"""A path whose order the results choose: `path: {to: {axis: value}, order: greedy}`.

At each step every component that is not changed yet is tried on the variant reached so far, and the best one by the
main metric is taken. Which variants there are depends on results, so that an ablation is loaded with the first step
alone, and gets the variants of the later ones where their results are read; see `bench.analysis.race`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench.spec.variant import Variant

GREEDY = "greedy"
"""The value of `path.order` that leaves the order to the results."""

MOST_COMPONENTS = 8
"""Components of such a path at most: all combinations of them are checked when the file is read."""

Names = frozenset[str]


@dataclass(frozen=True)
class Greedy:
    """`components` are the axes of `path.to` in the order of the file; `variants` has each combination of them that is
    not excluded. `taken` are those that were chosen so far, in this order."""

    components: tuple[str, ...]
    variants: Mapping[Names, Variant] = field(hash=False)
    taken: tuple[str, ...] = ()

    @property
    def candidates(self) -> dict[str, Variant]:
        """Component that the next step may take -> the variant with it."""
        return self.after(self.taken)

    def after(self, taken: Sequence[str]) -> dict[str, Variant]:
        """The candidates of the step after these."""
        left = {name: frozenset((*taken, name)) for name in self.components if name not in taken}
        return {name: self.variants[names] for name, names in left.items() if names in self.variants}

    @property
    def tried(self) -> tuple[Variant, ...]:
        """The candidates of every step so far, the one that is open included."""
        steps = (self.after(self.taken[:length]).values() for length in range(len(self.taken) + 1))
        return tuple(dict.fromkeys(itertools.chain(*steps)))

    @property
    def chosen(self) -> tuple[Variant, ...]:
        """The variant of each step that was decided, in order."""
        return tuple(self.variants[frozenset(self.taken[:length])] for length in range(1, len(self.taken) + 1))

    @property
    def later(self) -> int:
        """How many variants the steps after the open one try at most."""
        left = len(self.components) - len(self.taken)
        return left * (left - 1) // 2


def combinations(components: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Every combination of at least two components: what later steps may reach."""
    for size in range(2, len(components) + 1):
        yield from itertools.combinations(components, size)
