"""Texts that would run in a terminal or a spreadsheet, or break a page, are escaped in every output."""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import bench.cli
from bench.report.exports import export
from bench.report.render import render, render_markdown
from bench.report.table import FORMATS, as_frame, table
from bench.results.frame import frame_with
from bench.results.results import Results
from bench.spec.characters import csv_field, forbidden_character, from_csv_field

FIELDS = ("error", "value", "seed")
HOSTILE = "=cmd|'/C calc'!A0 \x1b[31m\x07\x00\x9b \u202e\u200f <script>alert(1)</script> & ]]> $\\frac$ |`"


@pytest.fixture(scope="module")
def hostile(synthetic: Results) -> Results:
    """Results whose every text from elsewhere is hostile."""
    provenance = {**synthetic.provenance, "command": HOSTILE, "environment": {"torch": HOSTILE, HOSTILE: 1}}
    provenance["metrics"] = {"miou": {"doc": HOSTILE, "display_name": HOSTILE, "unit": HOSTILE}}
    provenance["dataset"] = {"name": HOSTILE, "licence": HOSTILE, "source": HOSTILE}
    frame = synthetic.frame.assign(
        error=pd.Series(
            [HOSTILE + "\ud800" if isinstance(error, str) else None for error in synthetic.frame["error"]],
            index=synthetic.frame.index,
            dtype=object,
        ),
        unit=[HOSTILE if metric == "miou" else unit for metric, unit in zip(*_columns(synthetic.frame), strict=True)],
        detail=[{**detail, "per_class": {HOSTILE: 0.5}} for detail in synthetic.frame["detail"]],
    )
    return replace(
        synthetic,
        question=HOSTILE,
        source=HOSTILE,
        frame=frame,
        excluded=tuple((variant, HOSTILE) for variant, _ in synthetic.excluded),
        evaluations={
            key: replace(each, names=(HOSTILE, *each.names[1:])) for key, each in synthetic.evaluations.items()
        },
        claims=tuple(replace(claim, source=HOSTILE) for claim in synthetic.claims),
        labels=dict.fromkeys(synthetic.variants[1:2], HOSTILE),
        notes=(HOSTILE,),
        provenance=provenance,
    )


def _columns(frame: pd.DataFrame) -> tuple[list[str], list[str]]:
    return frame["metric"].tolist(), frame["unit"].tolist()


def clean(text: str) -> bool:
    return forbidden_character(text) is None


@pytest.mark.parametrize("form", FORMATS)
def test_tables_hold_no_control_character(hostile, form):
    text = table(hostile, form)
    assert clean(text)
    assert "x1b[31m" in text or "u001b[31m" in text or "x1b{[}31m" in text or r"x1b\[31m" in text


def test_the_json_form_keeps_the_texts(hostile):
    objects = [json.loads(line) for line in table(hostile, "json").splitlines()]
    assert HOSTILE + "\ud800" in {entry["error"] for entry in objects}


def test_no_text_of_a_csv_table_is_a_formula_and_numbers_stay(hostile):
    columns, *rows = csv.reader(io.StringIO(table(hostile, "csv")))
    fields = [field for row in rows for field in row]
    assert any(field.startswith("'=cmd") for field in fields)
    assert all(float(field) < 0 for field in fields if field[:1] in tuple("=+-@\t\r"))
    assert any(field.startswith("-") for field in fields)
    read = as_frame(hostile)
    assert read["excluded"].dropna().tolist() == [HOSTILE]
    assert {str(kind) for kind in read.filter(regex="_(low|high)$").dtypes} <= {"float64", "object"}


@pytest.mark.filterwarnings("ignore:Glyph")
def test_pages_hold_no_control_character_and_figures_are_xml(hostile, tmp_path):
    html = render(hostile, tmp_path / "site").read_text(encoding="utf-8")
    assert clean(html)
    assert "<script>alert" not in html
    text = render_markdown(hostile, tmp_path / "committed")
    figures = sorted(text.parent.glob("*.svg"))
    assert figures
    for path in (text, *figures):
        assert clean(path.read_text(encoding="utf-8"))
    for path in figures:
        assert ElementTree.parse(path).getroot().tag.endswith("svg")


@pytest.mark.parametrize("half", ["\ud800", "caf\udce9.png"])
def test_half_of_a_surrogate_pair_is_a_text_of_a_table(half):
    """It stands for a byte of a file name that is not UTF-8; pandas' own strings refuse it."""
    frame = frame_with([{"error": half, "value": 1.5, "seed": 0}, {"error": None, "value": 2.5, "seed": 1}], FIELDS)
    assert frame["error"].tolist() == [half, None]
    assert frame["value"].dtype.kind == "f"
    assert frame["seed"].dtype.kind == "i"
    assert frame_with([], FIELDS).columns.tolist() == list(FIELDS)


def test_an_exported_frame_has_no_half_of_a_surrogate_pair(hostile, tmp_path):
    assert clean(export(hostile, "csv", tmp_path).read_text(encoding="utf-8"))
    pytest.importorskip("pyarrow")
    errors = pd.read_parquet(export(hostile, "parquet", tmp_path))["error"].dropna()
    assert {*errors} == {HOSTILE + r"\ud800"}


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd", "-x", "@SUM(A1)", "\t=1", "\n=1", "'=1", "''-x", "-", "=", "-1e", "- 5"]
)
def test_a_formula_becomes_text_and_comes_back(text):
    assert csv_field(text) == f"'{text}"
    assert from_csv_field(csv_field(text)) == text


@pytest.mark.parametrize(
    "value", ["-1", "+2.5", "-.5e-3", "-inf", "nan", "x=1", "'quoted", "", "fcn(stride=8)", -3, -0.5, None, True]
)
def test_numbers_and_other_texts_stay(value):
    assert csv_field(value) == value
    assert not isinstance(value, str) or from_csv_field(value) == value


def test_a_carriage_return_makes_a_formula_too():
    assert from_csv_field(csv_field("\r=1")) == "\r=1"
    assert csv_field("\r=1").startswith("'")


def test_every_command_prints_through_the_function_that_escapes():
    folder = Path(bench.cli.__file__).parent
    raw = {
        path.name
        for path in folder.glob("*.py")
        if re.search(r"click\.s?echo|click\.secho|\bprint\(", path.read_text())
    }
    assert raw == {"options.py"}


def test_a_table_says_what_was_left_out_of_the_evaluation(synthetic):
    assert "left out of the evaluation" not in table(synthetic, "md")
    frame = synthetic.frame.assign(
        detail=[{**each, "left_out": {"people without a box": 1200}} for each in synthetic.frame["detail"]]
    )
    notes = [line for line in table(replace(synthetic, frame=frame), "md").splitlines() if "left out of" in line]
    assert notes == ["- left out of the evaluation: 1,200 people without a box"]
