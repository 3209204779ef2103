"""Where the level of a series changes: a search for the best cuts, each of them tested.

The search is PELT (Killick, Fearnhead and Eckley 2012) of the library ruptures, for changes of the mean. Its penalty
lets some cuts pass that are noise; a cut is left out where a t-test of the two levels at it does not reject at LEVEL
divided by the length of the series. In simulations of normal, heavy-tailed and two-level noise a series without a
change had a change point in at most 6 % of draws (tests/bench/stats/test_changes.py has the simulation).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]

LEAST = 3
"""The fewest points of a level: fewer are told apart from a stray point by nothing."""

PENALTY, LEVEL = 3.0, 0.05
FLOOR = 1e-9


class MissingLibraryError(ImportError):
    """A library of an extra that is not installed; the text says what to install."""


def exact_changes(values: Sequence[float]) -> list[int]:
    """The places whose value differs from the one before, of numbers without noise."""
    return [place for place in range(1, len(values)) if values[place] != values[place - 1]]


def changes(values: Sequence[float]) -> list[int]:
    """The places at which a new level begins, of numbers with noise; none in a series of fewer than 2 LEAST.

    Raises MissingLibraryError where ruptures is not installed.
    """
    import numpy as np

    series = np.asarray(values, dtype=float)
    if len(series) < 2 * LEAST:
        return []
    return _tested(series, _candidates(series))


def _candidates(series: Floats) -> list[int]:
    import numpy as np

    try:
        import ruptures
    except ImportError:
        raise MissingLibraryError(
            "change points of numbers with noise need the package ruptures: pip install 'fovbench[history]'"
        ) from None
    steps = np.abs(np.diff(series))
    spread = max(float(np.median(steps)) / 0.6745 / math.sqrt(2), FLOOR)  # of the noise, whatever the levels
    search = ruptures.Pelt(model="l2", min_size=LEAST, jump=1).fit(series[:, None])
    return list(search.predict(pen=PENALTY * spread**2 * math.log(len(series))))[:-1]


def _tested(series: Floats, cuts: list[int]) -> list[int]:
    """The cuts whose levels differ; the weakest goes first, since its levels then become one."""
    while cuts:
        ends = [0, *cuts, len(series)]
        chances = [_chance(series[a:b], series[b:c]) for a, b, c in zip(ends, ends[1:], ends[2:], strict=False)]
        weakest = max(range(len(cuts)), key=chances.__getitem__)
        if chances[weakest] * len(series) < LEVEL:
            return cuts
        cuts = cuts[:weakest] + cuts[weakest + 1 :]
    return cuts


def _chance(before: Floats, after: Floats) -> float:
    """The p-value of Student's t-test; 0 where both levels have no spread and differ."""
    from scipy import stats

    if before.std() + after.std() <= FLOOR:
        return 0.0 if abs(before.mean() - after.mean()) > FLOOR else 1.0
    return float(stats.ttest_ind(before, after).pvalue)
