"""Variances of several groups, each estimated from few values, that borrow strength from one another.

Three seeds give a variance with two degrees of freedom, which decides nothing. The groups of a table (its variants)
have similar variances, so that each is estimated better by a compromise between its own and the average of all: a
moderated variance (Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3:3). How far it moves
towards the average is estimated from how much the variances themselves differ. A group whose variance is far above
those of the others (a run that diverged, two modes) keeps its own, and does not count in the average.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from bench.stats.descriptive import deviation, mean
from bench.stats.inference import Source

K = TypeVar("K")

FEWEST = 3
"""With fewer groups nothing is borrowed: whether two variances are alike cannot be told from the two."""

SUSPICION = 0.01
"""The probability at most that any of the groups is called different where all variances come from one distribution."""


MOST_DIFFERENT = 5
"""Where more groups differ from the others, it is the spread of the spreads that is large (`Spreads.weight`)."""

RETAINED = 0.25
"""How much of its excess a variance above its moderated value retains.

By simulation (tests/perf/test_inference_power.py): without it, a baseline with twice the spread of the others gives
8 % false verdicts instead of 7 %, and a table of spreads that differ by a factor of 1.6 up to 5.2 % instead of 4.6 %;
power falls by 3 points.
"""


@dataclass(frozen=True)
class Spread:
    """The variance of one value of a group, and its degrees of freedom; `count` is how many values the group has.

    `own` is the group's own variance, before anything was borrowed; `borrows` says whether anything was.
    """

    variance: float
    freedom: float
    count: int
    own: float
    borrows: bool


@dataclass(frozen=True)
class Spreads(Generic[K]):
    """The spread of each group with at least two values.

    `common` is the average variance that was borrowed and `weight` its degrees of freedom (infinite where the variances
    differ no more than by chance); both None where nothing was borrowed. `different` are the groups with a variance far
    above the others'. `floor` is the least variance that a group can have.
    """

    groups: Mapping[K, Spread]
    common: float | None = None
    weight: float | None = None
    different: tuple[K, ...] = ()
    floor: float = 0.0


@dataclass(frozen=True)
class _Prior:
    """A distribution of variances: `variance` times an inverse chi-square with `freedom`, from `pooled` of the data."""

    variance: float
    freedom: float
    pooled: float

    @property
    def certain(self) -> float:
        """The degrees of freedom of the average: no more than the data have."""
        return min(self.freedom, self.pooled)


def resolution(values: Iterable[float]) -> float:
    """The smallest difference between two of the values that is no rounding error; 0 where all are equal.

    A score that counts (correct joints, active units) moves in steps. With few values the smallest difference is at
    least one step, so the step is not underestimated.
    """
    ordered = sorted(set(values))
    least = 1e-9 * max(map(abs, ordered), default=0.0)
    return min((b - a for a, b in itertools.pairwise(ordered) if b - a > least), default=0.0)


def moderated(groups: Mapping[K, Sequence[float]]) -> Spreads[K]:
    """The spread of each group that has two values or more.

    No variance is below step**2 / 12, that of a number rounded to steps of `resolution`: equal values are no proof that
    nothing varies.
    """
    floor = resolution(value for values in groups.values() for value in values) ** 2 / 12
    own = {key: _own(values, floor) for key, values in groups.items() if len(values) > 1}
    if len(own) < FEWEST or not all(variance > 0 for variance, _ in own.values()):
        return Spreads({key: _spread(each, None) for key, each in own.items()}, floor=floor)
    different = _different(own)
    prior = _prior([each for key, each in own.items() if key not in different])
    spreads = {key: _spread(each, None if key in different else prior) for key, each in own.items()}
    return Spreads(spreads, prior.variance, prior.freedom, different, floor)


def pooled(groups: Iterable[Sequence[float]]) -> Spread | None:
    """The spread of one value that all groups have in common; None where no group has two values.

    `count` is 1: the number of values of a mean is for its user to say.
    """
    own = [_own(values, 0.0) for values in groups if len(values) > 1]
    if not own:
        return None
    freedom = sum(each for _, each in own)
    variance = math.fsum(variance * each for variance, each in own) / freedom
    return Spread(variance, freedom, 1, variance, True)


def source_of_means(terms: Sequence[tuple[float, Spread | None]]) -> Source:
    """The noise of a weighted sum of means, from (weight, spread of one value); None: a group of one value.

    Variances that borrowed from one average are not independent: together they have the harmonic mean of their degrees
    of freedom, weighted by their parts of the variance. Independent variances are combined as Welch 1947 and
    Satterthwaite 1946 do. Without degrees of freedom where any group has a single value.
    """
    parts = [(weight**2 * each.variance / each.count, each) for weight, each in terms if each is not None]
    total = math.fsum(part for part, _ in parts)
    if len(parts) < len(terms) or not parts:
        return Source(math.sqrt(total), 0)
    if total == 0:
        return Source(0.0, min(each.freedom for _, each in parts))
    alone = math.fsum(part**2 / each.freedom for part, each in parts if not each.borrows)
    shared = [(part, each.freedom) for part, each in parts if each.borrows]
    borrowed = math.fsum(part for part, _ in shared) * math.fsum(part / freedom for part, freedom in shared)
    return Source(math.sqrt(total), total**2 / (alone + borrowed))


def _own(values: Sequence[float], floor: float) -> tuple[float, int]:
    return max((deviation(values) or 0.0) ** 2, floor), len(values) - 1


def _spread(own: tuple[float, int], prior: _Prior | None) -> Spread:
    variance, freedom = own
    if prior is None:
        return Spread(variance, freedom, freedom + 1, variance, False)
    average, together = prior.variance, prior.freedom + freedom
    if math.isfinite(prior.freedom):
        average = (prior.freedom * prior.variance + freedom * variance) / together
    retained = average + RETAINED * max(variance - average, 0.0)
    return Spread(retained, min(together, prior.pooled), freedom + 1, variance, True)


def _prior(own: Sequence[tuple[float, int]]) -> _Prior:
    """The pooled variance, and its degrees of freedom by moments of the log variances (Smyth 2004, section 6.2)."""
    pooled = sum(freedom for _, freedom in own)
    variance = math.fsum(freedom * variance for variance, freedom in own) / pooled
    if len(own) < 2:
        return _Prior(variance, math.inf, pooled)
    logs = [math.log(variance) - _expected_log(freedom) for variance, freedom in own]
    excess = (deviation(logs) or 0.0) ** 2 - mean([_trigamma(freedom / 2) for _, freedom in own])
    return _Prior(variance, 2 * _inverse_trigamma(excess) if excess > 0 else math.inf, pooled)


def _different(own: Mapping[K, tuple[float, int]]) -> tuple[K, ...]:
    """The groups whose variance is far above that of the others.

    The largest is tested against all others, then left out, and the next is tested: as many are different as the last
    test that is significant says, so that two do not hide each other (Rosner 1983, Technometrics 25:165). At most half
    of the groups can be, and no more than MOST_DIFFERENT.
    """
    from scipy.special import fdtrc

    rest = dict(own)
    order: list[K] = []
    count = 0
    for _ in range(min(len(own) // 2, len(own) - FEWEST + 1, MOST_DIFFERENT)):
        largest = max(rest, key=lambda key: rest[key][0])
        variance, freedom = rest.pop(largest)
        order.append(largest)
        prior = _prior(list(rest.values()))
        p_value = float(fdtrc(freedom, prior.certain, variance / prior.variance))
        count = len(order) if p_value * (len(rest) + 1) < SUSPICION else count
    return tuple(key for key in own if key in order[:count])


def _expected_log(freedom: int) -> float:
    """The mean of the logarithm of a variance estimate, where the true variance is 1."""
    from scipy.special import digamma

    return float(digamma(freedom / 2)) - math.log(freedom / 2)


@functools.lru_cache(maxsize=256)
def _trigamma(value: float) -> float:
    from scipy.special import polygamma

    return float(polygamma(1, value))


def _inverse_trigamma(value: float) -> float:
    """The argument at which the trigamma function has this value, above 0: Newton's method (Smyth 2004, appendix)."""
    from scipy.special import polygamma

    if value > 1e7:
        return 1 / math.sqrt(value)
    if value < 1e-6:
        return 1 / value
    y = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, y))
        change = trigamma * (1 - trigamma / value) / float(polygamma(2, y))
        y += change
        if -change / y < 1e-10:
            break
    return y
