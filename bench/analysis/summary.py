"""The content of a table: columns, aggregates, differences from the baseline, and what became of each claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from bench.analysis.aggregate import Aggregate, Aggregates, Column, aggregates_of, columns_of, measured_pairs
from bench.analysis.claims import ClaimResult, Stated, evaluate
from bench.analysis.contrast import Noise, noise_of
from bench.analysis.deltas import ONCE, Delta, Rule, deltas, differences, turned
from bench.analysis.looks import Looks, planned_pairs, taken_looks
from bench.results.results import Results

__all__ = ["Aggregate", "Column", "Summary", "summarise"]


@dataclass(frozen=True, eq=False)
class Summary:
    """Columns and variants in the ablation's order, an aggregate for each pair that was requested."""

    results: Results
    columns: tuple[Column, ...]
    aggregates: Aggregates

    @cached_property
    def noise(self) -> Noise:
        """What is known of the noise of all metrics."""
        return noise_of(self.aggregates.values(), self.results.contributions, self._graphs)

    @property
    def _graphs(self) -> Mapping[str, str]:
        """The hash of each variant's graph: as it was measured, or from the check for axes without effect.

        With what the variant states of its workload: one graph in another type, batch or number of threads is another.
        """
        recorded = {variant.name: signature.graph for variant, signature in self.results.signatures.items()}
        measured = {each.variant: f"{each.value:.0f}" for each in self.of("graph_hash") if each.value is not None}
        return {variant: self._with_workload(variant, graph) for variant, graph in (measured or recorded).items()}

    def _with_workload(self, variant: str, graph: str) -> str:
        """Empty where the graph is not known."""
        axes = self.results.axes.get(variant, {})
        stated = [f"{axis}={text}" for axis, text in axes.items() if axis.startswith("workload.")]
        return " ".join([graph, *stated]) if graph else ""

    @cached_property
    def looks(self) -> Looks | None:
        """What the looks at adaptive seeds gave; None where the seeds are fixed."""
        if not self.results.looks:
            return None
        return taken_looks(self.results, self.columns, self.aggregates, self._graphs)

    @cached_property
    def deltas(self) -> Mapping[tuple[str, str], Delta]:
        """Every difference from the baseline by (variant, metric); the verdicts of a metric are corrected together."""
        by_pair: dict[tuple[str, str], Delta] = dict(self.looks.table) if self.looks else {}
        for column in self.columns:
            if self.looks and column.kind == "accuracy":
                continue
            baseline = self.aggregates.get((self.results.baseline, column.metric))
            others = [aggregate for aggregate in self.of(column.metric) if aggregate is not baseline]
            by_variant = deltas(column, baseline, others, self.noise) if baseline else {}
            by_pair |= {(variant, column.metric): delta for variant, delta in by_variant.items()}
        return by_pair

    def answers(self, metric: str) -> Mapping[tuple[str, str], Delta]:
        """The differences that answer the question, (first variant, second) -> first less second, in their order.

        Differences from the baseline are those of the table; the others are planned contrasts, which are corrected
        together. Pairs without a number are left out.
        """
        planned = self.differences(metric, planned_pairs(self.results))
        stated = {pair: self._of_table(*pair, metric) or planned.get(pair) for pair in self.results.answers}
        return {pair: delta for pair, delta in stated.items() if delta is not None}

    def difference(self, variant: str, other: str, metric: str) -> Delta | None:
        """The one difference of two variants: that of the table, of an answer, or a planned contrast of its own.

        None where one of them has no number.
        """
        answers = self.answers(metric)
        delta = self._of_table(variant, other, metric) or answers.get((variant, other))
        if delta is None and (other, variant) in answers:
            return self._turned(answers[other, variant], variant, other, metric)
        return delta or self.differences(metric, [(variant, other)]).get((variant, other))

    def differences(self, metric: str, pairs: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Delta]:
        """Of these pairs as one family; those that the table lacks are left out."""
        both = measured_pairs(self.aggregates, metric, {pair: pair for pair in pairs})
        planned = self.looks.planned if self.looks else {}
        if both and all((metric, *pair) in planned for pair in both):
            return {pair: planned[metric, *pair] for pair in both}
        column = self.column(metric)
        return differences(column, both, self.of(metric), self.noise, self.rule(column))

    def rule(self, column: Column) -> Rule:
        """The levels of tests on a metric that the looks at adaptive seeds did not make themselves."""
        return self.looks.rule if self.looks and column.kind == "accuracy" else ONCE

    def _of_table(self, variant: str, other: str, metric: str) -> Delta | None:
        if other == self.results.baseline:
            return self.delta(variant, metric)
        stated = self.delta(other, metric) if variant == self.results.baseline else None
        return None if stated is None else self._turned(stated, variant, other, metric)

    def _turned(self, stated: Delta, variant: str, other: str, metric: str) -> Delta:
        """The same difference with the two in this order."""
        pair = self.aggregates[variant, metric], self.aggregates[other, metric]
        return turned(stated, *pair, self.noise)

    @cached_property
    def claims(self) -> tuple[ClaimResult, ...]:
        """What the measurements say about each claim of the source."""
        if self.looks:
            return self.looks.claims
        return evaluate(self.results.claims, self.aggregates, self.noise, self._stated)

    @cached_property
    def _stated(self) -> Stated:
        """Each difference with an interval in the table and among the answers."""
        table = {(metric, variant, self.results.baseline): delta for (variant, metric), delta in self.deltas.items()}
        answers = {
            (column.metric, *pair): delta
            for column in self.columns
            for pair, delta in self.differences(column.metric, planned_pairs(self.results)).items()
        }
        return {key: delta for key, delta in (answers | table).items() if delta.interval is not None}

    def delta(self, variant: str, metric: str) -> Delta | None:
        """The difference from the baseline; None for the baseline itself."""
        return self.deltas.get((variant, metric))

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


@lru_cache(maxsize=64)  # a site asks again for its index after all pages
def summarise(results: Results) -> Summary:
    """Everything that was requested or measured. Raises ValueError as `aggregates_of` does."""
    return Summary(results, tuple(columns_of(results)), aggregates_of(results))
