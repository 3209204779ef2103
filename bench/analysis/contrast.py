"""A contrast: a weighted sum of aggregates of one metric, with an interval from every noise that was sampled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.analysis.aggregate import Aggregate
from bench.stats.inference import LEVEL, Estimate, Exact, Interval, Medians, bootstrap, crossed, paired_t

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]

Contributions = Mapping[tuple[str, str, int], Any]
"""(variant, metric, seed) -> an array of what each block of images contributes to that score."""

ONE_MACHINE = "one machine, one process for each variant: what differs between processes is not in the interval"


class ContrastError(ValueError):
    """Aggregates without the numbers that a contrast needs; the text says which and why."""


@dataclass(frozen=True)
class Contrast:
    """An estimate, and in words what its interval is made of.

    `by_seed` are the weighted sums of each seed; `blocks` (seeds, blocks) what blocks of images contribute to them.
    """

    estimate: Estimate
    basis: str
    by_seed: tuple[float, ...] = ()
    blocks: Floats | None = None

    @property
    def exact(self) -> bool:
        return isinstance(self.estimate, Exact)

    def training(self, level: float = LEVEL) -> Interval | None:
        """The interval from the noise of seeds alone; None without seeds."""
        return paired_t(self.by_seed).interval(level) if self.by_seed else None

    def evaluation(self, level: float = LEVEL) -> Interval | None:
        """The interval from the noise of evaluation alone, for these trained networks; None where it is not known.

        A paired bootstrap: every network is judged on the same draw of images.
        """
        if self.blocks is None:
            return None
        parts = self.blocks.mean(axis=0)
        parts = parts - parts.mean() + self.estimate.value
        return bootstrap(lambda drawn: float(parts[drawn].mean()), len(parts), level)


Terms = Sequence[tuple[float, Aggregate]]
"""(weight, aggregate)."""


def contrast(terms: Terms, constant: float, contributions: Contributions) -> Contrast:
    """`constant` plus each aggregate's value times its weight; all aggregates of one metric.

    Seeds are paired, and so are blocks of images. Raises ContrastError where an aggregate is missing, failed or has no
    number, where the seeds do not match, or where the times are of different clocks.
    """
    for _, aggregate in terms:
        _check(aggregate)
    _check_clocks([aggregate for _, aggregate in terms])
    if not terms:
        return Contrast(Exact(constant), "exact")
    if any(aggregate.seeded for _, aggregate in terms):
        return _seeded(terms, constant, contributions)
    if all(aggregate.exact for _, aggregate in terms):
        total = math.fsum([constant, *(weight * (aggregate.value or 0.0) for weight, aggregate in terms)])
        return Contrast(Exact(total), "exact")
    samples = tuple((weight, tuple(value for _, value in aggregate.samples)) for weight, aggregate in terms)
    counts = "/".join(dict.fromkeys(str(len(values)) for _, values in samples))
    return Contrast(Medians(samples, constant), f"medians of {counts} samples; {ONE_MACHINE}")


def _check(aggregate: Aggregate) -> None:
    name = f"{aggregate.metric} of {aggregate.variant}"
    if aggregate.errors:
        seed, message = aggregate.errors[0]
        raise ContrastError(f"{name}{_of(seed)} failed: {message.splitlines()[0]}")
    if aggregate.missing:
        raise ContrastError(f"{name} is not measured{_of(aggregate.missing[0])}")
    if aggregate.value is None:
        raise ContrastError(f"{name} is {aggregate.words or 'not measured'}")


def _check_clocks(aggregates: Sequence[Aggregate]) -> None:
    for other in aggregates[1:]:
        first = aggregates[0]
        if other.clock != first.clock:
            clocks = f"{first.clock or 'not recorded'} and {other.clock or 'not recorded'}"
            raise ContrastError(f"{first.metric} of {first.variant} and {other.variant}: other clocks ({clocks})")


def _of(seed: int | None) -> str:
    return "" if seed is None else f" (seed {seed})"


def _seeded(terms: Terms, constant: float, contributions: Contributions) -> Contrast:
    seeds = _common_seeds(terms)
    sums = tuple(constant + math.fsum(weight * each.seeded[seed] for weight, each in terms) for seed in seeds)
    basis = f"{len(seeds)} seeds" if len(seeds) > 1 else "one seed, which has no spread"
    blocks = _blocks(terms, seeds, contributions)
    if blocks is None:
        return Contrast(paired_t(sums), basis, sums)
    return Contrast(crossed(sums, blocks), f"{basis} and {blocks.shape[1]} blocks of images", sums, blocks)


def _common_seeds(terms: Terms) -> list[int]:
    first = terms[0][1]
    for _, aggregate in terms:
        if sorted(aggregate.seeded) != sorted(first.seeded):
            raise ContrastError(f"{aggregate.metric} of {aggregate.variant} has other seeds than {first.variant}")
    return list(first.seeded)


def _blocks(terms: Terms, seeds: Sequence[int], contributions: Contributions) -> Floats | None:
    """(seeds, blocks): what each block of images adds to each seed's sum; None where any part is not known."""
    import numpy as np

    keys = [[(aggregate.variant, aggregate.metric, seed) for seed in seeds] for _, aggregate in terms]
    arrays = [[contributions.get(key) for key in row] for row in keys]
    lengths = {None if array is None else len(array) for row in arrays for array in row}
    if len(lengths) != 1 or None in lengths:
        return None
    total = sum(weight * np.array(row) for (weight, _), row in zip(terms, arrays, strict=True))
    return np.asarray(total, dtype=float)
