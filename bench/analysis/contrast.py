"""A contrast: a weighted sum of aggregates of one metric, with an interval from every noise that was sampled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.analysis.aggregate import Aggregate
from bench.stats.inference import (
    LEVEL,
    Estimate,
    Exact,
    Interval,
    Medians,
    Student,
    bootstrap_of_mean,
    evaluation_source,
    merged_blocks,
)
from bench.stats.moderation import Spreads, moderated, source_of_means

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]

Contributions = Mapping[tuple[str, str, int], Any]
"""(variant, metric, seed) -> an array of what each block of images contributes to that score."""

ONE_MACHINE = "one machine, one process for each variant: what differs between processes is not in the interval"


class ContrastError(ValueError):
    """Aggregates without the numbers that a contrast needs; the text says which and why."""


@dataclass(frozen=True)
class Noise:
    """What is known of the noise of all aggregates of a table.

    `spreads` are the variances over seeds of each metric's variants, which borrow strength from one another;
    `contributions` what each block of images contributes to a score.
    """

    spreads: Mapping[str, Spreads[str]] = field(default_factory=dict)
    contributions: Contributions = field(default_factory=dict)

    def of(self, metric: str, aggregates: Iterable[Aggregate]) -> Spreads[str]:
        """The spreads of a metric; of `aggregates` alone where the table has none."""
        spreads = self.spreads.get(metric)
        return spreads_of(aggregates) if spreads is None else spreads


def noise_of(aggregates: Iterable[Aggregate], contributions: Contributions) -> Noise:
    """The noise of a table, from all of its aggregates."""
    metrics: dict[str, list[Aggregate]] = {}
    for aggregate in aggregates:
        if aggregate.seeded:
            metrics.setdefault(aggregate.metric, []).append(aggregate)
    return Noise({metric: spreads_of(each) for metric, each in metrics.items()}, contributions)


def spreads_of(aggregates: Iterable[Aggregate]) -> Spreads[str]:
    """The spread over seeds of each variant, by name; failed seeds have no value and do not count."""
    return moderated({each.variant: list(each.seeded.values()) for each in aggregates})


@dataclass(frozen=True)
class Contrast:
    """An estimate, and in words what its interval is made of.

    `seeds` is the smallest number of seeds of any variant, 0 without seeds. `identical`: every seed gave the same
    number on both sides, so that nothing at all differs. `blocks` (blocks,) is what each block of images contributes to
    the estimate.
    """

    estimate: Estimate
    basis: str
    seeds: int = 0
    identical: bool = False
    blocks: Floats | None = None

    @property
    def exact(self) -> bool:
        return isinstance(self.estimate, Exact)

    def training(self, level: float = LEVEL) -> Interval | None:
        """The interval from the noise of seeds alone; None without seeds."""
        if not isinstance(self.estimate, Student):
            return None
        return Student(self.estimate.value, self.estimate.sources[:1]).interval(level)

    def evaluation(self, level: float = LEVEL) -> Interval | None:
        """The interval from the noise of evaluation alone, for these trained networks; None where it is not known.

        A paired bootstrap: every network is judged on the same draw of images.
        """
        if self.blocks is None:
            return None
        return bootstrap_of_mean(self.blocks - self.blocks.mean() + self.estimate.value, level)


Terms = Sequence[tuple[float, Aggregate]]
"""(weight, aggregate)."""


def contrast(terms: Terms, constant: float, noise: Noise) -> Contrast:
    """`constant` plus each aggregate's value times its weight; all aggregates of one metric.

    The variance of seeds is that of each variant (`stats.moderation`), so that the numbers of seeds may differ; blocks
    of images are paired. Raises ContrastError where an aggregate is missing, failed or has no number, or where the
    times are of different clocks.
    """
    for _, aggregate in terms:
        _check(aggregate)
    _check_clocks([aggregate for _, aggregate in terms])
    if not terms:
        return Contrast(Exact(constant), "exact")
    if any(aggregate.seeded for _, aggregate in terms):
        return _seeded(_merged(terms), constant, noise)
    if all(aggregate.exact for _, aggregate in terms):
        total = math.fsum([constant, *(weight * (aggregate.value or 0.0) for weight, aggregate in terms)])
        return Contrast(Exact(total), "exact")
    samples = tuple((weight, tuple(value for _, value in aggregate.samples)) for weight, aggregate in terms)
    counts = "/".join(dict.fromkeys(str(len(values)) for _, values in samples))
    return Contrast(Medians(samples, constant), f"medians of {counts} samples; {ONE_MACHINE}")


def _merged(terms: Terms) -> Terms:
    """One term for each variant, since twice the same number is not two independent ones."""
    aggregates = {aggregate.variant: aggregate for _, aggregate in terms}
    weights = {name: math.fsum(w for w, each in terms if each.variant == name) for name in aggregates}
    return [(weights[name], aggregate) for name, aggregate in aggregates.items()]


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


def _seeded(terms: Terms, constant: float, noise: Noise) -> Contrast:
    value = constant + math.fsum(weight * (aggregate.value or 0.0) for weight, aggregate in terms)
    spreads = noise.of(terms[0][1].metric, [aggregate for _, aggregate in terms])
    training = source_of_means([(weight, spreads.groups.get(each.variant)) for weight, each in terms])
    seeds, basis = min(len(aggregate.seeded) for _, aggregate in terms), _seeds_text(terms)
    same = seeds > 1 and constant == 0 and _cancel(terms)
    blocks = _blocks(terms, noise.contributions)
    if blocks is None:
        return Contrast(Student(value, (training,)), basis, seeds, same)
    evaluation = evaluation_source(blocks)
    parts = sum(weight * each.mean(axis=0) for weight, each in merged_blocks(blocks))
    basis = f"{basis} and {_blocks_text(blocks, len(parts))}"
    return Contrast(Student(value, (training, evaluation)), basis, seeds, same, parts)


def _blocks_text(blocks: Sequence[tuple[float, Floats]], effective: int) -> str:
    """`10 blocks of images`, or how many are left of them where neighbours are alike."""
    stored = blocks[0][1].shape[1]
    if effective == stored:
        return f"{stored} blocks of images"
    return f"{effective} blocks of images (effective number; {stored} whose neighbours correlate are merged)"


def _cancel(terms: Terms) -> bool:
    """Whether the weighted sum of every seed is exactly 0."""
    seeds = {tuple(sorted(aggregate.seeded)) for _, aggregate in terms}
    if len(seeds) != 1:
        return False
    return all(math.fsum(weight * each.seeded[seed] for weight, each in terms) == 0 for seed in seeds.pop())


def _seeds_text(terms: Terms) -> str:
    """`3 seeds`, `3 to 5 seeds`, or that there is one seed."""
    counts = [len(aggregate.seeded) for _, aggregate in terms]
    if min(counts) == 1:
        return "one seed, which has no spread"
    return f"{min(counts)} seeds" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)} seeds"


def _blocks(terms: Terms, contributions: Contributions) -> list[tuple[float, Floats]] | None:
    """(weight, (seeds, blocks)) of each aggregate; None where any part is not known."""
    import numpy as np

    keys = [[(aggregate.variant, aggregate.metric, seed) for seed in aggregate.seeded] for _, aggregate in terms]
    arrays = [[contributions.get(key) for key in row] for row in keys]
    lengths = {None if array is None else len(array) for row in arrays for array in row}
    if len(lengths) != 1 or None in lengths:
        return None
    return [(weight, np.array(row, dtype=float)) for (weight, _), row in zip(terms, arrays, strict=True)]
