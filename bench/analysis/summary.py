"""The content of a table: columns, aggregates, differences from the baseline, and what became of each claim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from bench.analysis.aggregate import Aggregate, Aggregates, Column, aggregates_of, columns_of
from bench.analysis.claims import ClaimResult, evaluate
from bench.analysis.deltas import Delta, deltas
from bench.results.results import Results

__all__ = ["Aggregate", "Column", "Summary", "summarise"]


@dataclass(frozen=True, eq=False)
class Summary:
    """Columns and variants in the ablation's order, an aggregate for each pair that was requested."""

    results: Results
    columns: tuple[Column, ...]
    aggregates: Aggregates

    @cached_property
    def deltas(self) -> Mapping[tuple[str, str], Delta]:
        """Every difference from the baseline by (variant, metric); the verdicts of a metric are corrected together."""
        differences: dict[tuple[str, str], Delta] = {}
        for column in self.columns:
            baseline = self.aggregates.get((self.results.baseline, column.metric))
            others = [aggregate for aggregate in self.of(column.metric) if aggregate is not baseline]
            by_variant = deltas(column, baseline, others, self.results.contributions) if baseline else {}
            differences |= {(variant, column.metric): delta for variant, delta in by_variant.items()}
        return differences

    @cached_property
    def claims(self) -> tuple[ClaimResult, ...]:
        """What the measurements say about each claim of the source."""
        return evaluate(self.results.claims, self.aggregates, self.results.contributions)

    def delta(self, variant: str, metric: str) -> Delta | None:
        """The difference from the baseline, paired by seed where there are seeds; None for the baseline itself."""
        return self.deltas.get((variant, metric))

    def answers(self, metric: str) -> Mapping[tuple[str, str], Delta]:
        """The differences that answer the question, (first variant, second) -> first less second, in their order."""
        stated = {(one, other): self._answer(one, other, metric) for one, other in self.results.answers}
        return {pair: delta for pair, delta in stated.items() if delta is not None}

    def _answer(self, one: str, other: str, metric: str) -> Delta | None:
        if other == self.results.baseline:
            return self.delta(one, metric)
        first, second = (self.aggregates.get((variant, metric)) for variant in (one, other))
        if first is None or second is None:
            return None
        return deltas(self.column(metric), second, [first], self.results.contributions).get(one)

    def of(self, metric: str) -> list[Aggregate]:
        """The metric's aggregates, in the order of the variants."""
        return self._by_metric.get(metric, [])

    @cached_property
    def _by_metric(self) -> dict[str, list[Aggregate]]:
        order = {variant: place for place, variant in enumerate(self.results.variants)}
        by_metric: dict[str, list[Aggregate]] = {}
        for aggregate in sorted(self.aggregates.values(), key=lambda each: order[each.variant]):
            by_metric.setdefault(aggregate.metric, []).append(aggregate)
        return by_metric

    def column(self, metric: str) -> Column:
        return next(column for column in self.columns if column.metric == metric)

    def main(self) -> Column | None:
        """The ablation's main metric; where it has no value, the first accuracy metric that has one."""
        scores = [column for column in self.columns if column.kind == "accuracy" and self.measured(column.metric)]
        return next((column for column in scores if column.metric == self.results.main), scores[0] if scores else None)

    def measured(self, metric: str) -> list[Aggregate]:
        """The metric's aggregates that have a value."""
        return [aggregate for aggregate in self.of(metric) if aggregate.samples]


@lru_cache(maxsize=4)
def summarise(results: Results) -> Summary:
    """Everything that was requested or measured. Raises ValueError as `aggregates_of` does."""
    return Summary(results, tuple(columns_of(results)), aggregates_of(results))
