"""What the page of an ablation says, before it becomes Markdown or HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.aggregate import Aggregate, Column
from bench.analysis.side_effects import SideEffect, side_effects
from bench.analysis.summary import Summary, summarise
from bench.display.batches import batch_notes
from bench.display.figure import names
from bench.display.names import axis_text, shared_words, short_name
from bench.display.numbers import ARROWS, PLAIN, Shown, number_text, show, shown_unit, spread_words, style_of
from bench.display.tuning import TuningTable, tuning_table
from bench.display.wording import (
    EMPTY,
    ClaimText,
    FrontTable,
    claim_texts,
    front_table,
    inference_notes,
    timing_notes,
    uncounted_notes,
)
from bench.registry import text_of
from bench.report.choice import layout_of
from bench.report.figures import FailedPlot, Figure, figures, left_out
from bench.report.table import markdown
from bench.results.results import Results


@dataclass(frozen=True)
class PageCell:
    """One cell of the page's table: what is shown, what it is sorted by, and the exact numbers."""

    shown: Shown | None
    sort: str
    exact: str


@dataclass(frozen=True)
class Row:
    """A variant's row: its short and full name, its values on the axes that vary, and its cells."""

    name: str
    variant: str
    baseline: bool
    axes: tuple[str, ...]
    cells: tuple[PageCell, ...]


@dataclass(frozen=True)
class Definition:
    """What a metric means, and the command that measures it again."""

    metric: str
    unit: str
    better: str
    kind: str
    doc: str
    command: str


@dataclass(frozen=True)
class Page:
    """Everything that a template shows."""

    results: Results
    headline: tuple[str, ...]
    heads: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]
    table: str
    shared: str
    figures: tuple[Figure, ...]
    failed_plots: tuple[FailedPlot, ...]
    left_out: str
    failures: tuple[tuple[str, str, str, str, str], ...]
    missing: tuple[tuple[str, str, str], ...]
    definitions: tuple[Definition, ...]
    provenance: tuple[tuple[str, str], ...]
    repair: str
    side_effects: tuple[tuple[str, ...], ...]
    tuning: TuningTable | None
    inference: tuple[str, ...]
    claims: tuple[ClaimText, ...]
    fronts: FrontTable | None


def page_of(results: Results, plugins: Sequence[str] = (), most: int | None = None) -> Page:
    """What the report says, before it becomes text; with its first `most` figures, or all.

    With `most`, plots are only asked until they gave so many figures; those that failed are named up to there.
    """
    summary = summarise(results)
    drawn = list(_first(figures(results, plugins), most))
    return Page(
        results=results,
        headline=tuple(headline(summary)),
        heads=tuple(_head(summary, column) for column in summary.columns),
        rows=tuple(_row(summary, variant) for variant in results.variants),
        table=markdown(layout_of(summary.results), claims=False),
        shared=shared_words(results),
        figures=tuple(each for each in drawn if isinstance(each, Figure)),
        failed_plots=tuple(each for each in drawn if isinstance(each, FailedPlot)),
        left_out=left_out(results, plugins),
        failures=tuple(_failures(summary)),
        missing=tuple((c.variant, c.metric, _seeds(c.missing)) for c in _aggregates(summary) if c.missing),
        definitions=tuple(_definition(summary, column) for column in summary.columns),
        provenance=tuple(provenance(results)),
        repair=f"{command(results)} --rerun failed",
        tuning=tuning_table(results.tuning, names(results)),
        side_effects=tuple(_side_effect(e, names(results)) for e in side_effects(results.signatures, results.baseline)),
        inference=tuple(_number_notes(summary)),
        claims=tuple(claim_texts(summary)),
        fronts=front_table(summary, names(results)),
    )


def _first(drawn: Iterator[Figure | FailedPlot], most: int | None) -> Iterator[Figure | FailedPlot]:
    count = 0
    while most is None or count < most:
        each = next(drawn, None)
        if each is None:
            return
        count += isinstance(each, Figure)
        yield each


def _number_notes(summary: Summary) -> Iterator[str]:
    """What the numbers of the table are: their clocks, what their counts leave out, how differences are judged."""
    labels = names(summary.results)
    yield from timing_notes(summary, labels)
    yield from batch_notes(summary)
    yield from uncounted_notes(summary, labels)
    yield from inference_notes(summary)


def answer_and_table(results: Results) -> str:
    """What a terminal shows when a run ends: the question, the answer in short, and the table, as Markdown."""
    summary = summarise(results)
    lines = [results.question, *(f"- {line}" for line in headline(summary))]
    return "\n".join([*lines, "", markdown(layout_of(results))])


def headline(summary: Summary) -> Iterator[str]:
    """The answer in short: who is best by the main metric, and how complete the table is."""
    main = summary.main()
    if main is not None and main.better:
        yield _best(summary, main)
    if summary.claims:
        yield _answers(summary)
    yield _completeness(summary)


def _best(summary: Summary, main: Column) -> str:
    aggregates = [
        (aggregate.value, aggregate) for aggregate in summary.measured(main.metric) if aggregate.value is not None
    ]
    pick: Callable[..., tuple[float, Aggregate]] = max if main.better == "higher" else min
    _, best = pick(aggregates, key=lambda pair: pair[0])
    style = style_of(summary, main)
    shown = show(summary, best.variant, best.metric, style)
    words = "Highest" if main.better == "higher" else "Lowest"
    over = f" over {best.count} seeds" if best.count > 1 else " from one seed" if best.seeded else ""
    verdict = f" ({shown.verdict})" if shown and shown.verdict else ""
    change = f", {shown.difference} against the baseline{verdict}" if shown and shown.difference else ""
    name = names(summary.results)[best.variant]
    return f"{words} {main.name or main.metric}: {name} with {number_text(best, style)}{over}{change}."


def _answers(summary: Summary) -> str:
    answers = [claim.answer for claim in summary.claims]
    counts = [f"{answers.count(answer)} {answer}" for answer in dict.fromkeys(sorted(answers))]
    return f"Claims of the source: {', '.join(counts)}."


def _completeness(summary: Summary) -> str:
    aggregates = [*_aggregates(summary)]
    done = sum(len(aggregate.answered) for aggregate in aggregates)
    failed, missing = (
        sum(len(aggregate.errors) for aggregate in aggregates),
        sum(len(aggregate.missing) for aggregate in aggregates),
    )
    excluded = len(summary.results.excluded)
    reason = f"; {excluded} variant{'' if excluded == 1 else 's'} excluded with a reason" if excluded else ""
    return f"{done} of {done + failed + missing} measurements done, {failed} failed, {missing} not measured{reason}."


def _aggregates(summary: Summary) -> Iterator[Aggregate]:
    for variant in summary.results.variants:
        for column in summary.columns:
            if (variant, column.metric) in summary.aggregates:
                yield summary.aggregates[variant, column.metric]


def _head(summary: Summary, column: Column) -> tuple[str, str]:
    """The metric with its arrow, and the small text below it: unit, and what the numbers are."""
    below = (shown_unit(summary, column), spread_words(summary.of(column.metric)))
    return f"{column.name or column.metric} {ARROWS.get(column.better or '', '')}".strip(), ", ".join(
        part for part in below if part
    )


def _row(summary: Summary, variant: str) -> Row:
    results = summary.results
    axes = tuple(axis_text(results, variant, axis) or EMPTY for axis in results.columns)
    aggregates = tuple(_entry(summary, variant, column) for column in summary.columns)
    return Row(short_name(results, variant), variant, variant == results.baseline, axes, aggregates)


def _entry(summary: Summary, variant: str, column: Column) -> PageCell:
    aggregate = summary.aggregates.get((variant, column.metric))
    shown = show(summary, variant, column.metric, style_of(summary, column))
    if aggregate is None or aggregate.value is None:
        return PageCell(shown, "", "")
    unit = "" if column.unit in PLAIN else f" {column.unit}"
    samples = ", ".join(f"seed {seed}: {value!r}" for seed, value in sorted(aggregate.seeded.items()))
    return PageCell(shown, repr(aggregate.value), f"{aggregate.value!r}{unit}" + (f" ({samples})" if samples else ""))


def _side_effect(effect: SideEffect, short: Mapping[str, str]) -> tuple[str, ...]:
    """A row of the side effects: variant, parameters, MACs, receptive field, note."""
    if effect.note:
        return short[effect.variant], EMPTY, EMPTY, EMPTY, effect.note
    size = "global" if effect.receptive_field is None else f"{text_of(effect.receptive_field)} px"
    sizes = (_with_change(effect.params, effect.params_change), _with_change(round(effect.macs), effect.macs_change))
    return short[effect.variant], *sizes, size, ""


def _with_change(value: int, change: float | None) -> str:
    return f"{value:,}" + (f" ({change:+.2%})" if change else "")


def _failures(summary: Summary) -> Iterator[tuple[str, str, str, str, str]]:
    """Variant, metric, seed, error and traceback of each failed measurement."""
    tracebacks = {(f.variant, f.metric, f.seed): f.traceback for f in summary.results.failures}
    for aggregate in _aggregates(summary):
        variant, metric = aggregate.variant, aggregate.metric
        for seed, message in aggregate.errors:
            yield variant, metric, _seeds([seed]), message, tracebacks.get((variant, metric, seed), "")


def _seeds(seeds: Sequence[int | None]) -> str:
    return ", ".join(EMPTY if seed is None else str(seed) for seed in seeds)


def command(results: Results) -> str:
    """What was run; the plain form where that was not recorded."""
    return str(results.provenance.get("command") or f"bench run {results.provenance.get('file', results.name)}")


def _definition(summary: Summary, column: Column) -> Definition:
    arrow = f"{column.better} {ARROWS[column.better]}" if column.better else "neither"
    again = f"{command(summary.results)} --only {column.metric} --force"
    return Definition(column.metric, column.unit or EMPTY, arrow, column.kind or EMPTY, column.doc or EMPTY, again)


def provenance(results: Results) -> Iterator[tuple[str, str]]:
    """Where the numbers come from, as (name, value), nested names joined by a dot."""
    for name in ("command", "file", "seeds", "workload", "dataset", "recipe", "environment"):
        if name in results.provenance:
            yield from _flat(name, results.provenance[name])
    for name in ("task", "dataset", "device", "dtype", "mode"):
        values = sorted({str(value) for value in results.frame[name].dropna()})
        if values:
            yield f"measured.{name}", ", ".join(values)
    created = sorted(results.frame["created"].dropna())
    if created:
        yield "measured.between", f"{created[0]} and {created[-1]}"


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _flat(f"{name}.{key}", value[key])
    else:
        yield name, text_of(value)
