"""Results -> a table as Markdown, CSV, LaTeX or JSON lines. Only reads."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from bench.analysis.aggregate import Column
from bench.analysis.claims import ClaimResult, ComparisonResult
from bench.analysis.summary import Summary, summarise
from bench.display.names import axis_text, shared_words, short_name
from bench.display.numbers import DELTA, heading, show, spread_words, style_of
from bench.display.wording import EMPTY, claim_text, claim_texts, inference_notes, timing_notes
from bench.report.fields import cells, csv_columns, csv_values, ends, json_object, number
from bench.results.results import Results
from bench.spec.characters import csv_field, forbidden_character, printable

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["md", "csv", "latex", "json"]
Naming = Callable[[Results, str], str]


def full_name(results: Results, variant: str) -> str:
    """The canonical name."""
    return variant


def table(results: Results, format: Format) -> str:
    """One row per variant, in the ablation's order, excluded variants with their reason.

    `md` and `latex` are for people: scaled and rounded. `csv` (a row per variant) and `json` (an
    object per variant and metric, one a line) are exact, in base units. Raises ValueError for
    another format, or where one measurement has two results.
    """
    if format not in FORMATS:
        raise ValueError(f"no table format is called '{format}' (there is: {', '.join(FORMATS)})")
    return FORMATS[format](summarise(results))


def markdown(summary: Summary, claims: bool = True) -> str:
    """A pipe table and the notes under it, with or without the claims of the source."""
    rows = [[markdown_text(text) for text in row] for row in displayed(summary, short_name)]
    rules = ["---" if i <= len(summary.results.varied) else "---:" for i in range(len(rows[0]))]
    lines = [_pipes(rows[0]), _pipes(rules), *(_pipes(row) for row in rows[1:])]
    shared = [text for text in (shared_words(summary.results),) if text]
    answers = claim_lines(summary) if claims else []
    notes = [f"- {markdown_text(note)}" for note in (*shared, *notes_under(summary, short_name), *answers)]
    return "\n".join([*lines, "", *notes]) + "\n"


def displayed(summary: Summary, named: Naming = full_name) -> list[list[str]]:
    """The table in words: a head, then a row per variant."""
    results = summary.results
    heads = [head_of(summary, column) for column in summary.columns]
    rows = [["variant", *results.varied, *heads]]
    for variant in results.variants:
        axes = [axis_text(results, variant, axis) or EMPTY for axis in results.varied]
        aggregates = [_text(summary, variant, column) for column in summary.columns]
        mark = " (baseline)" if variant == results.baseline else ""
        rows.append([named(results, variant) + mark, *axes, *aggregates])
    return rows


def head_of(summary: Summary, column: Column) -> str:
    """The heading, with what its numbers are where they are not single."""
    words = spread_words(summary.of(column.metric))
    return heading(summary, column) + (f", {words}" if words else "")


def _text(summary: Summary, variant: str, column: Column) -> str:
    shown = show(summary, variant, column.metric, style_of(summary, column))
    return shown.text if shown else EMPTY


def notes_under(summary: Summary, named: Naming = full_name) -> list[str]:
    """What the differences and their intervals are, and the excluded variants, each with its reason."""
    results = summary.results
    notes = [f"{DELTA}: difference from {named(results, results.baseline)}, paired by seed where there are seeds"]
    notes += [*timing_notes(summary, {v: named(results, v) for v in results.variants}), *inference_notes(summary)]
    return notes + [f"excluded: {named(results, variant)}, because {because}" for variant, because in results.excluded]


def claim_lines(summary: Summary) -> list[str]:
    """Each claim of the source with its answer."""
    return [f"claim {claim_text(claim)}" for claim in claim_texts(summary)]


def markdown_text(text: str) -> str:
    """With control characters and Markdown's own signs escaped. An underscore within a word means nothing to it."""
    one_line = " ".join(printable(text).split())
    escaped = re.sub(r"([\\`*\[\]<>|#~])", r"\\\1", one_line)
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", escaped)


def _pipes(aggregates: Sequence[str]) -> str:
    return "| " + " | ".join(aggregates) + " |"


LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",
    "]": "{]}",
    DELTA: r"$\Delta$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{MINUS SIGN}": "$-$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{MICRO SIGN}": r"$\mu$",
    "\N{UPWARDS ARROW}": r"$\uparrow$",
    "\N{DOWNWARDS ARROW}": r"$\downarrow$",
    "\N{EN DASH}": "--",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
}


def latex_text(text: str) -> str:
    """With control characters and LaTeX's signs escaped. A bracket is wrapped: after `\\\\` it would be an argument."""
    return "".join(LATEX.get(sign, sign) for sign in " ".join(printable(text).split()))


def latex(summary: Summary) -> str:
    """A booktabs table with caption, label and the notes under it."""
    head, *rows = [[latex_text(text) for text in row] for row in displayed(summary, short_name)]
    columns = "l" * (1 + len(summary.results.varied)) + "r" * len(summary.columns)
    under = (*notes_under(summary, short_name), *claim_lines(summary))
    texts = [note for note in (shared_words(summary.results), *under) if note]
    notes = [rf"\par\smallskip\footnotesize {latex_text(note)}" for note in texts]
    return "\n".join([
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_text(summary.results.question)}}}",
        rf"\label{{tab:{re.sub('[^A-Za-z0-9]+', '-', summary.results.name)}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        *notes,
        r"\end{table}",
        "",
    ])  # fmt: skip


def csv_text(summary: Summary) -> str:
    """A row per variant, excluded ones last; a metric's columns begin with its name. Nothing is rounded."""
    columns, *rows = _csv_rows(summary)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([[csv_field(value) for value in row] for row in (columns, *rows)])
    return out.getvalue()


def _csv_rows(summary: Summary) -> list[list[Any]]:
    """The names of the columns, then a row per variant; what it lacks is an empty text."""
    rows = [_csv_row(summary, variant, "") for variant in summary.results.variants]
    rows += [_csv_row(summary, variant, because) for variant, because in summary.results.excluded]
    used = {name for row in rows for name in row}
    columns = ["variant", "baseline", "excluded", *summary.results.varied]
    columns += [name for name in csv_columns(summary) if name in used]
    return [columns, *([row.get(name, "") for name in columns] for row in rows)]


def _csv_row(summary: Summary, variant: str, excluded: str) -> dict[str, Any]:
    results = summary.results
    row: dict[str, Any] = {"variant": variant, "baseline": variant == results.baseline, "excluded": excluded}
    row |= {axis: axis_text(results, variant, axis) for axis in results.varied}
    for cell in cells(summary, variant):
        row |= csv_values(cell)
    return row


def as_frame(results: Results) -> pd.DataFrame:
    """The table as a DataFrame, a row per variant: the columns of the CSV form, numbers as numbers."""
    import pandas as pd

    columns, *rows = _csv_rows(summarise(results))
    values = [{name: _parsed(str(value)) for name, value in zip(columns, row, strict=True)} for row in rows]
    return pd.DataFrame(values).set_index("variant")


def _parsed(text: str) -> bool | int | float | str | None:
    """A CSV field as a value, to the last digit; pandas' own reader rounds, and takes words such as `null` for gaps."""
    if text in ("", "True", "False"):
        return None if text == "" else text == "True"
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    return float(text) if re.fullmatch(r"-?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|-?inf|nan", text) else text


def json_lines(summary: Summary) -> str:
    """An object per variant and metric, one a line, with all samples and their seeds; then exclusions and claims."""
    objects = [
        *(json_object(cell) for variant in summary.results.variants for cell in cells(summary, variant)),
        *_json_excluded(summary),
        *_json_claims(summary),
    ]
    return "".join(_json_line(each) + "\n" for each in objects)


def _json_line(entry: dict[str, Any]) -> str:
    """JSON in UTF-8; with escapes throughout where it would hold a forbidden character."""
    text = json.dumps(entry, ensure_ascii=False, allow_nan=False)
    return json.dumps(entry, allow_nan=False) if forbidden_character(text) else text


def _json_claims(summary: Summary) -> Iterator[dict[str, Any]]:
    for claim in summary.claims:
        for comparison in claim.comparisons or (None,):
            yield {**_json_claim(claim), **(_json_comparison(summary, comparison) if comparison else {})}


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
        "basis": None,
    }


def _json_comparison(summary: Summary, comparison: ComparisonResult) -> dict[str, Any]:
    return {
        "metric": comparison.metric,
        "value": number(comparison.difference),
        "unit": summary.column(comparison.metric).unit,
        "left": number(comparison.left),
        "right": number(comparison.right),
        "interval": ends(comparison.interval),
        "interval_level": comparison.level if comparison.interval else None,
        "basis": comparison.basis,
    }


def _json_excluded(summary: Summary) -> Iterator[dict[str, Any]]:
    for variant, because in summary.results.excluded:
        for column in summary.columns:
            shared: dict[str, Any] = {"variant": variant, "metric": column.metric, "value": None, "unit": column.unit}
            shared |= {"better": column.better, "samples": [], "error": None}
            yield {**shared, "status": "excluded", "because": because}


FORMATS: Mapping[str, Callable[[Summary], str]] = {
    "md": markdown,
    "csv": csv_text,
    "latex": latex,
    "json": json_lines,
}
