"""Results as runs: a variant with one seed, or without, as trackers of experiments have them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from bench.display.names import short_name
from bench.results.results import Results

if TYPE_CHECKING:
    import pandas as pd

NO_SEED = -1
"""Stands for a missing seed while rows are grouped; seeds are not negative."""


@dataclass(frozen=True)
class Run:
    """A variant with one seed, or without: its axes, its numbers, and its training curves.

    `curves` is name -> (step, value) pairs; `created` is in seconds since 1970.
    """

    name: str
    folder: str
    config: Mapping[str, Any]
    numbers: Mapping[str, float]
    curves: Mapping[str, tuple[tuple[int, float], ...]]
    created: float


def runs(results: Results) -> Iterator[Run]:
    """A run for each variant and seed that was measured, and one without seed for what depends on none."""
    order = {variant: place for place, variant in enumerate(results.variants)}
    frame = results.frame.assign(seed=results.frame["seed"].astype("Int64").fillna(NO_SEED).astype(int))
    for place, rows in frame.groupby(["variant", "seed"], sort=False):
        variant, number = cast("tuple[str, int]", place)
        seed, name = (None if number == NO_SEED else int(number)), short_name(results, variant)
        yield Run(
            name=name if seed is None else f"{name} seed {seed}",
            folder=f"{order[variant]:02d}_{_slug(name)}/{'no_seed' if seed is None else f'seed_{seed}'}",
            config={**results.axes.get(variant, {}), "variant": variant, "seed": seed},
            numbers=_numbers(rows),
            curves={} if seed is None else _curves(results, variant, seed),
            created=max((datetime.fromisoformat(text).timestamp() for text in rows["created"]), default=0.0),
        )


def _numbers(rows: pd.DataFrame) -> dict[str, float]:
    """Metric -> the median of its samples, of what did not fail."""
    measured = rows[rows["error"].isna()].groupby("metric")["value"].median().dropna()
    return {str(metric): float(value) for metric, value in measured.items()}


def _curves(results: Results, variant: str, seed: int) -> dict[str, tuple[tuple[int, float], ...]]:
    evaluation = results.evaluations.get((variant, seed))
    curves = evaluation.curves if evaluation else {}
    steps = [int(step) for step in curves.get("step", ())]
    pairs = {name: zip(steps, map(float, curves[name])) for name in sorted(curves) if name != "step" and steps}
    return {name: tuple(points) for name, points in pairs.items()}


def _slug(text: str) -> str:
    """A name that is that of a folder everywhere."""
    return re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")[:60]
