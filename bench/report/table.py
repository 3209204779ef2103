"""Results -> a table as Markdown, CSV, LaTeX or JSON lines. Only reads."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from bench.analysis.claims import ClaimResult, ComparisonResult
from bench.analysis.summary import Summary
from bench.display.looks import look_objects
from bench.display.names import axis_text, shared_words, varied_words
from bench.display.numbers import DELTA, Shown, heading, show, spread_words, style_of
from bench.display.tuning import tuning_objects
from bench.display.wording import EMPTY
from bench.report.choice import EVERYTHING, WHOLE, Choice, Layout, ShownColumn, layout_of
from bench.report.fields import cells, csv_columns, csv_values, ends, json_object, number
from bench.report.latex import latex
from bench.report.notes import claim_lines, notes_under
from bench.results.frame import frame_with
from bench.results.results import Results
from bench.spec.characters import csv_field, forbidden_character, printable

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["md", "csv", "latex", "json"]


def table(results: Results, format: Format, choice: Choice = EVERYTHING) -> str:
    """One row per variant, in the ablation's order unless `choice` has another, excluded ones with their reason.

    `md` and `latex` are for people: scaled and rounded. `csv` (a row per variant) and `json` (an
    object per variant and metric, one a line) are exact, in base units. Raises ValueError for
    another format, or where one measurement has two results; TableError for a name in `choice` that the table lacks.
    """
    if format not in FORMATS:
        raise ValueError(f"no table format is called '{format}' (there is: {', '.join(FORMATS)})")
    return FORMATS[format](layout_of(results, choice))


def markdown(layout: Layout, claims: bool = True) -> str:
    """A pipe table and the notes under it, with or without the claims of the source."""
    head, *rows = displayed(layout)
    rules = ["---:" if column.kind == "metric" and column.part != "verdict" else "---" for column in layout.columns]
    texts = [[markdown_text(text) for text in row] for row in rows]
    lines = [pipes([markdown_text(text) for text in head]), pipes(rules)]
    lines += [pipes(_in_bold(layout, *pair)) for pair in zip(layout.variants, texts, strict=True)]
    notes = [f"- {markdown_text(note)}" for note in all_notes(layout, claims)]
    return "\n".join([*lines, "", *notes]) + "\n"


def all_notes(layout: Layout, claims: bool = True) -> list[str]:
    """What stands under the table, with or without the claims of the source."""
    shared = [text for text in (shared_words(layout.results),) if text]
    return [*shared, *notes_under(layout), *(claim_lines(layout) if claims else [])]


def _in_bold(layout: Layout, variant: str, texts: Sequence[str]) -> list[str]:
    """A row with the best numbers in bold; what follows a number stays plain."""
    pairs = zip(layout.columns, texts, strict=True)
    return [_bold(layout, variant, column, text) for column, text in pairs]


def _bold(layout: Layout, variant: str, column: ShownColumn, text: str) -> str:
    shown = _shown(layout, variant, column.name) if is_best(layout, variant, column) else None
    number = markdown_text(shown.number) if shown else ""
    return f"**{number}**{text.removeprefix(number)}" if number else text


def is_best(layout: Layout, variant: str, column: ShownColumn) -> bool:
    """Whether a number of the table is to be marked as its metric's best."""
    return column.part in ("value", WHOLE) and (variant, column.name) in layout.best


def displayed(layout: Layout) -> list[list[str]]:
    """The table in words: a head, then a row per variant."""
    head = [_head(layout, column) for column in layout.columns]
    return [head, *([_text(layout, variant, column) for column in layout.columns] for variant in layout.variants)]


def _head(layout: Layout, column: ShownColumn) -> str:
    """The heading, with what its numbers are where they are not single."""
    if column.kind != "metric":
        return column.kind if column.kind == "variant" else column.name
    metric = layout.summary.column(column.name)
    if column.part not in ("value", WHOLE):
        return f"{DELTA if column.part == 'difference' else 'verdict on'} {metric.name or metric.metric}"
    words = spread_words(layout.summary.of(column.name))
    return heading(layout.summary, metric) + (f", {words}" if words else "")


def _text(layout: Layout, variant: str, column: ShownColumn) -> str:
    if column.kind == "variant":
        return layout.name(variant, column)
    if column.kind == "varied":
        return varied_words(layout.results, variant) or EMPTY
    if column.kind == "axis":
        return axis_text(layout.results, variant, column.name) or EMPTY
    shown = _shown(layout, variant, column.name)
    return _part(shown, column.part) if shown else EMPTY


def _shown(layout: Layout, variant: str, metric: str) -> Shown | None:
    return show(layout.summary, variant, metric, style_of(layout.summary, layout.summary.column(metric)))


def _part(shown: Shown, part: str) -> str:
    """A part of an aggregate in words; the notes belong to the number."""
    if part == WHOLE:
        return shown.text
    if part == "value":
        return Shown(shown.number, shown.notes, "").text
    return (shown.difference if part == "difference" else shown.verdict) or EMPTY


def markdown_text(text: str) -> str:
    """With control characters and Markdown's own signs escaped. An underscore within a word means nothing to it."""
    one_line = " ".join(printable(text).split())
    escaped = re.sub(r"([\\`*\[\]<>|#~])", r"\\\1", one_line)
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", escaped)


def pipes(entries: Sequence[str]) -> str:
    """A row of a Markdown table; the entries are Markdown."""
    return "| " + " | ".join(entries) + " |"


def csv_text(layout: Layout) -> str:
    """A row per variant, excluded ones last; a metric's columns begin with its name. Nothing is rounded."""
    columns, *rows = _csv_rows(layout)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([[csv_field(value) for value in row] for row in (columns, *rows)])
    return out.getvalue()


def _csv_rows(layout: Layout) -> list[list[Any]]:
    """The names of the columns, then a row per variant; what it lacks is an empty text.

    Where the caller named columns, `baseline`, `excluded`, labels and excluded variants are left out.
    """
    whole = not layout.choice.columns
    rows = [_csv_row(layout, variant, "") for variant in layout.variants]
    rows += [_csv_row(layout, variant, because) for variant, because in layout.results.excluded if whole]
    columns = _csv_names(layout, {name for row in rows for name in row})
    return [columns, *([row.get(name, "") for name in columns] for row in rows)]


def _csv_names(layout: Layout, used: Collection[str]) -> list[str]:
    if not layout.choice.columns:
        labels = ["label"] if layout.results.labels and "label" not in layout.results.varied else []
        names = ["variant", *labels, "baseline", "excluded", *layout.axes]
    else:
        names = ["variant" if column.kind == "variant" else column.name for column in layout.columns if not column.part]
    shown = [(column.name, column.part) for column in layout.columns if column.kind == "metric"]
    return list(dict.fromkeys([*names, *(n for n in csv_columns(shown, layout.choice.best) if n in used)]))


def _csv_row(layout: Layout, variant: str, excluded: str) -> dict[str, Any]:
    results = layout.results
    row: dict[str, Any] = {"label": results.labels.get(variant, "")}
    row |= {"variant": variant, "baseline": variant == results.baseline, "excluded": excluded}
    row |= {axis: axis_text(results, variant, axis) for axis in layout.axes}
    row |= {"varied": varied_words(results, variant)} if "varied" not in row else {}
    for cell in cells(layout.summary, variant):
        row |= csv_values(cell)
        row |= {f"{cell.column.metric}_best": (variant, cell.column.metric) in layout.best}
    return row


def as_frame(results: Results, choice: Choice = EVERYTHING) -> pd.DataFrame:
    """The table as a DataFrame, a row per variant: the columns of the CSV form, numbers as numbers."""
    columns, *rows = _csv_rows(layout_of(results, choice))
    values = [{name: _parsed(str(value)) for name, value in zip(columns, row, strict=True)} for row in rows]
    whole = [name for name in columns if _is_whole([row[name] for row in values])]
    frame = frame_with(values, columns).astype(dict.fromkeys(whole, "Int64"))
    return frame.set_index("variant") if "variant" in columns else frame


def _is_whole(values: Sequence[Any]) -> bool:
    """Whether a column has integers and gaps: pandas would make them floats."""
    return None in values and {type(value) for value in values} == {int, type(None)}


def _parsed(text: str) -> bool | int | float | str | None:
    """A CSV field as a value, to the last digit; pandas' own reader rounds, and takes words such as `null` for gaps."""
    if text in ("", "True", "False"):
        return None if text == "" else text == "True"
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|-?inf|nan", text) else text


def json_lines(layout: Layout) -> str:
    """An object per variant and metric, one a line, with all samples and seeds.

    Then searches, adaptive seeds, exclusions and claims.
    """
    pairs = ((variant, cell) for variant in layout.variants for cell in cells(layout.summary, variant))
    objects = [
        *(_json_cell(layout, variant, json_object(cell, layout.choice.delta)) for variant, cell in pairs),
        *tuning_objects(layout.results.tuning),
        *look_objects(layout.summary),
        *_json_excluded(layout.summary),
        *_json_claims(layout),
    ]
    return "".join(_json_line(each) + "\n" for each in objects)


def _json_cell(layout: Layout, variant: str, entry: dict[str, Any]) -> dict[str, Any]:
    """The object of a variant and metric, with `best` where best numbers are to be marked."""
    return entry | ({"best": (variant, entry["metric"]) in layout.best} if layout.choice.best else {})


def _json_line(entry: dict[str, Any]) -> str:
    """JSON in UTF-8; with escapes throughout where it would hold a forbidden character."""
    text = json.dumps(entry, ensure_ascii=False, allow_nan=False)
    return json.dumps(entry, allow_nan=False) if forbidden_character(text) else text


def _json_claims(layout: Layout) -> Iterator[dict[str, Any]]:
    for claim in layout.claims:
        for comparison in claim.comparisons or (None,):
            yield {**_json_claim(claim), **(_json_comparison(layout.every, comparison) if comparison else {})}


def _json_claim(claim: ClaimResult) -> dict[str, Any]:
    missing: dict[str, Any] = dict.fromkeys(("variant", "metric", "value", "unit", "better", "left", "right"))
    return {
        **missing,
        "samples": [],
        "error": claim.reason or None,
        "status": "claim",
        "claim": claim.statement.says,
        "source": claim.statement.source,
        "verdict": claim.answer,
        "interval": None,
        "interval_level": None,
        "planned": None,
        "basis": None,
    }


def _json_comparison(summary: Summary, comparison: ComparisonResult) -> dict[str, Any]:
    return {
        "metric": comparison.metric,
        "value": number(comparison.difference),
        "unit": "" if comparison.statistic else summary.column(comparison.metric).unit,
        "left": number(comparison.left),
        "right": number(comparison.right),
        "interval": ends(comparison.interval),
        "interval_level": comparison.level if comparison.interval else None,
        "planned": comparison.planned,
        "basis": comparison.basis,
    }


def _json_excluded(summary: Summary) -> Iterator[dict[str, Any]]:
    for variant, because in summary.results.excluded:
        for column in summary.columns:
            shared: dict[str, Any] = {"variant": variant, "metric": column.metric, "value": None, "unit": column.unit}
            shared |= {"better": column.better, "samples": [], "error": None}
            yield {**shared, "status": "excluded", "because": because}


FORMATS: Mapping[str, Callable[[Layout], str]] = {
    "md": markdown,
    "csv": csv_text,
    "latex": latex,
    "json": json_lines,
}
