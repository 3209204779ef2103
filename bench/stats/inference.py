"""Inference from samples: confidence intervals, tests, corrections, equivalence, Pareto fronts. Pure functions.

`descriptive` describes samples, this module infers from them. Two sources of noise are kept apart and then combined:
*training* (seeds: `moderation`) and *evaluation* (the sample of images that networks are judged on). An estimate has a
value and a confidence interval at any level; every test is decided by that interval.
"""

from __future__ import annotations

import bisect
import functools
import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from bench.stats.descriptive import deviation, mean
from bench.stats.sequential import Nominal, single

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Indices = np.ndarray[Any, np.dtype[np.intp]]

LEVEL = 0.95
"""The confidence level of every interval, and of all verdicts that are corrected together."""

LEAST = 1e-12
"""The smallest p-value that is distinguished from zero."""

Interval = tuple[float, float]
K = TypeVar("K")


class Estimate(Protocol):
    """A number with a confidence interval, narrower at a lower level."""

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
    """One source of noise in a mean: its standard error and the degrees of freedom of that."""

    error: float
    freedom: float


@dataclass(frozen=True)
class Student:
    """A mean with independent sources of noise; with a single one it is Student's t interval.

    With several, the variances add up, and so does what is known of them: the degrees of freedom are those of
    Satterthwaite 1946 (Biometrics Bulletin 2:110). Where any source has none, the interval is infinite.
    """

    value: float
    sources: tuple[Source, ...]

    @property
    def error(self) -> float:
        """The standard error from all sources."""
        return math.hypot(*(source.error for source in self.sources))

    @property
    def freedom(self) -> float:
        """The degrees of freedom of `error`; 0 where any source has none."""
        if any(source.freedom <= 0 for source in self.sources):
            return 0.0
        if self.error == 0:
            return min(source.freedom for source in self.sources)
        parts = ((source.error / self.error) ** 4 / source.freedom for source in self.sources)
        return 1 / math.fsum(parts)

    def interval(self, level: float) -> Interval:
        freedom = self.freedom
        half_width = quantile_of_t(level, freedom) * self.error if freedom > 0 else math.inf
        return self.value - half_width, self.value + half_width


@dataclass(frozen=True)
class Ratio:
    """`left` less `right`, two positive numbers whose noise is relative: `sources` are those of log(left / right).

    The interval is that of the ratio, times `right`: it never reaches below -right.
    """

    left: float
    right: float
    sources: tuple[Source, ...]

    @property
    def value(self) -> float:
        return self.left - self.right

    def interval(self, level: float) -> Interval:
        low, high = Student(math.log(self.left / self.right), self.sources).interval(level)
        return self.right * math.expm1(low), self.right * math.expm1(high) if high < LARGEST_LOG else math.inf


LARGEST_LOG = 500.0
"""From a ratio of e**500 on it is called infinite: larger ones overflow."""


@functools.lru_cache(maxsize=2**14)
def quantile_of_t(level: float, freedom: float) -> float:
    """Half the width of the two-sided interval of a t distribution, in standard errors."""
    from scipy.special import stdtrit

    return -float(stdtrit(freedom, (1 - level) / 2))


def paired_t(differences: Sequence[float]) -> Student:
    """The mean of differences between pairs (of seeds): Student 1908. Raises ValueError on none."""
    return Student(mean(differences), (_training(differences),))


def _training(differences: Sequence[float]) -> Source:
    return Source((deviation(differences) or 0.0) / math.sqrt(len(differences)), len(differences) - 1)


MOST_ALIKE = 0.6
"""The largest correlation of neighbouring blocks that few blocks are believed: frames that correlate by .93 have it in
blocks of ten."""

FEWEST_DEGREES = 4
"""Degrees of freedom that the noise of images has at least: with fewer, intervals are ten times as wide and hold the
truth no more often (tests/perf/test_interval_coverage.py)."""

CORRECTABLE = 0.4
"""The least factor by which a correlation of few blocks is said to be too small."""


def evaluation_source(terms: Sequence[tuple[float, Floats]], correlation: float | None = None) -> Source:
    """The noise of the sample of images in a weighted sum of means over seeds.

    `terms` are (weight, blocks), where `blocks` (S, N) hold what each of N blocks of images, in the order of the files,
    contributes to a variant's score of each seed; N is the same for all. The variance is that between the blocks of the
    weighted sum, times `widening` where neighbouring blocks are alike, less what single runs add to it (the rest that
    differs between blocks and seeds), and at least 0: (variance * widening - sum of weight**2 * rest / S) / N.

    Neighbouring frames of a video are alike, and so are blocks of them. N blocks whose neighbours correlate by r count
    as N (1 - r) / (1 + r) (Bayley & Hammersley 1946, Supplement to the JRSS 8:184); so do the degrees of freedom, which
    are FEWEST_DEGREES at least. r is
    `correlation`, or else `block_correlation` of the sum. tests/perf/test_interval_coverage.py has the coverage.
    """
    import numpy as np

    total = sum_of_blocks(terms)
    count = len(total)
    alike = block_correlation(total) if correlation is None else correlation
    rest = math.fsum(weight**2 * _rest(blocks) / len(blocks) for weight, blocks in terms)
    variance = max(float(np.var(total, ddof=1)) * widening(alike, count) - rest, 0.0) / count
    return Source(math.sqrt(variance), max((count - 1) * (1 - alike) / (1 + alike), min(count - 1, FEWEST_DEGREES)))


def widening(correlation: float, count: int) -> float:
    """By how much the variance of a mean of `count` blocks is larger than that of independent ones; 1 for those.

    Blocks at a distance of k are taken to correlate by correlation**k. The variance between the blocks lacks what all
    of them share, which is given back.
    """
    return (count - 1) / (effective_number(correlation, count) - 1)


def effective_number(correlation: float, count: int) -> float:
    """How many independent values have a mean of the same variance as `count` that correlate by correlation**distance.

    At least 1; about count (1 - correlation) / (1 + correlation).
    """
    r = correlation
    of_mean = (1 + r) / (1 - r) - 2 * r * (1 - r**count) / (count * (1 - r) ** 2)
    return count / of_mean


def block_correlation(values: Floats, common: float | None = None) -> float:
    """The correlation of neighbouring blocks, from 0 to MOST_ALIKE, from what (N,) blocks contribute to a difference.

    Half of it is `common_correlation` where that is given: the correlation of few blocks is known too little alone.
    """
    own = _unbiased(neighbour_correlation(values), len(values))
    return believed(own if common is None else (own + common) / 2)


def believed(correlation: float) -> float:
    """A measured correlation of neighbouring blocks, from 0 to MOST_ALIKE."""
    return min(max(correlation, 0.0), MOST_ALIKE)


def common_correlation(series: Floats) -> float | None:
    """The correlation of neighbouring blocks that the differences between variants have in common.

    `series` (V, N) is what N blocks contribute to the score of each of V variants. None with fewer than three variants,
    or where all differences are constant.
    """
    import numpy as np

    centred = series - series.mean(axis=0)
    centred = centred - centred.mean(axis=1, keepdims=True)
    squares = float(np.sum(centred**2))
    if len(series) < FEWEST_SERIES or squares == 0:
        return None
    count = series.shape[1]
    return _unbiased(float(np.sum(centred[:, 1:] * centred[:, :-1])) / squares + 1 / count, count)


FEWEST_SERIES = 3
"""Two variants have one difference."""


def _unbiased(correlation: float, count: int) -> float:
    """The correlation r of `count` blocks is 4 r / count too small (Marriott & Pope 1954, Biometrika 41:390)."""
    return correlation / max(1 - 4 / count, CORRECTABLE)


def effective_images(correlation: float, images: int, blocks: float) -> float:
    """How many independent images would give the same noise as `images` in so many blocks that correlate like this.

    Images at a distance of k are taken to correlate by r**k, with the r at which their blocks correlate as these do.
    """
    low, high = 0.0, 1 - 1e-9
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _of_blocks(middle, images / blocks) < correlation else (low, middle)
    return effective_number(low, images)


def _of_blocks(correlation: float, length: float) -> float:
    """The correlation of neighbouring blocks of `length` images that correlate by correlation**k at a distance of k."""
    power = correlation**length
    variance = length * (1 - correlation**2) - 2 * correlation * (1 - power)
    return correlation * (1 - power) ** 2 / variance if variance > 0 else 1.0


def neighbour_correlation(values: Floats) -> float:
    """The correlation of each value (N,) with the next, plus 1/N, its bias under independence; 0 for equal values."""
    centred = values - values.mean()
    squares = float(centred @ centred)
    return float(centred[1:] @ centred[:-1]) / squares + 1 / len(values) if squares else 0.0


def sum_of_blocks(terms: Sequence[tuple[float, Floats]]) -> Floats:
    """(N,): what each block contributes to a weighted sum of means over seeds, of terms as in `evaluation_source`."""
    import numpy as np

    total: Floats = np.sum([weight * blocks.mean(axis=0) for weight, blocks in terms], axis=0)
    return total


def _rest(blocks: Floats) -> float:
    """The mean square of what differs between blocks and seeds at once; 0 with one seed."""
    import numpy as np

    seeds, count = blocks.shape
    if seeds < 2:
        return 0.0
    centred = blocks - blocks.mean(axis=1, keepdims=True)
    squares = float(np.sum((centred - centred.mean(axis=0)) ** 2))
    return squares / float((seeds - 1) * (count - 1))


def pseudovalues(statistic: Callable[[Indices], float | None], count: int, blocks: int | None = None) -> Floats | None:
    """What each block of neighbouring images contributes to a statistic: jackknife pseudovalues, shape (blocks,).

    `statistic` takes the indices of the images that it is computed over; for a mean, the pseudovalues are the means of
    the blocks (Busing, Meijer & van der Leeden 1999, Statistics and Computing 9:3). Their variance divided by their
    number is the variance of the statistic over samples of images. Neighbours form a block because images are often
    frames of one video (Künsch 1989, Annals of Statistics 17:1217): leaving out single frames of CamVid gives a third
    to a half of the standard error that blocks of ten give, since contributions of consecutive frames correlate by 0.8
    to 0.9, and by 0.5 at a distance of five frames. By default there are as many blocks as images in a block;
    `evaluation_source` measures how much these still correlate.
    None with fewer than two images, or where the statistic does not exist without one of the blocks.
    """
    import numpy as np

    if count < 2:
        return None
    everything = np.arange(count)
    whole = statistic(everything)
    if whole is None:
        return None
    chosen = np.array_split(everything, blocks or max(2, round(math.sqrt(count))))
    without = [statistic(np.delete(everything, block)) for block in chosen]
    if any(value is None or not math.isfinite(value) for value in without):
        return None
    ratio = count / np.array([len(block) for block in chosen])
    result: Floats = ratio * whole - (ratio - 1) * np.array(without, dtype=float)
    return result


def bootstrap(
    statistic: Callable[[Indices], float], count: int, level: float = LEVEL, draws: int = 2000, seed: int = 0
) -> Interval:
    """Percentile interval of a statistic over draws of `count` images with replacement (Efron 1979).

    `statistic` takes the indices of the images drawn. Where it is the difference of two networks, both are judged on
    the same draw (paired). This is the noise of evaluation alone.
    """
    import numpy as np

    random = np.random.default_rng(seed)
    values = [statistic(random.integers(0, count, count)) for _ in range(draws)]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_of_mean(values: Floats, level: float = LEVEL, draws: int = 2000, seed: int = 0) -> Interval:
    """`bootstrap` of the mean of `values` (count,), all draws at once."""
    import numpy as np

    means = values[_draws(len(values), draws, seed)].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@functools.lru_cache(maxsize=16)
def _draws(count: int, draws: int, seed: int) -> Indices:
    """(draws, count): the indices that `bootstrap` draws one after the other."""
    import numpy as np

    return np.random.default_rng(seed).integers(0, count, (draws, count))


def error_probability(estimate: Estimate, decides: Callable[[Interval], bool]) -> float:
    """The smallest probability of error at which the estimate's interval decides: a p-value, by inversion.

    1 where even the narrowest interval does not decide; at least LEAST.
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
    """Whether the interval excludes zero."""
    return not interval[0] <= 0 <= interval[1]


def has_width(interval: Interval) -> bool:
    """Whether it says anything: neither infinite, nor a single number that looks like certainty."""
    return math.isfinite(interval[1] - interval[0]) and interval[0] < interval[1]


def tost(estimate: Estimate, margin: float) -> float:
    """The p-value of two one-sided tests of equivalence: the true value is within `margin` of zero.

    Schuirmann 1987: equivalent at 5 % where the 90 % interval is within the margin. Raises ValueError for a margin that
    is not positive.
    """
    if not margin > 0:
        raise ValueError(f"equivalence needs a margin above zero, not {margin}")
    within = error_probability(estimate, lambda ends: -margin < ends[0] and ends[1] < margin)
    return within / 2 if within < 1 else 1.0


def holm(
    p_values: Mapping[K, float], level: float = LEVEL, nominal: Nominal = single, others: int = 0
) -> dict[K, tuple[bool, float]]:
    """For each hypothesis whether it is rejected, and the level at which it was tested (Holm 1979).

    The probability of any false rejection is at most 1 - level, whatever the dependence. A confidence interval at the
    returned level excludes the hypothesis exactly where it is rejected. All hypotheses after the first that is not
    rejected are tested at the same level. At one of several looks (`bench.stats.sequential`), `nominal` gives the level
    of a single test, and `others` are the hypotheses of the family that are not tested now and were not rejected
    before; those that were rejected are in neither (Maurer & Bretz 2013, Statistics in Biopharmaceutical
    Research 5:311).
    """
    order = sorted(p_values, key=lambda key: p_values[key])
    results: dict[K, tuple[bool, float]] = {}
    going, step = True, 0
    for key in order:
        alpha = nominal((1 - level) / (len(order) + others - step))
        going = going and p_values[key] <= alpha
        results[key] = (going, 1 - alpha)
        step += going
    return {key: results[key] for key in p_values}


def least_effect(seeds: int, comparisons: int = 1, level: float = LEVEL) -> float:
    """The smallest difference of two means, in standard deviations over seeds, that so many seeds find significant.

    As the first of so many comparisons with one baseline (Holm), where all variants have one spread (`moderation`; two
    variants alone: Welch). Infinite with one seed.
    """
    if seeds < 2:
        return math.inf
    freedom = (comparisons + 1) * (seeds - 1)
    return quantile_of_t(1 - (1 - level) / comparisons, freedom) * math.sqrt(2 / seeds)


def detectable(seeds: int, comparisons: int = 1, power: float = 0.8) -> float:
    """The true difference, in standard deviations over seeds, that becomes significant with this probability.

    As in `least_effect`, with the noncentral t distribution (Cohen 1988). Infinite with one seed.
    """
    if seeds < 2:
        return math.inf
    from scipy.special import nctdtrinc

    freedom = (comparisons + 1) * (seeds - 1)
    critical = quantile_of_t(1 - (1 - LEVEL) / comparisons, freedom)
    return float(nctdtrinc(freedom, 1 - power, critical)) * math.sqrt(2 / seeds)


MOST_SEEDS = 100
"""More seeds than these are not worth naming."""


def seeds_to_decide(estimate: Estimate, seeds: int, level: float = LEVEL) -> int | None:
    """The number of seeds at which the interval would exclude zero, were value and variances to stay as they are.

    The first source of noise is that of training, estimated from `seeds` seeds; the others do not shrink with seeds.
    None where MOST_SEEDS do not suffice.
    """
    if not isinstance(estimate, Student) or seeds < 2:
        return None
    training, *others = estimate.sources

    def decides(count: int) -> bool:
        source = Source(training.error * math.sqrt(seeds / count), training.freedom * (count - 1) / (seeds - 1))
        return leaves_out_zero(Student(estimate.value, (source, *others)).interval(level))

    candidates = range(2, MOST_SEEDS + 1)
    place = bisect.bisect_left(candidates, True, key=decides)
    return candidates[place] if place < len(candidates) else None


Direction = Literal["higher", "lower"]


def pareto(points: Mapping[K, Sequence[float]], better: Sequence[Direction]) -> tuple[K, ...]:
    """The points that no other point dominates, that is, is as good by every objective and better by one.

    Equal points do not dominate each other: both are on the front. Raises ValueError for a point whose number of
    coordinates is not the number of directions in `better`.
    """
    signs = [1 if direction == "higher" else -1 for direction in better]
    turned = {key: _turned(point, signs) for key, point in points.items()}
    first: set[tuple[float, ...]] = set()
    for point in sorted(set(turned.values()), key=_comparable, reverse=True):
        if not any(dominates(other, point) for other in first):
            first.add(point)  # whatever is dominated is dominated by a point of the front, which comes before it
    return tuple(key for key, point in turned.items() if point in first)


def _turned(point: Sequence[float], signs: Sequence[int]) -> tuple[float, ...]:
    return tuple(sign * value for sign, value in zip(signs, point, strict=True))


def _comparable(point: Sequence[float]) -> tuple[float, ...]:
    """For sorting, NaN is the least; it dominates nothing, and nothing dominates it."""
    return tuple(-math.inf if math.isnan(value) else value for value in point)


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether `one` is at least as great in every coordinate and greater in one."""
    return one != other and all(map(operator.ge, one, other))
