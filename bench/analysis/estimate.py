"""What is known of a weighted sum of aggregates: its value, and its interval from every noise that was sampled."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.stats.inference import LEVEL, Estimate, Exact, Interval, Medians, bootstrap, crossed, paired_t

if TYPE_CHECKING:
    import numpy as np

    from bench.analysis.summary import Aggregate

    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Units = Mapping[tuple[str, str, int], Floats]

ONE_MACHINE = "one machine, one process for each variant: what differs between processes is not in the interval"


class EstimateError(ValueError):
    """Cells that have no numbers to infer from; the text says which and why."""


@dataclass(frozen=True)
class Known:
    """An estimate, and in words what its interval is made of.

    `deltas` are the weighted sums of each seed, `units` (S, N) what blocks of evaluation units
    contribute to them.
    """

    estimate: Estimate
    basis: str
    deltas: tuple[float, ...] = ()
    units: Floats | None = None

    @property
    def exact(self) -> bool:
        return isinstance(self.estimate, Exact)

    def training(self, level: float = LEVEL) -> Interval | None:
        """The interval of the seeds' noise alone; None without seeds."""
        return paired_t(self.deltas).interval(level) if self.deltas else None

    def evaluation(self, level: float = LEVEL) -> Interval | None:
        """The interval of the evaluation units' noise alone, networks as they are; None where it is not known.

        A paired bootstrap: every network is judged on the same draw.
        """
        if self.units is None:
            return None
        parts = self.units.mean(axis=0)
        parts = parts - parts.mean() + self.estimate.value
        return bootstrap(lambda drawn: float(parts[drawn].mean()), len(parts), level)


Terms = Sequence[tuple[float, "Aggregate"]]


def estimate(terms: Terms, constant: float, units: Units) -> Known:
    """`constant` plus each aggregate's value times its weight; all aggregates of one metric.

    Seeds are paired, and so are evaluation units. Raises EstimateError where a aggregate is missing, failed, has no
    number, or seeds don't match.
    """
    for _, aggregate in terms:
        _check(aggregate)
    if not terms:
        return Known(Exact(constant), "exact")
    if any(aggregate.seeded for _, aggregate in terms):
        return _seeded(terms, constant, units)
    if all(aggregate.exact for _, aggregate in terms):
        total = math.fsum([constant, *(weight * (aggregate.value or 0.0) for weight, aggregate in terms)])
        return Known(Exact(total), "exact")
    samples = tuple((weight, tuple(value for _, value in aggregate.samples)) for weight, aggregate in terms)
    counts = "/".join(dict.fromkeys(str(len(values)) for _, values in samples))
    return Known(Medians(samples, constant), f"medians of {counts} samples; {ONE_MACHINE}")


def _check(aggregate: Aggregate) -> None:
    if aggregate.errors:
        seed, message = aggregate.errors[0]
        raise EstimateError(f"{aggregate.metric} of {aggregate.variant}{_of(seed)} failed: {message.splitlines()[0]}")
    if aggregate.missing:
        raise EstimateError(f"{aggregate.metric} of {aggregate.variant} is not measured{_of(aggregate.missing[0])}")
    if aggregate.value is None:
        raise EstimateError(f"{aggregate.metric} of {aggregate.variant} is {aggregate.words or 'not measured'}")


def _of(seed: int | None) -> str:
    return "" if seed is None else f" (seed {seed})"


def _seeded(terms: Terms, constant: float, units: Units) -> Known:
    seeds = list(terms[0][1].seeded)
    for _, aggregate in terms:
        if sorted(aggregate.seeded) != sorted(seeds):
            raise EstimateError(f"{aggregate.metric} of {aggregate.variant} has other seeds than {terms[0][1].variant}")
    deltas = tuple(
        constant + math.fsum(weight * aggregate.seeded[seed] for weight, aggregate in terms) for seed in seeds
    )
    told = f"{len(seeds)} seeds" if len(seeds) > 1 else "one seed, which has no spread"
    found = _contributions(terms, seeds, units)
    if found is None:
        return Known(paired_t(deltas), told, deltas)
    return Known(crossed(deltas, found), f"{told} and {found.shape[1]} blocks of evaluation units", deltas, found)


def _contributions(terms: Terms, seeds: Sequence[int], units: Units) -> Floats | None:
    """(S, N): what each block of evaluation units adds to each seed's sum; None where any part is not known."""
    import numpy as np

    keys = [[(aggregate.variant, aggregate.metric, seed) for seed in seeds] for _, aggregate in terms]
    if (
        not all(key in units for row in keys for key in row)
        or len({len(units[key]) for row in keys for key in row}) > 1
    ):
        return None
    total = sum(weight * np.stack([units[key] for key in row]) for (weight, _), row in zip(terms, keys, strict=True))
    return np.asarray(total, dtype=float)
