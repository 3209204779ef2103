"""Main effects and interactions as Markdown, CSV, LaTeX or JSON lines, beside the table of variants. Only reads."""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bench.analysis.factorial import COLUMNS, EffectsError, column_of, effects_frame
from bench.analysis.summary import summarise
from bench.display.factorial import EffectsTable, effects_table
from bench.report.latex import breakable
from bench.report.table import markdown_text, pipes
from bench.results.results import Results
from bench.spec.characters import csv_field

WIDTHS = (0.14, 0.36, 0.25, 0.14)
"""Of the columns in LaTeX, in widths of the text; the rest is between them."""
ROWS = 20
"""Rows of a float in LaTeX."""


def effects_text(results: Results, form: str, metrics: Sequence[str] = ()) -> str:
    """The effects on each of these metrics, or on the main one, in a format of `bench.report.table.table`.

    `md` and `latex` are for people; `csv` and `json` are exact, a row or line for each effect, with the columns of
    `bench.analysis.factorial.COLUMNS` after the metric. Raises EffectsError for a metric that the table does not have,
    and where no two axes are crossed.
    """
    summary = summarise(results)
    chosen = [column_of(summary, metric).metric for metric in metrics or ("",)]
    return FORMATS[form](results, chosen)


def _tables(results: Results, metrics: Sequence[str]) -> Iterator[EffectsTable]:
    for metric in metrics:
        table = effects_table(summarise(results), metric)
        if table is None:
            effects_frame(results, metric)  # raises what is missing
            raise EffectsError(f"'{results.name}' has no effects on {metric}")
        yield table


def _markdown(results: Results, metrics: Sequence[str]) -> str:
    blocks = []
    for table in _tables(results, metrics):
        lines = [pipes([markdown_text(head) for head in table.heads]), pipes(["---"] * len(table.heads))]
        lines += [pipes([markdown_text(text) for text in row.texts]) for row in table.rows]
        blocks.append("\n".join([*lines, "", *(f"- {markdown_text(note)}" for note in table.notes)]))
    return "\n\n".join(blocks) + "\n"


def _rows(results: Results, metrics: Sequence[str]) -> Iterator[dict[str, Any]]:
    for metric in metrics:
        for record in effects_frame(results, metric).to_dict("records"):
            values = {str(name): None if value is None or value != value else value for name, value in record.items()}
            yield {"metric": metric, **values}


def _csv(results: Results, metrics: Sequence[str]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, ("metric", *COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_field(value) for name, value in row.items()} for row in _rows(results, metrics))
    return buffer.getvalue()


def _json(results: Results, metrics: Sequence[str]) -> str:
    return "".join(json.dumps(row, allow_nan=False) + "\n" for row in _rows(results, metrics))


def _latex(results: Results, metrics: Sequence[str]) -> str:
    return "\n".join(_float(table, rows) for table in _tables(results, metrics) for rows in _parts(table))


def _parts(table: EffectsTable) -> Iterator[list[tuple[str, ...]]]:
    texts = iter([row.texts for row in table.rows])
    while rows := list(itertools.islice(texts, ROWS)):
        yield rows


def _float(table: EffectsTable, rows: Sequence[Sequence[str]]) -> str:
    """A float of so many rows, no wider than the text: every column breaks its lines."""
    columns = "".join(rf"p{{{width}\textwidth}}" for width in WIDTHS)
    lines = [r"\begin{table}", r"\footnotesize\raggedright", rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}", r"\hline"]
    lines += [_line(table.heads), r"\hline", *map(_line, rows), r"\hline", r"\end{tabular}"]
    lines += [rf"\par {breakable(note)}" for note in table.notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _line(texts: Sequence[str]) -> str:
    return " & ".join(rf"\raggedright {breakable(text)}" for text in texts) + r" \tabularnewline"


FORMATS: Mapping[str, Callable[[Results, Sequence[str]], str]] = {
    "md": _markdown,
    "csv": _csv,
    "latex": _latex,
    "json": _json,
}
