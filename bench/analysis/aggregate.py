"""All samples of one variant and metric, over its seeds: the entry of a table before it becomes text."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from bench.results.measurement import EARLIER
from bench.results.results import Results
from bench.stats.descriptive import deviation, mean, median, quantile

K = TypeVar("K", bound=Hashable)
Seed = int | None
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Column:
    """A metric as a column of a table; `name` is how people read it."""

    metric: str
    unit: str
    better: str | None
    kind: str
    doc: str
    name: str = ""


@dataclass(frozen=True)
class Aggregate:
    """The samples of one variant and metric, seed by seed, as they were measured.

    `errors` are (seed, message) of what failed, `missing` the requested seeds without a measurement. `answered` are
    the seeds that have a result, with or without a number: a receptive field may be global.
    """

    variant: str
    metric: str
    samples: tuple[tuple[Seed, float], ...]
    answered: tuple[Seed, ...]
    exact: bool
    errors: tuple[tuple[Seed, str], ...]
    missing: tuple[Seed, ...]
    details: tuple[Mapping[str, Any], ...]

    @cached_property
    def by_seed(self) -> dict[Seed, float]:
        """Each seed's value: the median of its samples."""
        groups: dict[Seed, list[float]] = {}
        for seed, value in self.samples:
            groups.setdefault(seed, []).append(value)
        return {seed: median(values) for seed, values in groups.items()}

    @property
    def seeded(self) -> dict[int, float]:
        """The values of metrics that depend on a seed; empty for the others."""
        return {seed: value for seed, value in self.by_seed.items() if seed is not None}

    @cached_property
    def processes(self) -> tuple[float, ...]:
        """The median of each process that took samples of a speed or a size, the latest last; else empty."""
        if self.exact or self.seeded or not self.samples:
            return ()
        earlier = (float(value) for detail in self.details for value in detail.get(EARLIER, ()))
        return (*earlier, *self.by_seed.values())

    @property
    def shares_timing(self) -> bool:
        """Whether the samples are those of another variant with the same graph."""
        return any("shared_with" in detail for detail in self.details)

    @property
    def value(self) -> float | None:
        """The mean over the seeds; without seeds the number itself, or the median of the samples.

        Of several processes it is the geometric mean of their medians.
        """
        if len(self.processes) > 1 and min(self.processes) > 0:
            return math.exp(mean([math.log(each) for each in self.processes]))
        return mean(list(self.by_seed.values())) if self.samples else None

    @property
    def spread(self) -> float | None:
        """The sample standard deviation over the seeds; None with fewer than two."""
        return deviation(list(self.seeded.values()))

    @property
    def quartiles(self) -> tuple[float, float] | None:
        """Of the samples of a metric without seeds; None where it is exact."""
        values = [value for _, value in self.samples]
        if self.exact or self.seeded or len(values) < 2:
            return None
        return quantile(values, 0.25), quantile(values, 0.75)

    @property
    def count(self) -> int:
        """How many numbers `value` is made of: seeds where there are any, else samples."""
        return len(self.seeded) or len(self.samples)

    @property
    def coverage(self) -> float:
        """The smallest fraction of operators that any of the measurements accounts for; 1 where none says."""
        return min((float(d["coverage"]) for d in self.details if "coverage" in d), default=1.0)

    @property
    def clock(self) -> str:
        """The clock of a time, `elapsed` or `cpu`; empty where it is not recorded, and where nothing was timed."""
        return " and ".join(sorted({str(d["clock"]) for d in self.details if "clock" in d}))

    @property
    def uncounted(self) -> tuple[str, ...]:
        """The operators that a count leaves out, each with its calls."""
        return tuple(dict.fromkeys(text for detail in self.details for text in detail.get("uncounted") or ()))

    @property
    def words(self) -> str:
        """What a result without a number is; empty where there is a number, or no result."""
        if self.samples or not self.answered:
            return ""
        return "global" if any(detail.get("global") is True for detail in self.details) else "no number"

    @property
    def status(self) -> str:
        """`measured`, `partial`, `error` or `not measured`."""
        if not self.answered:
            return "error" if self.errors else "not measured"
        return "partial" if self.errors or self.missing else "measured"


Aggregates = Mapping[tuple[str, str], Aggregate]
"""(variant, metric) -> aggregate."""


def aggregates_of(results: Results) -> dict[tuple[str, str], Aggregate]:
    """An aggregate for each variant and metric that was requested or measured.

    Raises ValueError for two measurements of one variant, metric and seed, or a variant that the ablation lacks.
    """
    rows = _rows(results)
    requested: dict[tuple[str, str], list[Seed]] = {pair: [] for pair in rows}
    for variant, metric, seed in results.expected:
        requested.setdefault((variant, metric), []).append(seed)
    strange = sorted({variant for variant, _ in requested} - set(results.variants))
    if strange:
        raise ValueError(f"results of a variant that '{results.name}' does not have: {', '.join(strange)}")
    return {pair: _aggregate(*pair, rows.get(pair, ()), seeds) for pair, seeds in requested.items()}


def _rows(results: Results) -> dict[tuple[str, str], list[dict[str, Any]]]:
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in results.frame.to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        row["seed"] = None if _absent(row["seed"]) else int(row["seed"])
        groups.setdefault((row["variant"], row["metric"]), []).append(row)
    return groups


def _aggregate(variant: str, metric: str, rows: Rows, requested: Sequence[Seed]) -> Aggregate:
    _check_keys(variant, metric, rows)
    good = sorted((row for row in rows if _absent(row["error"])), key=lambda row: (_rank(row["seed"]), row["sample"]))
    errors = {row["seed"]: str(row["error"]) for row in rows if not _absent(row["error"])}
    seeds = {row["seed"] for row in rows}
    return Aggregate(
        variant=variant,
        metric=metric,
        samples=tuple((row["seed"], float(row["value"])) for row in good if not _absent(row["value"])),
        answered=tuple(dict.fromkeys(row["seed"] for row in good)),
        exact=bool(good) and all(bool(row["exact"]) for row in good),
        errors=tuple(sorted(errors.items(), key=lambda item: _rank(item[0]))),
        missing=tuple(seed for seed in requested if seed not in seeds),
        details=tuple({row["seed"]: row["detail"] or {} for row in reversed(good)}.values())[::-1],
    )


def _check_keys(variant: str, metric: str, rows: Rows) -> None:
    keys: dict[Seed, str] = {}
    for row in rows:
        if keys.setdefault(row["seed"], row["key"]) != row["key"]:
            raise ValueError(f"two results with different keys for {variant}, {metric}, seed {row['seed']}")


def columns_of(results: Results) -> Iterator[Column]:
    """The metrics in the ablation's order, then those that were only measured."""
    declared: Mapping[str, Mapping[str, Any]] = results.provenance.get("metrics", {})
    order = dict.fromkeys(metric for _, metric, _ in results.expected)
    measured = results.frame.drop_duplicates("metric").set_index("metric")
    for metric in [*order, *sorted(set(measured.index) - order.keys())]:
        row = measured.loc[metric] if metric in measured.index else {}
        definition = declared.get(metric, {})
        unit, better, kind = (_first(row.get(part), definition.get(part)) for part in ("unit", "better", "kind"))
        name = definition.get("display_name", metric)
        yield Column(metric, unit or "", better, kind or "", definition.get("doc", ""), name)


def _first(measured: Any, declared: Any) -> str | None:
    value = declared if _absent(measured) else measured
    return None if _absent(value) else str(value)


def _rank(seed: Seed) -> int:
    return -1 if seed is None else seed


def _absent(value: Any) -> bool:
    """None, NaN and pandas' NA: a column holds nothing here."""
    import pandas as pd

    return value is None or (not isinstance(value, (list, tuple, dict)) and bool(pd.isna(value)))


def measured_pairs(
    aggregates: Aggregates, metric: str, pairs: Mapping[K, tuple[str, str]]
) -> dict[K, tuple[Aggregate, Aggregate]]:
    """The aggregates of each pair of variants; pairs of which the table lacks one are left out."""
    both = {key: (aggregates.get((a, metric)), aggregates.get((b, metric))) for key, (a, b) in pairs.items()}
    return {key: (one, other) for key, (one, other) in both.items() if one is not None and other is not None}
