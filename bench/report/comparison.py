"""Two reports on one page: the metrics that both have, on common axes. Other data or another recipe is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from bench.analysis.aggregate import Column
from bench.analysis.leading import main_column
from bench.analysis.summary import Summary, summarise
from bench.display.answers import answer_text, plain_names
from bench.display.figure import in_order
from bench.display.numbers import heading, number_text, style_of
from bench.registry.writing import write_text
from bench.report.forest import dot
from bench.report.frontier import differing_settings
from bench.report.render import SITE, templates
from bench.results.results import Results

FOLDER = "compare"


class ComparisonError(ValueError):
    """Two reports whose numbers must not stand on one axis."""


@dataclass(frozen=True)
class ComparedRow:
    """A variant of one of the two with its number, and where that lies on the common axis."""

    ablation: str
    variant: str
    number: str
    drawing: Markup


@dataclass(frozen=True)
class SharedMetric:
    """A metric of both: its heading, the ends of the common axis as text, and the rows of one after the other."""

    heading: str
    low: str
    high: str
    rows: tuple[ComparedRow, ...]


def compare_reports(one: Results, other: Results, folder: str | Path = SITE) -> Path:
    """Write `folder/compare/ONE-OTHER/index.html`; its path.

    Raises ComparisonError where data or recipe differ, with the keys, or where no metric is shared.
    """
    both = f"{one.name} and {other.name} cannot be compared"
    if differing := differing_settings(one, other):
        raise ComparisonError(f"{both}: {'; '.join(differing)}\nOnly reports of equal data and recipe share an axis.")
    shared = list(shared_metrics(one, other))
    if not shared:
        raise ComparisonError(f"{both}: no metric has numbers in both")
    answers = [(each, answer_text(summarise(each)).sentence) for each in (one, other)]
    text = templates().get_template("comparison.html.j2").render(answers=answers, metrics=shared)
    return write_text(Path(folder) / FOLDER / f"{one.name}-{other.name}" / "index.html", text)


def shared_metrics(one: Results, other: Results) -> Iterator[SharedMetric]:
    """What both measured, with numbers of one unit: first the metric that answers the first question."""
    first, second = summarise(one), summarise(other)
    theirs = {(column.metric, column.unit) for column in second.columns if _values(second, column)}
    shared = [c for c in first.columns if (c.metric, c.unit) in theirs and _values(first, c) and c.unit != "hash"]
    main = main_column(first)
    for column in sorted(shared, key=lambda each: each != main):
        yield _shared(first, second, column)


def _values(summary: Summary, column: Column) -> list[float]:
    return [each.value for each in summary.of(column.metric) if each.value is not None]


def _shared(first: Summary, second: Summary, column: Column) -> SharedMetric:
    """The axis covers every value and its standard deviation."""
    ends = [end for summary in (first, second) for end in _ends(summary, column)]
    low, high = min(ends), max(ends)
    finest = max((first, second), key=lambda summary: max(map(abs, _values(summary, column))))
    style = style_of(finest, finest.column(column.metric))
    rows = [row for summary in (first, second) for row in _rows(summary, column, finest, (low, high))]
    return SharedMetric(heading(finest, column), style.text(low), style.text(high), tuple(rows))


def _ends(summary: Summary, column: Column) -> Iterator[float]:
    for each in summary.of(column.metric):
        if each.value is not None:
            yield from (each.value - (each.spread or 0.0), each.value + (each.spread or 0.0))


def _rows(summary: Summary, column: Column, styled: Summary, ends: Sequence[float]) -> Iterator[ComparedRow]:
    """All rows have the scale and decimals of `styled`."""
    style, short = style_of(styled, styled.column(column.metric)), plain_names(summary.results)
    for variant in in_order(summary.results):
        each = summary.aggregates.get((variant, column.metric))
        if each is not None and each.value is not None:
            number = number_text(each, style)
            drawing = dot(number, each.value, each.spread, *ends)
            yield ComparedRow(summary.results.name, short[variant], number, drawing)
