"""Results -> one summary per variant and metric: what was measured, what failed, what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bench.analysis.deltas import Delta, deltas
from bench.analysis.findings import Finding, evaluate
from bench.registry import text_of
from bench.results.results import Results
from bench.stats.descriptive import deviation, mean, median, quantile


@dataclass(frozen=True)
class Column:
    """A metric as it stands in a table."""

    metric: str
    unit: str
    better: str | None
    kind: str
    doc: str


@dataclass(frozen=True)
class Aggregate:
    """All samples of one variant and metric, seed by seed, as they came.

    `errors` are (seed, message) of what failed, `missing` the seeds asked for that have no row.
    `answered` are the seeds that have a result, be it no number: a receptive field may be global.
    """

    variant: str
    metric: str
    samples: tuple[tuple[int | None, float], ...]
    answered: tuple[int | None, ...]
    exact: bool
    errors: tuple[tuple[int | None, str], ...]
    missing: tuple[int | None, ...]
    details: tuple[Mapping[str, Any], ...]

    @cached_property
    def by_seed(self) -> dict[int | None, float]:
        """Each seed's value: the median of its samples, which is the sample itself where there is one."""
        groups: dict[int | None, list[float]] = {}
        for seed, value in self.samples:
            groups.setdefault(seed, []).append(value)
        return {seed: median(values) for seed, values in groups.items()}

    @property
    def seeded(self) -> dict[int, float]:
        return {seed: value for seed, value in self.by_seed.items() if seed is not None}

    @property
    def value(self) -> float | None:
        """The mean over the seeds; without seeds the number itself, or the median of the samples."""
        return mean(list(self.by_seed.values())) if self.samples else None

    @property
    def spread(self) -> float | None:
        """The sample standard deviation over the seeds; None without at least two."""
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
        """The least fraction of operators that any of the measurements accounts for; 1 where none says."""
        return min((float(d["coverage"]) for d in self.details if "coverage" in d), default=1.0)

    @property
    def words(self) -> str:
        """What a result without a number says instead; empty where there is a number, or no result."""
        if self.samples or not self.answered:
            return ""
        return "global" if any(detail.get("global") is True for detail in self.details) else "no number"

    @property
    def status(self) -> str:
        """`measured`, `partial`, `error` or `not measured`."""
        if not self.answered:
            return "error" if self.errors else "not measured"
        return "partial" if self.errors or self.missing else "measured"


@dataclass(frozen=True)
class Summary:
    """The table's content: columns and rows in the ablation's order, a aggregate wherever one was asked for."""

    results: Results
    columns: tuple[Column, ...]
    aggregates: Mapping[tuple[str, str], Aggregate]

    @cached_property
    def deltas(self) -> Mapping[tuple[str, str], Delta]:
        """Every difference from the baseline by (variant, metric), each metric's judged together."""
        found: dict[tuple[str, str], Delta] = {}
        for column in self.columns:
            reference = self.aggregates.get((self.results.baseline, column.metric))
            others = [aggregate for aggregate in self.of(column.metric) if aggregate is not reference]
            told = deltas(column, reference, others, self.results.units) if reference else {}
            found |= {(variant, column.metric): delta for variant, delta in told.items()}
        return found

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """What the table says to the claims of the source."""
        return evaluate(self.results.claims, self)

    def delta(self, variant: str, metric: str) -> Delta | None:
        """From the baseline, paired by seed where there are seeds; None for the baseline itself."""
        return self.deltas.get((variant, metric))

    def of(self, metric: str) -> list[Aggregate]:
        """The metric's aggregates, in the order of the variants."""
        found = [self.aggregates.get((variant, metric)) for variant in self.results.variants]
        return [aggregate for aggregate in found if aggregate is not None]

    def column(self, metric: str) -> Column:
        return next(c for c in self.columns if c.metric == metric)

    def main(self) -> Column | None:
        """The accuracy metric that the ablation names first and that has a value."""
        return next((c for c in self.columns if c.kind == "accuracy" and self.measured(c.metric)), None)

    def measured(self, metric: str) -> list[Aggregate]:
        """The metric's aggregates that have a value."""
        return [aggregate for aggregate in self.of(metric) if aggregate.samples]


def summarise(results: Results) -> Summary:
    """Every aggregate that was asked for or measured.

    Raises ValueError on two keys for one aggregate, or a variant that the ablation does not have.
    """
    rows = _rows(results)
    asked: dict[tuple[str, str], list[int | None]] = {pair: [] for pair in rows}
    for variant, metric, seed in results.expected:
        asked.setdefault((variant, metric), []).append(seed)
    strange = sorted({variant for variant, _ in asked} - set(results.variants))
    if strange:
        raise ValueError(f"results of a variant that '{results.name}' does not have: {', '.join(strange)}")
    aggregates = {pair: _aggregate(*pair, rows.get(pair, []), seeds) for pair, seeds in asked.items()}
    return Summary(results, tuple(_columns(results, rows)), aggregates)


def _rows(results: Results) -> dict[tuple[str, str], list[dict[str, Any]]]:
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in results.frame.to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        groups.setdefault((row["variant"], row["metric"]), []).append(row)
    return groups


def axis_text(results: Results, variant: str, axis: str) -> str:
    """The variant's value on an axis, as text; empty where the variant has no such axis."""
    stated = dict(stated_axes(variant))
    if axis in stated or axis not in results.frame:
        return stated.get(axis, "")
    values = results.frame.loc[results.frame["variant"] == variant, axis].tolist()
    return text_of(values[0]) if values and not _absent(values[0]) else ""


def shared_axes(results: Results) -> dict[str, str]:
    """What all variants state alike, and so need not be repeated for each; nothing of a single variant."""
    first, *others = ([*stated_axes(variant)] for variant in results.variants)
    return {axis: value for axis, value in first if others and all((axis, value) in other for other in others)}


def short_name(results: Results, variant: str) -> str:
    """The variant's name with `…` for what all variants share: `fcn(stride=8,…)`."""
    shared = shared_axes(results)
    own = [f"{axis}={value}" for axis, value in stated_axes(variant) if shared.get(axis) != value]
    told = own + ["\N{HORIZONTAL ELLIPSIS}"] * any(axis in shared for axis, _ in stated_axes(variant))
    return f"{variant.partition('(')[0]}({','.join(told)})" if told else variant


def shared_words(results: Results) -> str:
    """What `…` in a short name stands for; empty where nothing is shared."""
    shared = ", ".join(f"{axis}={value}" for axis, value in shared_axes(results).items())
    return f"\N{HORIZONTAL ELLIPSIS} in a variant's name: {shared}" if shared else ""


def stated_axes(variant: str) -> list[tuple[str, str]]:
    """The axes in a variant's canonical name: `fcn(stride=8,rates=[1,2])` has two."""
    inner = variant.partition("(")[2].removesuffix(")")
    parts: list[str] = []
    for piece in inner.split(",") if inner else []:
        if parts and "=" not in piece:
            parts[-1] += f",{piece}"
        else:
            parts.append(piece)
    return [(name, value) for name, _, value in (part.partition("=") for part in parts)]


def _aggregate(variant: str, metric: str, rows: Sequence[dict[str, Any]], asked: Sequence[int | None]) -> Aggregate:
    keys: dict[int | None, str] = {}
    for row in rows:
        if keys.setdefault(_seed(row), row["key"]) != row["key"]:
            raise ValueError(f"two results with different keys for {variant}, {metric}, seed {_seed(row)}")
    good = [row for row in rows if _absent(row["error"])]
    ordered = sorted(good, key=lambda row: (_rank(_seed(row)), row["sample"]))
    numbers = [(_seed(row), float(row["value"])) for row in ordered if not _absent(row["value"])]
    errors = {_seed(row): str(row["error"]) for row in rows if not _absent(row["error"])}
    return Aggregate(
        variant=variant,
        metric=metric,
        samples=tuple(numbers),
        answered=tuple(dict.fromkeys(_seed(row) for row in ordered)),
        exact=bool(good) and all(bool(row["exact"]) for row in good),
        errors=tuple(sorted(errors.items(), key=lambda item: _rank(item[0]))),
        missing=tuple(seed for seed in asked if seed not in keys),
        details=tuple(_first_details(ordered)),
    )


def _first_details(rows: Sequence[dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """One detail per seed: all samples of a aggregate carry the same."""
    seen: set[int | None] = set()
    for row in rows:
        if _seed(row) not in seen:
            seen.add(_seed(row))
            yield row["detail"] or {}


def _columns(results: Results, rows: Mapping[tuple[str, str], list[dict[str, Any]]]) -> Iterator[Column]:
    declared: Mapping[str, Mapping[str, Any]] = results.provenance.get("metrics", {})
    order = dict.fromkeys(metric for _, metric, _ in results.expected)
    for metric in [*order, *sorted({metric for _, metric in rows} - order.keys())]:
        row = next((group[0] for (_, name), group in rows.items() if name == metric), {})
        said = declared.get(metric, {})
        found = {part: _known(row.get(part), said.get(part)) for part in ("unit", "better", "kind")}
        yield Column(metric, found["unit"] or "", found["better"], found["kind"] or "", said.get("doc", ""))


def _known(measured: Any, declared: Any) -> str | None:
    value = declared if _absent(measured) else measured
    return None if _absent(value) else str(value)


def _seed(row: Mapping[str, Any]) -> int | None:
    return None if _absent(row["seed"]) else int(row["seed"])


def _rank(seed: int | None) -> int:
    return -1 if seed is None else seed


def _absent(value: Any) -> bool:
    """None, NaN and pandas' NA, which all mean that a column holds nothing here."""
    import pandas as pd

    return value is None or (not isinstance(value, (list, tuple, dict)) and bool(pd.isna(value)))
