"""Shapley values: how much of the whole difference each component of a complete two-level design accounts for."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.analysis.aggregate import Column
from bench.analysis.contrast import Contrast, ContrastError, contrast
from bench.analysis.deltas import judged
from bench.analysis.factorial import Design, EffectsError, column_of, design_of
from bench.analysis.summary import Summary, summarise
from bench.analysis.verdict import Verdict
from bench.results.frame import frame_with
from bench.results.results import Results
from bench.stats.inference import Interval

if TYPE_CHECKING:
    import pandas as pd

MOST_COMPONENTS = 10
"""Of more, the variants of a complete design are too many to be measured."""


@dataclass(frozen=True)
class Component:
    """One axis of a design, from its `first` value to its `second`, and what it accounts for.

    `value` is the mean of what the change adds over all orders in which the components can be changed; together the
    components add up to the difference of the last variant from the first. `fraction` is the part of that; None where
    it is 0. `interval` is the confidence interval of `value` at `level`, chosen so that all verdicts of a metric's
    components together are wrong with 5 % at most (Holm 1979); None for exact numbers.
    """

    axis: str
    first: str
    second: str
    value: float
    fraction: float | None
    verdict: Verdict
    interval: Interval | None
    level: float
    contrast: Contrast


@functools.lru_cache(maxsize=64)
def shapley(summary: Summary, column: Column) -> tuple[Component, ...]:
    """The components of the crossed axes (Shapley 1953, Contributions to the Theory of Games 2:307).

    Exact over all subsets, so that it needs every combination of two values of each axis. Empty without such a design,
    where it has more than MOST_COMPONENTS axes, and where a number is missing or failed.
    """
    design = design_of(summary)
    if design is None or not _is_complete(design):
        return ()
    try:
        contrasts = {axis: _contrast(summary, column, shapley_weights(design, axis)) for axis in design.values}
        whole = _contrast(summary, column, _ends(design)).estimate.value
    except (ContrastError, KeyError):
        return ()
    verdicts = judged(column, contrasts, None, summary.rule(column))
    return tuple(_component(design, axis, each, whole, *verdicts[axis]) for axis, each in contrasts.items())


def _is_complete(design: Design) -> bool:
    two = all(len(values) == 2 for values in design.values.values())
    return design.complete and not design.left_out and two and len(design.values) <= MOST_COMPONENTS


def _changed(design: Design, variant: str) -> frozenset[str]:
    """The axes on which a variant has the second value."""
    return frozenset(axis for axis, value in design.points[variant].items() if value == design.values[axis][1])


def shapley_weights(design: Design, axis: str) -> dict[str, float]:
    """The weight of each variant in the Shapley value of an axis; design with two values of each axis.

    A subset S of the other n - 1 axes comes first in |S|! (n - 1 - |S|)! of the n! orders.
    """
    variants = {_changed(design, variant): variant for variant in design.points}
    others, count = [name for name in design.values if name != axis], len(design.values)
    weights: dict[str, float] = {}
    for size in range(count):
        fraction = 1 / (count * math.comb(count - 1, size))
        for subset in itertools.combinations(others, size):
            weights[variants[frozenset((*subset, axis))]] = fraction
            weights[variants[frozenset(subset)]] = -fraction
    return weights


def _ends(design: Design) -> dict[str, float]:
    """The weights of the whole difference: every axis changed, less none."""
    variants = {_changed(design, variant): variant for variant in design.points}
    return {variants[frozenset(design.values)]: 1.0, variants[frozenset()]: -1.0}


def _contrast(summary: Summary, column: Column, weights: Mapping[str, float]) -> Contrast:
    terms = [(weight, summary.aggregates[variant, column.metric]) for variant, weight in weights.items()]
    return contrast(terms, 0.0, summary.noise)


def _component(design: Design, axis: str, each: Contrast, whole: float, verdict: Verdict, level: float) -> Component:
    value, (first, second) = each.estimate.value, design.values[axis]
    fraction = value / whole if whole else None
    return Component(axis, first, second, value, fraction, verdict, each.interval(level), level, each)


COLUMNS = ("axis", "first", "second", "value", "fraction", "low", "high", "level", "verdict")


def shapley_frame(results: Results, metric: str = "") -> pd.DataFrame:
    """A row for each component of a metric, the main one by default, with the columns COLUMNS.

    Raises EffectsError for a metric that the table does not have, and where there are no Shapley values.
    """
    summary = summarise(results)
    column = column_of(summary, metric)
    components = shapley(summary, column)
    if not components:
        raise EffectsError(
            f"no Shapley values of {column.metric} in '{results.name}': they need a measured number for every "
            f"combination of two values of 2 to {MOST_COMPONENTS} axes, as `grid` or a whole `factorial` makes them"
        )
    return frame_with([_fields(each) for each in components], COLUMNS)


def _fields(each: Component) -> dict[str, Any]:
    low, high = each.interval or (None, None)
    level = each.level if each.interval else None
    return {**{name: getattr(each, name) for name in COLUMNS[:5]}, "low": low, "high": high, "level": level,
            "verdict": each.verdict}  # fmt: skip
