"""The index of ablations: one row each, made from its results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.analysis.aggregate import Aggregate, Column
from bench.analysis.summary import Summary, summarise
from bench.display.figure import names
from bench.display.numbers import number_text, shown_unit, style_of
from bench.display.wording import EMPTY
from bench.report.table import markdown_text
from bench.results.results import Results

HEAD = ("ablation", "question", "metric", "baseline", "best variant", "claims of the source", "seeds", "training")


@dataclass(frozen=True)
class IndexRow:
    """What the index says of one ablation; `training`: CPU-minutes of all its training runs, None if not stored."""

    name: str
    question: str
    metric: str
    baseline: str
    best: str
    claims: str
    seeds: str
    training: float | None

    @property
    def cells(self) -> tuple[str, ...]:
        """Everything but the name, as text."""
        minutes = EMPTY if self.training is None else f"{self.training:.0f} CPU-min"
        return self.question, self.metric, self.baseline, self.best, self.claims, self.seeds, minutes


def is_trained(results: Results) -> bool:
    """Whether the results have scores, or the ablation asks for none."""
    kinds = {definition["kind"] for definition in results.provenance.get("metrics", {}).values()}
    return "accuracy" not in kinds or bool((results.frame["kind"] == "accuracy").any())


def row_of(results: Results) -> IndexRow:
    """The row of an ablation; of the main metric, or its first static one where nothing is trained."""
    summary = summarise(results)
    column = summary.main() or next((c for c in summary.columns if summary.measured(c.metric)), None)
    seeds = {seed for _, _, seed in results.expected if seed is not None}
    return IndexRow(
        name=results.name,
        question=results.question,
        metric=f"{column.name} ({shown_unit(summary, column)})".replace(" ()", "") if column else EMPTY,
        baseline=_value(summary, column, results.baseline) if column else EMPTY,
        best=(_best(summary, column) if column else EMPTY) if is_trained(results) else "not trained here",
        claims=_claims(summary),
        seeds=str(len(seeds)) if seeds else EMPTY,
        training=_training_minutes(results),
    )


def _value(summary: Summary, column: Column, variant: str) -> str:
    aggregate = summary.aggregates.get((variant, column.metric))
    return number_text(aggregate, style_of(summary, column)) if aggregate and aggregate.samples else EMPTY


def _best(summary: Summary, column: Column) -> str:
    """The best variant with its number and verdict; a metric without a better direction has none."""
    best = _extreme(summary.measured(column.metric), column.better)
    if best is None:
        return EMPTY
    if best.variant == summary.results.baseline:
        return "the baseline"
    delta = summary.delta(best.variant, column.metric)
    verdict = f", {delta.verdict}" if delta and delta.verdict and best.seeded else ""
    return f"{names(summary.results)[best.variant]}: {_value(summary, column, best.variant)}{verdict}"


def _extreme(aggregates: Sequence[Aggregate], better: str | None) -> Aggregate | None:
    valued = [(each.value, i) for i, each in enumerate(aggregates) if each.value is not None]
    if not valued or better is None:
        return None
    _, place = max(valued, key=lambda pair: (pair[0] if better == "higher" else -pair[0], -pair[1]))
    return aggregates[place]


def _claims(summary: Summary) -> str:
    answers = [claim.answer for claim in summary.claims]
    return ", ".join(f"{answers.count(answer)} {answer}" for answer in dict.fromkeys(sorted(answers))) or EMPTY


def _training_minutes(results: Results) -> float | None:
    seconds = [evaluation.facts.get("cpu_seconds") for evaluation in results.evaluations.values()]
    measured = [each for each in seconds if each is not None]
    return sum(measured) / 60 if measured else None


def markdown_index(rows: Iterable[IndexRow], folder: str = "", columns: Sequence[str] = HEAD[1:]) -> str:
    """A pipe table of these columns of HEAD; the names of ablations link to `folder/NAME/index.md`."""
    lines = ["| " + " | ".join((HEAD[0], *columns)) + " |", "| " + " | ".join("---" for _ in (0, *columns)) + " |"]
    for row in rows:
        link = f"[{row.name}]({folder}{row.name}/index.md)"
        cells = dict(zip(HEAD[1:], row.cells, strict=True))
        lines.append("| " + " | ".join([link, *(markdown_text(cells[column]) for column in columns)]) + " |")
    return "\n".join(lines) + "\n"
