"""Results -> a table as Markdown, CSV, LaTeX or JSON lines. Only reads what was kept."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from bench.analysis.deltas import Delta
from bench.analysis.summary import Aggregate, Column, Summary, axis_text, shared_words, short_name, summarise
from bench.display.numbers import DELTA, heading, show, spread_words, style_of
from bench.display.wording import EMPTY, claim_text, claims_told, inference_notes
from bench.results.results import Results
from bench.stats.inference import Interval

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
    said = [text for text in (shared_words(summary.results),) if text]
    told = claim_lines(summary) if claims else []
    notes = [f"- {markdown_text(note)}" for note in (*said, *notes_under(summary, short_name), *told)]
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
    notes += inference_notes(summary)
    return notes + [f"excluded: {named(results, variant)}, because {because}" for variant, because in results.excluded]


def claim_lines(summary: Summary) -> list[str]:
    """Each claim of the source with what the runs say to it."""
    return [f"claim {claim_text(told)}" for told in claims_told(summary)]


def markdown_text(text: str) -> str:
    """With Markdown's own signs escaped. An underscore within a word means nothing to it, and stays."""
    one_line = " ".join(text.split())
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
    """With LaTeX's own signs escaped. A bracket is wrapped, since after `\\\\` it would be an argument."""
    return "".join(LATEX.get(sign, sign) for sign in " ".join(text.split()))


def latex(summary: Summary) -> str:
    """A booktabs table with caption, label and the notes under it."""
    head, *rows = [[latex_text(text) for text in row] for row in displayed(summary, short_name)]
    columns = "l" * (1 + len(summary.results.varied)) + "r" * len(summary.columns)
    under = (*notes_under(summary, short_name), *claim_lines(summary))
    told = [note for note in (shared_words(summary.results), *under) if note]
    notes = [rf"\par\smallskip\footnotesize {latex_text(note)}" for note in told]
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


CSV_PARTS = (
    "",
    "_unit",
    "_words",
    "_n",
    "_sd",
    "_q1",
    "_q3",
    "_difference",
    "_difference_sd",
    "_difference_low",
    "_difference_high",
    "_verdict",
    "_coverage",
    "_status",
    "_error",
)


def csv_text(summary: Summary) -> str:
    """A row per variant, excluded ones last; a metric's columns begin with its name. Nothing is rounded."""
    rows = [_csv_row(summary, variant, "") for variant in summary.results.variants]
    rows += [_csv_row(summary, variant, because) for variant, because in summary.results.excluded]
    fields = _csv_fields(summary, rows)
    out = io.StringIO()
    writer = csv.DictWriter(out, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _csv_fields(summary: Summary, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The heads that some row uses, each metric's together."""
    used = {key for row in rows for key in row}
    parts = [f"{column.metric}{part}" for column in summary.columns for part in CSV_PARTS]
    leading = ["variant", "baseline", "excluded", *summary.results.varied]
    return leading + [part for part in parts if part in used]


def _csv_row(summary: Summary, variant: str, excluded: str) -> dict[str, Any]:
    results = summary.results
    row: dict[str, Any] = {"variant": variant, "baseline": variant == results.baseline, "excluded": excluded}
    row |= {axis: axis_text(results, variant, axis) for axis in results.varied}
    for column in summary.columns:
        aggregate = summary.aggregates.get((variant, column.metric))
        row |= dict(_csv_fields_of(summary, column, aggregate)) if aggregate else {}
    return row


def _csv_fields_of(summary: Summary, column: Column, aggregate: Aggregate) -> Iterator[tuple[str, Any]]:
    """Only the columns that this metric has something to say in."""
    name, delta = column.metric, summary.delta(aggregate.variant, column.metric)
    change = delta.difference if delta else None
    yield name, _number(aggregate.value)
    yield f"{name}_unit", column.unit
    if aggregate.words:
        yield f"{name}_words", aggregate.words
    if aggregate.seeded or any(seed is not None for seed in aggregate.missing):
        yield f"{name}_n", aggregate.count
    if aggregate.spread is not None:
        yield f"{name}_sd", _number(aggregate.spread)
    if aggregate.quartiles:
        yield from zip((f"{name}_q1", f"{name}_q3"), aggregate.quartiles, strict=True)
    if change:
        yield f"{name}_difference", _number(change.value)
    if change and change.spread is not None:
        yield f"{name}_difference_sd", _number(change.spread)
    if delta and delta.interval:
        yield from zip((f"{name}_difference_low", f"{name}_difference_high"), map(_number, delta.interval), strict=True)
    if delta and delta.verdict and column.kind == "accuracy":
        yield f"{name}_verdict", delta.verdict
    if aggregate.coverage < 1:
        yield f"{name}_coverage", aggregate.coverage
    if aggregate.status != "measured":
        yield f"{name}_status", aggregate.status
        yield f"{name}_error", "; ".join(dict.fromkeys(" ".join(m.split()) for _, m in aggregate.errors))


def json_lines(summary: Summary) -> str:
    """An object per variant and metric, one a line. `samples` stand as they came, `seeds` beside them."""
    objects = [*_json_objects(summary), *_json_excluded(summary), *_json_claims(summary)]
    return "".join(json.dumps(o, ensure_ascii=False, allow_nan=False) + "\n" for o in objects)


def _json_objects(summary: Summary) -> Iterator[dict[str, Any]]:
    for variant in summary.results.variants:
        for column in summary.columns:
            aggregate = summary.aggregates.get((variant, column.metric))
            if aggregate is not None:
                yield _json_object(summary, column, aggregate)


def _json_object(summary: Summary, column: Column, aggregate: Aggregate) -> dict[str, Any]:
    delta = summary.delta(aggregate.variant, aggregate.metric)
    change = delta.difference if delta else None
    return {
        "variant": aggregate.variant,
        "axes": {axis: axis_text(summary.results, aggregate.variant, axis) for axis in summary.results.varied},
        "metric": aggregate.metric,
        "value": _number(aggregate.value),
        "unit": column.unit,
        "better": column.better,
        "kind": column.kind,
        "spread": _number(aggregate.spread),
        "quartiles": list(aggregate.quartiles) if aggregate.quartiles else None,
        "n": aggregate.count,
        "words": aggregate.words or None,
        "samples": [_number(value) for _, value in aggregate.samples],
        "seeds": [seed for seed, _ in aggregate.samples],
        "exact": aggregate.exact,
        "difference": _number(change.value) if change else None,
        "difference_spread": _number(change.spread) if change else None,
        "pairs": change.pairs if change else None,
        **_json_inferred(delta),
        "coverage": aggregate.coverage,
        "status": aggregate.status,
        "error": "; ".join(dict.fromkeys(message for _, message in aggregate.errors)) or None,
        "errors": [{"seed": seed, "error": message} for seed, message in aggregate.errors],
        "not_measured": list(aggregate.missing),
    }


def _json_inferred(delta: Delta | None) -> dict[str, Any]:
    """The corrected interval with its level and verdict; beside it the 95 % intervals of either noise alone."""
    known = delta.known if delta and delta.interval else None
    return {
        "verdict": delta.verdict if delta else None,
        "interval": _ends(delta.interval) if delta else None,
        "interval_level": delta.level if delta and delta.interval else None,
        "interval_of_seeds": _ends(known.training()) if known else None,
        "interval_of_evaluation": _ends(known.evaluation()) if known else None,
        "basis": known.basis if known else None,
    }


def _ends(interval: Interval | None) -> list[float | int | str | None] | None:
    return None if interval is None else [_number(end) for end in interval]


def _json_claims(summary: Summary) -> Iterator[dict[str, Any]]:
    for finding in summary.findings:
        for step in finding.steps or (None,):
            yield {
                "variant": None,
                "metric": step.metric if step else None,
                "value": _number(step.difference) if step else None,
                "unit": summary.column(step.metric).unit if step else None,
                "better": None,
                "samples": [],
                "error": finding.reason or None,
                "status": "claim",
                "claim": finding.statement.says,
                "source": finding.statement.source,
                "verdict": finding.answer,
                "left": _number(step.left) if step else None,
                "right": _number(step.right) if step else None,
                "interval": _ends(step.interval) if step else None,
                "interval_level": step.level if step and step.interval else None,
                "basis": step.basis if step else None,
            }


def _json_excluded(summary: Summary) -> Iterator[dict[str, Any]]:
    for variant, because in summary.results.excluded:
        for column in summary.columns:
            yield {
                "variant": variant,
                "metric": column.metric,
                "value": None,
                "unit": column.unit,
                "better": column.better,
                "samples": [],
                "error": None,
                "status": "excluded",
                "because": because,
            }


def _number(value: float | None) -> float | int | str | None:
    """A whole number as an int; what JSON has no number for (inf, nan) as its name."""
    if value is None:
        return None
    if not math.isfinite(value):
        return str(value)
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


FORMATS: Mapping[str, Callable[[Summary], str]] = {
    "md": markdown,
    "csv": csv_text,
    "latex": latex,
    "json": json_lines,
}
