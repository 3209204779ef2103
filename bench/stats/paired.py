"""Which of two sides is slower: a sequential decision from groups of four processes, two of each side.

A process keeps a speed of its own for life, so that processes are the independent draws and not calls (Kalibera and
Jones 2013). A *group* has two processes of side A and two of side B, which take turns. Its *contrast* is the mean log
time of B's two less that of A's two; its two *nulls* are the log ratios of the two processes of one side, which would
be zero but for noise. Under independent processes of standard deviation s a contrast has the variance s squared and a
null twice that, so that nulls tell the noise of the run that is being decided: they are its A/A test.

A process is sometimes slow for life, by chance. Its group is left out where such groups are rare (`alike`); by nulls
alone, so that the choice does not see the difference of the sides.

A comparison is decided as soon as the confidence interval of the mean contrast lies on one side of a tolerance. It is
looked at after every group; the error that is allowed in all is spent over the looks: 1/2 of it at the first, 1/6 at
the second, 1/(k(k+1)) at the k-th.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Flags = np.ndarray[Any, np.dtype[np.bool_]]

Decision = Literal["pass", "regression", "win", "inconclusive"]

DRAWS = 2000
"""How many A/A runs are drawn from the nulls of a run."""

DETECTED = 0.95
"""The fraction of runs in which the smallest detectable slowdown is seen."""

UNLIKE = 0.05
"""Contrasts that vary more than the nulls explain, at this level, are judged by their own spread alone."""

FAR = 6.0
"""Twins that differ by more than this multiple of the usual (median) difference, and by more than the tolerance, are
unlike each other."""

RARE = 4
"""Groups with such twins are left out where they are at most one in so many."""

FLOOR = 1e-9
"""The smallest standard error of a log ratio: equal numbers (of memory) leave none."""

MOST = 10_000
"""The largest number of groups that is searched for."""


@dataclass(frozen=True)
class Rule:
    """When a comparison is decided.

    `tolerance` is the fraction by which B may be slower or faster (0.03 is 3 %), `error` the probability of a wrong
    decision where the true ratio is at the tolerance, over all looks and for each side; `least` and `most` groups.
    """

    tolerance: float = 0.03
    error: float = 0.05
    least: int = 3
    most: int = 200

    @property
    def bound(self) -> float:
        """The tolerance as a log ratio."""
        return math.log1p(self.tolerance)

    def error_at(self, groups: int) -> float:
        """The part of the error that the look after so many groups may spend."""
        look = max(1, groups - self.least + 1)
        return self.error / (look * (look + 1))


def alike(logs: Floats, rule: Rule) -> Flags:
    """Which groups count, of shape (groups,): those whose twins are alike, or all where others are not rare."""
    import numpy as np

    differences = np.abs(nulls(logs))
    usual = max(FAR * float(np.median(differences)), rule.bound)
    unlike = (differences > usual).any(axis=1)
    return np.asarray(~unlike | (RARE * unlike.sum() > len(logs)))


@dataclass(frozen=True)
class Noise:
    """The standard error of the mean contrast, and its degrees of freedom."""

    error: float
    freedom: int


def contrasts(logs: Floats) -> Floats:
    """Mean log ratio of B to A by group; `logs` are log times of shape (groups, side, twin)."""
    import numpy as np

    means = logs.mean(axis=2)
    return np.asarray(means[:, 1] - means[:, 0])


def nulls(logs: Floats) -> Floats:
    """Log ratios of the twins, of shape (groups, side)."""
    import numpy as np

    return np.asarray(logs[:, :, 1] - logs[:, :, 0])


def null_spread(logs: Floats) -> float:
    """The standard deviation of a contrast that the nulls show: the noise of one group."""
    import numpy as np

    return float(np.sqrt(np.mean(nulls(logs) ** 2) / 2))


def noise(logs: Floats) -> Noise:
    """From contrasts and nulls together; from contrasts alone where these vary more than nulls explain."""
    return _noise(contrasts(logs), nulls(logs))


def _noise(ratios: Floats, null: Floats) -> Noise:
    import numpy as np

    groups = len(ratios)
    own, from_nulls = float(np.sum((ratios - ratios.mean()) ** 2)), float(np.sum(null**2) / 2)
    freedom = groups - 1 + null.size
    variance = (own + from_nulls) / freedom
    if groups > 1 and own / (groups - 1) > _unlike(groups - 1, null.size) * from_nulls / null.size:
        variance, freedom = own / (groups - 1), groups - 1
    return Noise(max(math.sqrt(variance / groups), FLOOR), freedom)


@functools.cache
def _unlike(groups: int, null: int) -> float:
    """The ratio of two variances that chance rarely exceeds."""
    from scipy import stats

    return float(stats.f.isf(UNLIKE, groups, null))


@functools.cache
def _quantile(error: float, freedom: int) -> float:
    from scipy import stats

    return float(stats.t.isf(error, freedom))


def interval(logs: Floats, rule: Rule, left_out: int = 0) -> tuple[float, float]:
    """The interval of the log ratio that the decision after these groups uses; unbounded before the first look.

    `left_out` groups were measured besides; they count as looks.
    """
    groups = len(logs) + left_out
    if groups < rule.least:
        return -math.inf, math.inf
    spread = noise(logs)
    half = _quantile(rule.error_at(groups), spread.freedom) * spread.error
    middle = float(contrasts(logs).mean())
    return middle - half, middle + half


def decide(ends: tuple[float, float], rule: Rule) -> Decision:
    """`pass` for an interval within the tolerance, `regression` and `win` for one beyond it, else `inconclusive`."""
    low, high = ends
    if low > rule.bound:
        return "regression"
    if high < -rule.bound:
        return "win"
    return "pass" if -rule.bound < low and high < rule.bound else "inconclusive"


def beyond(logs: Floats, rule: Rule) -> tuple[float, float]:
    """The probabilities that B is slower, and that it is faster, by more than the tolerance.

    Of the true log ratio given these groups, where every ratio is as likely beforehand: a t-distribution.
    """
    from scipy import stats

    spread, middle = noise(logs), float(contrasts(logs).mean())
    slower, faster = ((rule.bound - side * middle) / spread.error for side in (1, -1))
    return float(stats.t.sf(slower, spread.freedom)), float(stats.t.sf(faster, spread.freedom))


def groups_needed(logs: Floats, rule: Rule) -> int | None:
    """How many groups would decide, if the ratio and the noise stay as they are; None where no number would.

    None says that the ratio lies at the tolerance.
    """
    spread, middle = noise(logs), float(contrasts(logs).mean())
    distance = abs(abs(middle) - rule.bound)
    deviation = spread.error * math.sqrt(len(logs))
    for groups in _growing(max(rule.least, len(logs))):
        freedom = spread.freedom * groups // len(logs)
        if _quantile(rule.error_at(groups), freedom) * deviation / math.sqrt(groups) < distance:
            return groups
    return None


def _growing(first: int) -> list[int]:
    numbers = [first]
    while numbers[-1] < MOST:
        numbers.append(max(numbers[-1] + 1, int(1.1 * numbers[-1])))
    return numbers


@dataclass(frozen=True)
class Calibration:
    """What A/A runs that are drawn from the nulls of this run say of its decision.

    `false_alarms` is the fraction of them that would have ended as a regression or a win; `smallest` the slowdown, as
    a fraction, that would have been called a regression in DETECTED of them.
    """

    false_alarms: float
    smallest: float
    draws: int


def calibrated(logs: Floats, rule: Rule, seed: int = 0) -> Calibration:
    """Draw A/A runs of as many groups from the nulls: groups with replacement, each null with a random sign.

    The sum of a group's two nulls over two has the noise of a contrast, their difference is independent of it.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    groups = len(logs)
    picks = nulls(logs)[generator.integers(groups, size=(DRAWS, groups))]
    signed = picks * generator.choice([-1.0, 1.0], size=picks.shape)
    ratios, null = signed.sum(axis=2) / 2, (signed[..., 0] - signed[..., 1]) / math.sqrt(2)
    alarms = np.zeros(DRAWS, dtype=bool)
    for look in range(rule.least, groups + 1):
        low, high = _ends(ratios[:, :look], null[:, :look], rule)
        alarms |= (low > rule.bound) | (high < -rule.bound)
    needed = rule.bound - low
    return Calibration(float(alarms.mean()), float(np.expm1(np.quantile(needed, DETECTED))), DRAWS)


def _ends(ratios: Floats, null: Floats, rule: Rule) -> tuple[Floats, Floats]:
    """The ends of the intervals of many runs, of shape (draws, groups) each."""
    import numpy as np

    groups, middle = ratios.shape[1], ratios.mean(axis=1)
    own, from_nulls = ((ratios - middle[:, None]) ** 2).sum(axis=1), (null**2).sum(axis=1) / 2
    pooled = _half((own + from_nulls) / (2 * groups - 1), groups, 2 * groups - 1, rule)
    alone = _half(own / (groups - 1), groups, groups - 1, rule)
    unlike = own / (groups - 1) > _unlike(groups - 1, groups) * from_nulls / groups
    half = np.where(unlike, alone, pooled)
    return middle - half, middle + half


def _half(variance: Floats, groups: int, freedom: int, rule: Rule) -> Floats:
    import numpy as np

    return np.asarray(_quantile(rule.error_at(groups), freedom) * np.maximum(np.sqrt(variance / groups), FLOOR))
