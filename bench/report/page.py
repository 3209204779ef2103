"""Results -> a folder with Markdown, one self-contained HTML file and the figures. Only reads what was kept.

Rendering the same results again gives the same bytes: nothing here knows the time or draws at random.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from bench.analysis.side_effects import Moved, ledger
from bench.analysis.summary import Aggregate, Column, Summary, axis_text, shared_words, short_name, summarise
from bench.display.figure import names, svg, theme
from bench.display.numbers import ARROWS, PLAIN, Shown, number_text, show, spread_words, style_of
from bench.display.wording import EMPTY, ClaimTold, FrontTable, claims_told, front_table, inference_notes
from bench.registry import text_of
from bench.registry.catalogue import declarations, live
from bench.report.table import markdown, markdown_text
from bench.results.results import Results

GENERATED = "fovbench-figure"
STANDALONE = (
    "<style>svg{color:#1f2328;color-scheme:light dark}@media(prefers-color-scheme:dark){svg{color:#e6edf3}}</style>"
)


@dataclass(frozen=True)
class Figure:
    """A figure of a report: its file's stem, what it shows, and its SVG element."""

    name: str
    caption: str
    element: str

    @property
    def inline(self) -> str:
        """For a page that sets the text's colour: as wide as there is room, named by its caption."""
        head, body = self._parts()
        look = f'style="max-width:calc(1.15 * {head["width"]})" role="img" aria-label="{escape(self.caption)}"'
        return f'<svg viewBox="{head["viewBox"]}" {look}>{body}'.replace("xlink:href", "href")

    @property
    def standalone(self) -> str:
        """For a file of its own, dark where the reader's system is."""
        head, body = self._parts()
        attributes = " ".join(f'{name}="{value}"' for name, value in head.items())
        return f'<?xml version="1.0" encoding="utf-8"?>\n<svg {attributes} class="{GENERATED}">{STANDALONE}{body}\n'

    def _parts(self) -> tuple[dict[str, str], str]:
        """The attributes of the SVG element, and all that follows its opening tag."""
        tag, _, body = self.element.partition(">")
        return dict(re.findall(r'([\w:]+)="([^"]*)"', tag)), body


@dataclass(frozen=True)
class Entry:
    """One measurement of the page's table: what is shown, what it sorts by, and the exact numbers."""

    shown: Shown | None
    sort: str
    exact: str


@dataclass(frozen=True)
class Row:
    name: str
    variant: str
    baseline: bool
    axes: tuple[str, ...]
    aggregates: tuple[Entry, ...]


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
    failures: tuple[tuple[str, str, str, str], ...]
    missing: tuple[tuple[str, str, str], ...]
    definitions: tuple[Definition, ...]
    provenance: tuple[tuple[str, str], ...]
    repair: str
    ledger: tuple[tuple[str, ...], ...]
    inference: tuple[str, ...]
    claims: tuple[ClaimTold, ...]
    fronts: FrontTable | None


def render(results: Results, folder: str | Path, plugins: Sequence[str] = ()) -> Path:
    """Write `folder/<name>/`: index.md, index.html and a .svg per figure; the path of the HTML.

    Figures of an earlier rendering that are no more are removed. `plugins` may bring further plots.
    Raises ValueError where one measurement has two results.
    """
    target = Path(folder) / results.name
    target.mkdir(parents=True, exist_ok=True)
    page = page_of(results, plugins)
    for figure in page.figures:
        _write(target / f"{figure.name}.svg", figure.standalone)
    _remove_stale(target, {f"{figure.name}.svg" for figure in page.figures})
    for name in ("index.md", "index.html"):
        _write(target / name, _templates().get_template(f"{name}.j2").render(page=page))
    return target / "index.html"


def page_of(results: Results, plugins: Sequence[str] = ()) -> Page:
    """What the report says, before it becomes text."""
    summary = summarise(results)
    return Page(
        results=results,
        headline=tuple(headline(summary)),
        heads=tuple(_head(summary, column) for column in summary.columns),
        rows=tuple(_row(summary, variant) for variant in results.variants),
        table=markdown(summary, claims=False),
        shared=shared_words(results),
        figures=tuple(figures(results, plugins)),
        failures=tuple(_failures(summary)),
        missing=tuple((c.variant, c.metric, _seeds(c.missing)) for c in _aggregates(summary) if c.missing),
        definitions=tuple(_definition(summary, column) for column in summary.columns),
        provenance=tuple(provenance(results)),
        repair=f"{command(results)} --rerun failed",
        ledger=tuple(_moved(line, names(results)) for line in ledger(results.signatures, results.baseline)),
        inference=tuple(inference_notes(summary)),
        claims=tuple(claims_told(summary)),
        fronts=front_table(summary, names(results)),
    )


def figures(results: Results, plugins: Sequence[str] = ()) -> Iterator[Figure]:
    """What every registered plot has to show, in their order. Raises ValueError for a doubled name."""
    taken: set[str] = set()
    entries = sorted(declarations(tuple(plugins)).plots, key=lambda entry: (entry.order, entry.name))
    for entry in entries:
        with theme():
            for name, figure in live(entry, plugins).call(results):
                if name in taken:
                    raise ValueError(f"two plots yield a figure '{name}': the second is '{entry.name}'")
                taken.add(name)
                yield Figure(name, str(figure.get_label()) or entry.summary, svg(figure, name))


def headline(summary: Summary) -> Iterator[str]:
    """The answer in short: who is best by the main metric, and how complete the table is."""
    main = summary.main()
    if main is not None and main.better:
        yield _best(summary, main)
    if summary.findings:
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
    return (
        f"{words} {main.metric}: {names(summary.results)[best.variant]} with {number_text(best, style)}{over}{change}."
    )


def _answers(summary: Summary) -> str:
    answers = [finding.answer for finding in summary.findings]
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
    """The metric with its arrow, and what stands small below it: unit, and what the numbers are."""
    below = (style_of(summary, column).scale.unit, spread_words(summary.of(column.metric)))
    return f"{column.metric} {ARROWS.get(column.better or '', '')}".strip(), ", ".join(part for part in below if part)


def _row(summary: Summary, variant: str) -> Row:
    results = summary.results
    axes = tuple(axis_text(results, variant, axis) or EMPTY for axis in results.varied)
    aggregates = tuple(_entry(summary, variant, column) for column in summary.columns)
    return Row(short_name(results, variant), variant, variant == results.baseline, axes, aggregates)


def _entry(summary: Summary, variant: str, column: Column) -> Entry:
    aggregate = summary.aggregates.get((variant, column.metric))
    shown = show(summary, variant, column.metric, style_of(summary, column))
    if aggregate is None or aggregate.value is None:
        return Entry(shown, "", "")
    unit = "" if column.unit in PLAIN else f" {column.unit}"
    samples = ", ".join(f"seed {seed}: {value!r}" for seed, value in sorted(aggregate.seeded.items()))
    return Entry(shown, repr(aggregate.value), f"{aggregate.value!r}{unit}" + (f" ({samples})" if samples else ""))


def _moved(line: Moved, short: Mapping[str, str]) -> tuple[str, ...]:
    """A line of the side effects: variant, parameters, MACs, receptive field, note."""
    if line.note:
        return short[line.variant], EMPTY, EMPTY, EMPTY, line.note
    field = "global" if line.field is None else f"{text_of(line.field)} px"
    sizes = (_with_change(line.params, line.params_change), _with_change(round(line.macs), line.macs_change))
    return short[line.variant], *sizes, field, ""


def _with_change(value: int, change: float | None) -> str:
    return f"{value:,}" + (f" ({change:+.2%})" if change else "")


def _failures(summary: Summary) -> Iterator[tuple[str, str, str, str]]:
    for aggregate in _aggregates(summary):
        for seed, message in aggregate.errors:
            yield aggregate.variant, aggregate.metric, _seeds([seed]), message


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


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bench.report", "templates"),
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(md=markdown_text, code=markdown_code, breaks=breakable)
    return environment


def markdown_code(text: str) -> str:
    """A code span that survives backticks in it and, with its bars escaped, a table's cells."""
    one_line = " ".join(text.split()).replace("|", "\\|")
    fence = "``" if "`" in one_line else "`"
    pad = " " if "`" in one_line else ""
    return f"{fence}{pad}{one_line}{pad}{fence}"


def breakable(text: str) -> Markup:
    """With places where a browser may break the line: within a name: after its bracket, underscore, comma, dot."""
    return Markup(re.sub(r"((?<=\w)\(|_|,(?=\S)|\.(?=[A-Za-z]))", r"\1<wbr>", str(escape(text))))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _remove_stale(folder: Path, current: set[str]) -> None:
    """Only what an earlier rendering wrote, which its mark tells."""
    for path in sorted(folder.glob("*.svg")):
        if path.name not in current and GENERATED in path.read_text(encoding="utf-8")[:2000]:
            path.unlink()
