"""What samples allow to be said: intervals, tests, corrections, equivalence, Pareto fronts. Pure; nothing is rounded.

`statistics` describes samples, this module infers from them. Two sources of noise are kept apart and then
combined: *training* (seeds) and *evaluation* (the images, or whatever unit, that happened to be judged on).
An estimate knows its value and its interval at any level; everything else is decided by that interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from bench.stats.descriptive import deviation, mean, median, median_interval

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Indices = np.ndarray[Any, np.dtype[np.intp]]

LEVEL = 0.95
"""The confidence of every interval and family of verdicts that is shown."""

LEAST = 1e-12
"""Error probabilities are not told apart below this."""

Interval = tuple[float, float]
NOTHING: Interval = (-math.inf, math.inf)
"""The interval of what is not known at all."""

K = TypeVar("K")


class Estimate(Protocol):
    """A number that is known up to an interval, narrower at a lower level."""

    @property
    def value(self) -> float: ...

    def interval(self, level: float) -> Interval: ...


@dataclass(frozen=True)
class Exact:
    """A number without noise."""

    value: float

    def interval(self, level: float) -> Interval:
        return self.value, self.value


@dataclass(frozen=True)
class Source:
    """One source of noise in a mean: the standard error that it alone gives, and the degrees of freedom behind it."""

    error: float
    freedom: float

    def reach(self, level: float) -> float:
        """How far the two-sided interval reaches to either side; without end where there are no degrees of freedom."""
        return quantile_of_t(level, self.freedom) * self.error if self.freedom > 0 else math.inf


@dataclass(frozen=True)
class Student:
    """A mean with independent sources of noise; with a single one it is Student's t interval.

    With several the interval reaches as far as the root of the sum of the squares of what each would reach alone
    (recovery of variances: Zou & Donner 2008, Statistics in Medicine 27:1693). It holds at least its level.
    """

    value: float
    sources: tuple[Source, ...]

    def interval(self, level: float) -> Interval:
        reach = math.hypot(*(source.reach(level) for source in self.sources))
        return self.value - reach, self.value + reach


@dataclass(frozen=True)
class Medians:
    """`constant` plus a weighted sum of medians, one of each sample of independent values.

    The interval puts the intervals of the single medians together, each at a level so high that all of them
    hold at once with the level asked for (Bonferroni); it presupposes no distribution.
    """

    terms: tuple[tuple[float, tuple[float, ...]], ...]
    constant: float = 0.0

    @property
    def value(self) -> float:
        return self.constant + math.fsum(weight * median(values) for weight, values in self.terms)

    def interval(self, level: float) -> Interval:
        each = 1 - (1 - level) / len(self.terms)
        held = [(weight, median_interval(values, each) or NOTHING) for weight, values in self.terms]
        ends = [sorted((weight * low, weight * high)) for weight, (low, high) in held]
        return self.constant + sum(low for low, _ in ends), self.constant + sum(high for _, high in ends)


def quantile_of_t(level: float, freedom: float) -> float:
    """How many standard errors the two-sided interval of a t distribution reaches to either side."""
    from scipy.special import stdtrit

    return -float(stdtrit(freedom, (1 - level) / 2))


def paired_t(differences: Sequence[float]) -> Student:
    """The mean of differences between pairs (of seeds): Student 1908. Raises ValueError on none."""
    return Student(mean(differences), (_training(differences),))


def crossed(differences: Sequence[float], units: Floats) -> Student:
    """The mean of S differences, one for each seed, over seeds and evaluation units drawn at random.

    `units` (S, N) holds what each of N evaluation units, or blocks of them, contributes to each seed's difference
    (`pseudovalues`). Every seed is judged on the same units, so seeds and units are crossed random
    effects, d[s, n] = mean + a[s] + b[n] + e[s, n], as readers and cases are in studies of diagnosis (Dorfman,
    Berbaum & Metz 1992, Investigative Radiology 27:723). From the mean squares of the analysis of variance:

        training    MS_seed / (S N): the variance of the differences over S, which holds a and e
        evaluation  (MS_unit - MS_rest) / (S N), at least 0: b alone, for e must not count twice

    The two are put together by `Student`, not by pooled degrees of freedom: those of Hillis 2007 (Statistics in
    Medicine 26:596) hold 92 % with three seeds where both sources are alike, which a test here shows.
    Raises ValueError on shapes that don't fit.
    """
    if units.ndim != 2 or len(units) != len(differences) or units.shape[1] < 2:
        raise ValueError(f"contributions of shape {units.shape} to {len(differences)} differences")
    evaluation = Source(math.sqrt(max(_unit_variance(units), 0.0)), units.shape[1] - 1)
    return Student(mean(differences), (_training(differences), evaluation))


def _training(differences: Sequence[float]) -> Source:
    return Source((deviation(differences) or 0.0) / math.sqrt(len(differences)), len(differences) - 1)


def _unit_variance(units: Floats) -> float:
    """(MS_unit - MS_rest) / (S N): what the units alone add to the variance of the grand mean; may be negative."""
    import numpy as np

    seeds, count = len(units), units.size // len(units)
    centred = units - units.mean(axis=1, keepdims=True)
    of_units = centred.mean(axis=0)
    between = seeds * float(np.sum(of_units**2)) / (count - 1)
    rest = float(np.sum((centred - of_units) ** 2)) / ((seeds - 1) * (count - 1)) if seeds > 1 else 0.0
    return (between - rest) / (seeds * count)


def pseudovalues(statistic: Callable[[Indices], float | None], count: int, blocks: int | None = None) -> Floats | None:
    """What each block of neighbouring evaluation units contributes to a statistic: jackknife pseudovalues (blocks,).

    `statistic` takes the indices of the units that it is computed over; of a mean, the pseudovalues are the means
    of the blocks (Busing, Meijer & van der Leeden 1999, Statistics and Computing 9:3). Their variance over their
    number is the statistic's over draws of the units. Neighbours are taken together because images often are
    frames of one video (Künsch 1989, Annals of Statistics 17:1217): left out one by one, CamVid's give a third to
    a half of the standard error that blocks of ten give, for what one frame adds correlates with the next one's by
    0.8 to 0.9, and still by a half five frames on. By default there are as many blocks as a block has units.
    None with fewer than two units, or where leaving a block out leaves no statistic.
    """
    import numpy as np

    if count < 2:
        return None
    everything = np.arange(count)
    whole = statistic(everything)
    if whole is None:
        return None
    chosen = np.array_split(everything, blocks or max(2, round(math.sqrt(count))))
    found = [statistic(np.delete(everything, block)) for block in chosen]
    if any(value is None or not math.isfinite(value) for value in found):
        return None
    share = count / np.array([len(block) for block in chosen])
    result: Floats = share * whole - (share - 1) * np.array(found, dtype=float)
    return result


def bootstrap(
    statistic: Callable[[Indices], float], count: int, level: float = LEVEL, draws: int = 2000, seed: int = 0
) -> Interval:
    """Percentile interval of a statistic over draws of `count` units with replacement (Efron 1979).

    `statistic` takes the indices of the units drawn. Two networks are compared on the same draw each time
    (paired) where the statistic is their difference. This is the noise of evaluation alone.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    found = [statistic(random.integers(0, count, count)) for _ in range(draws)]
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def error_probability(estimate: Estimate, decides: Callable[[Interval], bool]) -> float:
    """The least probability of error at which the estimate's interval decides: a p-value, by inversion.

    1 where even the narrowest interval leaves it open; LEAST stands for all below it.
    """
    below, above = math.log(LEAST), math.log1p(-1e-9)
    if decides(estimate.interval(1 - LEAST)):
        return LEAST
    if not decides(estimate.interval(1 - math.exp(above))):
        return 1.0
    for _ in range(50):
        middle = (below + above) / 2
        decided = decides(estimate.interval(1 - math.exp(middle)))
        below, above = (below, middle) if decided else (middle, above)
    return math.exp(above)


def leaves_out_zero(interval: Interval) -> bool:
    """Whether zero lies outside."""
    return not interval[0] <= 0 <= interval[1]


def tost(estimate: Estimate, margin: float) -> float:
    """The p-value of two one-sided tests: that the truth is no farther from zero than `margin`.

    Schuirmann 1987: equivalent at 5 % where the 90 % interval lies within the margin. Raises ValueError for a
    margin that is not positive.
    """
    if not margin > 0:
        raise ValueError(f"equivalence needs a margin above zero, not {margin}")
    within = error_probability(estimate, lambda found: -margin < found[0] and found[1] < margin)
    return within / 2 if within < 1 else 1.0


def holm(p_values: Mapping[K, float], level: float = LEVEL) -> dict[K, tuple[bool, float]]:
    """For each hypothesis whether it is rejected, and the level of the test that it was put to (Holm 1979).

    The probability of any false rejection is at most 1 - level, whatever the dependence. An interval at the
    level that is returned leaves the hypothesis out exactly where it is rejected. What follows a hypothesis
    that stands is put to the same level.
    """
    order = sorted(p_values, key=lambda key: p_values[key])
    told: dict[K, tuple[bool, float]] = {}
    going, step = True, 0
    for key in order:
        alpha = (1 - level) / (len(order) - step)
        going = going and p_values[key] <= alpha
        told[key] = (going, 1 - alpha)
        step += going
    return {key: told[key] for key in p_values}


def seeds_for_ranks(comparisons: int = 1, level: float = LEVEL) -> int:
    """The fewest paired seeds with which a sign or rank test can reach the level: 2 / 2^n <= (1 - level) / m."""
    return 1 + math.ceil(math.log2(comparisons / (1 - level)) - 1e-12)


def least_effect(seeds: int, comparisons: int = 1, level: float = LEVEL) -> float:
    """The least mean of paired differences, in their standard deviations, that a t test of so many seeds calls
    different from zero, as the first of so many comparisons by Holm. Infinite with one seed: it never does."""
    if seeds < 2:
        return math.inf
    return quantile_of_t(1 - (1 - level) / comparisons, seeds - 1) / math.sqrt(seeds)


Direction = Literal["higher", "lower"]


def pareto(points: Mapping[K, Sequence[float]], better: Sequence[Direction]) -> tuple[K, ...]:
    """The points that no other dominates: as good by every objective and better by one.

    Equal points don't dominate each other: both are on the front. Raises ValueError for a point with
    another number of coordinates than `better` has directions.
    """
    signs = [1 if direction == "higher" else -1 for direction in better]
    turned = {key: _turned(point, signs) for key, point in points.items()}
    return tuple(key for key, mine in turned.items() if not any(_dominates(other, mine) for other in turned.values()))


def _turned(point: Sequence[float], signs: Sequence[int]) -> tuple[float, ...]:
    return tuple(sign * value for sign, value in zip(signs, point, strict=True))


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)
