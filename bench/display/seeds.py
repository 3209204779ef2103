"""Seeds in figures: one row per score, error bars of standard deviations, and notes where a seed has no score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bench.analysis.summary import Aggregate, Column, Summary
from bench.display.numbers import style_of
from bench.results.results import Results
from bench.stats.descriptive import deviation, mean

if TYPE_CHECKING:
    import pandas as pd


def scaled(summary: Summary, column: Column, values: Sequence[float]) -> list[float]:
    """Values in the unit that the column is shown in."""
    factor = style_of(summary, column).scale.factor
    return [value / factor for value in values]


def scaled_value(summary: Summary, column: Column, value: float | None) -> float:
    """One value in the unit that the column is shown in. Raises ValueError where there is none."""
    if value is None:
        raise ValueError(f"no value of {column.metric} to draw")
    return value / style_of(summary, column).scale.factor


def score_frame(summary: Summary, column: Column) -> pd.DataFrame:
    """A row (variant, value) for each seed that has a score, or for the one number without seeds; scaled."""
    import pandas as pd

    rows = [
        {"variant": aggregate.variant, "value": value}
        for aggregate in summary.measured(column.metric)
        for value in scaled(summary, column, [*aggregate.by_seed.values()])
    ]
    return pd.DataFrame(rows, columns=["variant", "value"])


def sd_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean - sd to mean + sd; it ends at 0 where no value is negative, since a distance below 0 px does not exist."""
    numbers = [float(value) for value in values]
    centre, spread = mean(numbers), deviation(numbers) or 0.0
    low = centre - spread
    return (max(low, 0.0) if min(numbers) >= 0 else low), centre + spread


def error_bar(summary: Summary, column: Column, aggregate: Aggregate) -> list[list[float]] | None:
    """Lengths of the bar below and above the mean, as `Axes.errorbar` takes them; None with fewer than two seeds."""
    if aggregate.spread is None or aggregate.value is None:
        return None
    low, high = scaled(summary, column, sd_interval([*aggregate.seeded.values()]))
    centre = scaled_value(summary, column, aggregate.value)
    return [[centre - low], [high - centre]]


def score_notes(summary: Summary, metrics: Sequence[str]) -> dict[str, str]:
    """Variant -> `2 of 3 seeds`, of the variants for which a seed has no score in one of the metrics."""
    aggregates = (a for metric in metrics for a in summary.of(metric) if a.seeded and a.status == "partial")
    return {a.variant: seeds_text(a.count, len(a.seeded) + len(a.errors) + len(a.missing)) for a in aggregates}


def evaluation_notes(results: Results) -> dict[str, str]:
    """Variant -> `2 of 3 seeds`, of the variants for which a seed has no evaluation."""
    expected = _seeds((variant, seed) for variant, _, seed in results.expected if seed is not None)
    evaluated = _seeds(results.evaluations)
    counts = {variant: (len(evaluated.get(variant, ())), len(seeds)) for variant, seeds in expected.items()}
    return {variant: seeds_text(*pair) for variant, pair in counts.items() if pair[0] < pair[1]}


def _seeds(pairs: Iterable[tuple[str, int]]) -> dict[str, set[int]]:
    seeds: dict[str, set[int]] = {}
    for variant, seed in pairs:
        seeds.setdefault(variant, set()).add(seed)
    return seeds


def seeds_text(count: int, expected: int) -> str:
    """`2 of 3 seeds`."""
    return f"{count} of {expected} seeds"


def seed_counts(results: Results) -> str:
    """`3`, or `3 to 10` where variants have different numbers of seeds; empty where nothing depends on a seed."""
    expected = _seeds((variant, seed) for variant, _, seed in results.expected if seed is not None)
    counts = sorted({len(seeds) for seeds in expected.values()})
    return "" if not counts else str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
