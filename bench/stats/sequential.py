"""Tests at several looks at growing data, whose probabilities of error together are no more than that of one test.

A difference that is tested after 3, 5, 8 and 10 seeds, each time at 5 %, is found where there is none far more often
than in 5 % of all cases. So the 5 % are spent over the looks (Lan & DeMets 1983, Biometrika 70:659) as O'Brien and
Fleming 1979 (Biometrics 35:549) do: little at first, so that the last look is nearly as good as a single test.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Floats = np.ndarray[Any, np.dtype[np.float64]]

NODES = 801
"""Points at which the density of a statistic that has not crossed a boundary is known."""
FARTHEST = 12.0
"""Standard errors beyond which nothing happens."""

Nominal = Callable[[float], float]
"""The probability of error of a family, or a part of it -> the one that a single test of this look may have."""


def single(alpha: float) -> float:
    """Of a test that is made once: all of it."""
    return alpha


@dataclass(frozen=True)
class Look:
    """The look number `number`, from 0, of those at so many `sizes`, which are fixed before the first one."""

    sizes: tuple[int, ...]
    number: int

    @property
    def size(self) -> int:
        return self.sizes[self.number]

    @property
    def is_last(self) -> bool:
        return self.number == len(self.sizes) - 1

    def nominal(self, alpha: float) -> float:
        """The level of a two-sided test at this look, where all looks together may err with probability `alpha`."""
        return nominal_levels(self.sizes, alpha)[self.number]

    def one_sided(self, alpha: float) -> float:
        """The same of a one-sided test."""
        return self.nominal(min(2 * alpha, 1.0)) / 2


def spent(alpha: float, fraction: float) -> float:
    """What of `alpha` is spent when this fraction of the data is there, after O'Brien & Fleming."""
    from scipy.special import ndtr, ndtri

    return 2 * float(ndtr(ndtri(alpha / 2) / math.sqrt(fraction)))


@lru_cache(maxsize=4096)
def nominal_levels(sizes: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """The two-sided level of each look, `sizes` rising.

    Exact for a normal statistic of independent data (Armitage, McPherson & Rowe 1969, JRSS A 132:235): the density of
    its sum, where no boundary was crossed before, is carried from look to look. Levels of t tests are taken as the same
    (Jennison & Turnbull 2000, section 3.8); noise that all looks have in common makes them conservative.
    """
    import numpy as np
    from scipy.special import ndtr, ndtri

    fractions = [size / sizes[-1] for size in sizes]
    totals = [spent(alpha, fraction) for fraction in fractions]
    boundary = float(-ndtri(totals[0] / 2)) * math.sqrt(fractions[0])
    levels = [totals[0]]
    points, density = np.linspace(-boundary, boundary, NODES), None
    for before, now, step in zip(fractions, fractions[1:], np.diff(totals), strict=False):
        density = _normal(points, before) if density is None else density
        masses, deviation = density * _weights(points), math.sqrt(now - before)
        boundary = _boundary(points, masses, deviation, float(step), FARTHEST * math.sqrt(now))
        levels.append(2 * float(ndtr(-boundary / math.sqrt(now))))
        further = np.linspace(-boundary, boundary, NODES)
        density = _normal(further[:, None] - points, now - before) @ masses
        points = further
    return tuple(levels)


def _normal(values: Floats, variance: float) -> Floats:
    import numpy as np

    density: Floats = np.exp(-(values**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
    return density


def _weights(points: Floats) -> Floats:
    """Of the trapezoidal rule."""
    import numpy as np

    weights = np.full(len(points), points[1] - points[0])
    weights[[0, -1]] /= 2
    return weights


def _boundary(points: Floats, masses: Floats, deviation: float, step: float, farthest: float) -> float:
    """Where the sum, after another independent part with this deviation, is beyond it with probability `step`."""
    import numpy as np
    from scipy.special import ndtr

    low, high = 0.0, farthest
    for _ in range(60):
        middle = (low + high) / 2
        outside = ndtr((-middle - points) / deviation) + ndtr((points - middle) / deviation)
        low, high = (middle, high) if float(np.sum(masses * outside)) > step else (low, middle)
    return high
