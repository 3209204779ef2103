"""Main effects and interactions of axes that are crossed: a grid, or a regular fraction of one."""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.analysis.aggregate import Column
from bench.analysis.contrast import Contrast, ContrastError, contrast
from bench.analysis.deltas import gaps, gaps_text, judged, margin_of
from bench.analysis.summary import Summary, summarise
from bench.analysis.verdict import Verdict
from bench.registry import suggestion
from bench.results.frame import frame_with
from bench.results.results import Results
from bench.stats.inference import LEVEL, Interval

if TYPE_CHECKING:
    import pandas as pd


class EffectsError(ValueError):
    """Effects of a metric or a design that a table does not have; the text says what would have worked."""


MOST_EFFECTS = 60
"""With more effects the interactions are left out: Holm's correction grows with their number."""

Values = Mapping[str, str]
"""axis -> its value as text."""


@dataclass(frozen=True)
class Design:
    """Variants of one architecture in which every pair of axes is crossed.

    `values` are each axis's values, the reference first: that of the baseline, where the design has it. `points` are
    the values of each variant. `left_out` are the (axis, value) that are not combined with all values of other axes.
    """

    values: Mapping[str, tuple[str, ...]]
    points: Mapping[str, Values]
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every combination of the values is a variant."""
        return len(self.points) == math.prod(map(len, self.values.values()))


@dataclass(frozen=True)
class Change:
    """Of one axis, from its reference to another of its values, as text."""

    axis: str
    first: str
    second: str


Changes = tuple[Change, ...]
"""Of one axis, or of two."""


@dataclass(frozen=True)
class Effect:
    """What one change does on average (main effect), or by how much the other change alters that (interaction).

    A main effect is the mean of the variants with the second value less that of those with the first. An interaction is
    the main effect of the first change among the variants with the second value of the other change, less that among
    those with its first value: a difference of differences. `changes` are one or two.

    `interval` is the confidence interval at `level`, chosen so that all verdicts on the effects of a metric together
    are wrong with 5 % at most (Holm 1979); None for exact numbers. An interaction that is not zero is `changed`.
    `value` is None where the effect cannot be estimated, and `reason` says why. `aliases` are the effects that the
    variants of a fraction cannot tell apart from this one, but for sign and scale.
    """

    changes: Changes
    verdict: Verdict
    value: float | None = None
    interval: Interval | None = None
    level: float = 0.0
    contrast: Contrast | None = None
    aliases: tuple[Changes, ...] = ()
    reason: str = ""

    @property
    def interaction(self) -> bool:
        return len(self.changes) == 2


Weights = Mapping[str, float]
"""variant -> its weight in an effect."""


@functools.lru_cache(maxsize=8)
def design_of(summary: Summary) -> Design | None:
    """The crossed axes of the baseline's architecture; None where there are not two.

    Values that are not combined with all values of the other axes, such as those of variants that an ablation excludes,
    are left out one after the other until the rest is crossed.
    """
    points = _points(summary)
    left_out: list[tuple[str, str]] = []
    while len(axes := _axes(points)) > 1:
        if _crossed(points, axes):
            return Design(_values(points, axes), {v: {a: p[a] for a in axes} for v, p in points.items()}, (*left_out,))
        axis, value = _least_combined(points, axes)
        left_out.append((axis, value))
        points = {variant: point for variant, point in points.items() if point[axis] != value}
    return None


@functools.lru_cache(maxsize=64)
def effects(summary: Summary, column: Column) -> tuple[Effect, ...]:
    """Every main effect, then the interaction of each pair of changes of different axes; one family of verdicts.

    Empty without a design. A failed variant leaves the effects without a value that need it. Nothing is inferred where
    results of the metric are missing.
    """
    design = design_of(summary)
    if design is None:
        return ()
    if column.kind != "speed" and (count := gaps(summary.of(column.metric))):
        reason = f"{gaps_text(count)}: effects need the whole grid"
        return tuple(Effect(changes, "missing", reason=reason) for changes in _all_changes(design))
    weights, aliases = _apart(design)
    contrasts, reasons = _contrasts(summary, column, weights)
    verdicts = _verdicts(summary, column, weights, contrasts)
    return tuple(
        Effect(changes, "broken", reason=reasons[changes])
        if changes in reasons
        else _effect(changes, contrasts[changes], *verdicts[changes], aliases[changes])
        for changes in weights
    )


def _points(summary: Summary) -> dict[str, Values]:
    """The values of the variants of the baseline's architecture on the axes that all have, the baseline first."""
    results = summary.results
    family = results.baseline.partition("(")[0]
    variants = [variant for variant in results.variants if variant.partition("(")[0] == family]
    axes = [axis for axis in results.varied if all(axis in results.axes[variant] for variant in variants)]
    return {variant: {axis: results.axes[variant][axis] for axis in axes} for variant in variants}


def _values(points: Mapping[str, Values], axes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    return {axis: tuple(dict.fromkeys(point[axis] for point in points.values())) for axis in axes}


def _axes(points: Mapping[str, Values]) -> list[str]:
    """The axes with two values or more."""
    names = list(next(iter(points.values()), {}))
    return [axis for axis in names if len({point[axis] for point in points.values()}) > 1]


def _crossed(points: Mapping[str, Values], axes: Sequence[str]) -> bool:
    """Whether every pair of values of two axes occurs, and each pair of these axes as often as the others."""
    values = _values(points, axes)
    for one, other in itertools.combinations(axes, 2):
        counts = Counter((point[one], point[other]) for point in points.values())
        if len(counts) < len(values[one]) * len(values[other]) or len(set(counts.values())) > 1:
            return False
    return True


def _least_combined(points: Mapping[str, Values], axes: Sequence[str]) -> tuple[str, str]:
    """The (axis, value) that has the smallest fraction of its combinations with the others.

    Of several it is one of the axis with the most values, which loses least, and the last in the ablation's order.
    """
    values = _values(points, axes)
    size = math.prod(map(len, values.values()))
    counts = Counter((axis, point[axis]) for point in points.values() for axis in axes)

    def rank(pair: tuple[str, str]) -> tuple[float, int]:
        many = len(values[pair[0]])
        return counts[pair] * many / size, -many

    return min(reversed([(axis, value) for axis in axes for value in values[axis]]), key=rank)


def _all_changes(design: Design) -> Iterator[Changes]:
    """The main effects, then the interactions; none of these where there would be too many effects."""
    by_axis = {axis: [Change(axis, first, each) for each in rest] for axis, (first, *rest) in design.values.items()}
    alone = [(change,) for changes in by_axis.values() for change in changes]
    pairs = itertools.combinations(by_axis.values(), 2)
    together = [pair for one, other in pairs for pair in itertools.product(one, other)]
    yield from alone
    yield from together if len(alone) + len(together) <= MOST_EFFECTS else ()


def _weights(design: Design, changes: Changes) -> Weights:
    """The weight of each variant in an effect; variants without weight are left out."""
    groups = _groups(design, changes)
    signs = {variant: math.prod(1 if second else -1 for second in key) for key, vs in groups.items() for variant in vs}
    return {variant: signs[variant] / len(vs) for vs in groups.values() for variant in vs}


def _groups(design: Design, changes: Changes) -> dict[tuple[bool, ...], list[str]]:
    """The variants that have one of the two values of each change; the key says of each whether it is the second."""
    groups: dict[tuple[bool, ...], list[str]] = {}
    for variant, point in design.points.items():
        if all(point[change.axis] in (change.first, change.second) for change in changes):
            groups.setdefault(tuple(point[change.axis] == change.second for change in changes), []).append(variant)
    return groups


def _apart(design: Design) -> tuple[dict[Changes, Weights], dict[Changes, tuple[Changes, ...]]]:
    """The weights of the effects that can be told apart, and for each of them its aliases."""
    first: dict[frozenset[tuple[str, float]], Changes] = {}
    weights: dict[Changes, Weights] = {}
    aliases: dict[Changes, tuple[Changes, ...]] = {}
    for changes in _all_changes(design):
        each = _weights(design, changes)
        direction = first.setdefault(_direction(each), changes)
        if direction == changes:
            weights[changes], aliases[changes] = each, ()
        else:
            aliases[direction] = (*aliases[direction], changes)
    return weights, aliases


def _direction(weights: Weights) -> frozenset[tuple[str, float]]:
    """The weights but for their scale and sign."""
    variant = min(weights)
    return frozenset((each, round(weight / weights[variant], 9)) for each, weight in weights.items())


def _contrasts(
    summary: Summary, column: Column, weights: Mapping[Changes, Weights]
) -> tuple[dict[Changes, Contrast], dict[Changes, str]]:
    """The contrast of each effect, or why it has none."""
    contrasts: dict[Changes, Contrast] = {}
    reasons: dict[Changes, str] = {}
    for changes, parts in weights.items():
        try:
            terms = [(weight, summary.aggregates[variant, column.metric]) for variant, weight in parts.items()]
            contrasts[changes] = contrast(terms, 0.0, summary.noise)
        except KeyError:
            reasons[changes] = f"{column.metric} is not in the table for every variant"
        except ContrastError as reason:
            reasons[changes] = str(reason)
    return contrasts, reasons


def _verdicts(
    summary: Summary,
    column: Column,
    weights: Mapping[Changes, Weights],
    contrasts: Mapping[Changes, Contrast],
) -> dict[Changes, tuple[Verdict, float]]:
    """Verdict and level of each. Variants with one graph are equally fast, so that nothing is tested of them."""
    twins = {key for key in contrasts if column.kind == "speed" and summary.noise.one_graph(weights[key])}
    tested = {key: each for key, each in contrasts.items() if key not in twins}
    verdicts = judged(column, tested, margin_of(column, summary.of(column.metric)), summary.rule(column))
    return verdicts | dict.fromkeys(twins, ("within noise", LEVEL))


def _effect(
    changes: Changes,
    against: Contrast,
    verdict: Verdict,
    level: float,
    aliases: tuple[Changes, ...],
) -> Effect:
    neutral: Verdict = "changed" if len(changes) == 2 and verdict in ("better", "worse") else verdict
    return Effect(changes, neutral, against.estimate.value, against.interval(level), level, against, aliases)


COLUMNS = (
    *("effect", "axis", "first", "second", "other_axis", "other_first", "other_second", "value", "low", "high"),
    *("level", "verdict", "aliases", "reason"),
)


def effects_frame(results: Results, metric: str = "") -> pd.DataFrame:
    """A row for each effect on a metric, the main one by default, with the columns COLUMNS.

    Raises EffectsError for a metric that the table does not have, and where no two axes are crossed.
    """
    summary = summarise(results)
    column = column_of(summary, metric)
    if design_of(summary) is None:
        varied = ", ".join(results.varied) or "none"
        raise EffectsError(
            f"no two axes of '{results.name}' are crossed (varied: {varied}): effects need every combination of their "
            "values, as `grid` makes them, or a `factorial` fraction"
        )
    return frame_with([_row(effect) for effect in effects(summary, column)], COLUMNS)


def column_of(summary: Summary, metric: str) -> Column:
    """The column of a metric, or of the main one where none is named. Raises EffectsError where there is none."""
    columns = {column.metric: column for column in summary.columns}
    main = summary.main()
    if metric in columns or (main is not None and not metric):
        return columns[metric or main.metric]  # type: ignore[union-attr]
    name = summary.results.name
    if not metric:
        raise EffectsError(f"'{name}' has no measured score: name one of its metrics: {', '.join(columns)}")
    raise EffectsError(f"the table of '{name}' has no metric '{metric}'{suggestion(metric, list(columns))}")


def _row(effect: Effect) -> dict[str, Any]:
    names = ("axis", "first", "second", "other_axis", "other_first", "other_second")
    values = [part for change in effect.changes for part in (change.axis, change.first, change.second)]
    low, high = effect.interval or (None, None)
    return {
        "effect": "interaction" if effect.interaction else "main effect",
        **dict(zip(names, values, strict=False)),
        "value": effect.value,
        "low": low,
        "high": high,
        "level": effect.level if effect.interval else None,
        "verdict": effect.verdict,
        "aliases": "; ".join(" x ".join(_words(change) for change in changes) for changes in effect.aliases),
        "reason": effect.reason,
    }


def _words(change: Change) -> str:
    return f"{change.axis}: {change.first} to {change.second}"
