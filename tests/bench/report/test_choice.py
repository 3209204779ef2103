"""What of a table is shown: metrics, columns, order, differences, the best numbers."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re

import pytest
from click.testing import CliRunner

import bench
from bench.analysis.aggregate import Aggregate, Column
from bench.cli import bench as command
from bench.report.choice import Choice, TableError, best_of, layout_of, rank_of
from bench.report.table import as_frame, table
from bench.results.results import Results

FCN8, LAST = "fcn(stride=8,skips=true)", "fcn(stride=8,skips=true,backbone=timm:tf_efficientnetv2_b0.in1k)"


def aggregate(variant: str, *values: float, **changes) -> Aggregate:
    samples = tuple((None, value) for value in values)
    plain = Aggregate(variant, "m", samples, (None,), True, (), (), ())
    return dataclasses.replace(plain, **changes)


def best(better: str | None, *aggregates: Aggregate) -> list[str]:
    return best_of(Column("m", "", better, "static", ""), aggregates)


def head_of(text: str) -> list[str]:
    return [cell.strip() for cell in text.splitlines()[0].strip("|").split("|")]


def first_cells(text: str) -> list[str]:
    rows = [line.strip("|").split("|") for line in text.splitlines()[2:] if line.startswith("|")]
    return [row[0].strip().removesuffix(" (baseline)") for row in rows]


def test_without_a_choice_everything_is_shown(synthetic: Results):
    layout = layout_of(synthetic)
    assert layout.variants == synthetic.variants
    assert [c.name for c in layout.columns if c.kind == "metric"] == [c.metric for c in layout.every.columns]
    assert layout.summary is layout.every
    assert layout.best == frozenset()


def test_metrics_are_shown_in_the_order_of_the_caller(synthetic: Results):
    text = table(synthetic, "md", Choice(metrics=("miou", "params")))
    assert [name.split()[0] for name in head_of(text)] == ["variant", "stride", "skips", "miou", "params"]
    rows = list(csv.reader(io.StringIO(table(synthetic, "csv", Choice(metrics=("miou", "params"))))))
    assert [name for name in rows[0] if "_" not in name][-2:] == ["miou", "params"]
    assert not any(name.startswith(("macs", "latency", "boundary_iou")) for name in rows[0])
    objects = [json.loads(line) for line in table(synthetic, "json", Choice(metrics=("miou",))).splitlines()]
    assert {o["metric"] for o in objects} == {"miou"}


def test_the_verdicts_do_not_depend_on_what_is_shown(synthetic: Results):
    few, every = (
        {(o["variant"], o["metric"]): (o["interval"], o["verdict"]) for o in objects if o.get("status") != "claim"}
        for objects in (
            [json.loads(line) for line in table(synthetic, "json", choice).splitlines() if '"interval"' in line]
            for choice in (Choice(metrics=("miou",)), Choice())
        )
    )
    assert few == {pair: value for pair, value in every.items() if pair[1] == "miou"} != {}


def test_claims_about_metrics_that_are_not_shown_are_left_out(synthetic: Results):
    text = table(synthetic, "md", Choice(metrics=("macs",)))
    assert re.findall(r"- claim \w+: (\w+)", text) == ["macs"]
    assert len(re.findall(r"- claim", table(synthetic, "md"))) == len(synthetic.claims)


@pytest.mark.parametrize(
    ("columns", "metrics", "heads"),
    [
        (("variant", "miou"), (), ["variant", "miou"]),
        (("skips", "variant"), (), ["skips", "variant"]),
        (("variant", "miou", "difference", "params"), (), ["variant", "miou", "Δ", "params"]),
        (("variant", "difference", "value"), ("miou", "params"), ["variant", "Δ", "miou", "Δ", "params"]),
        (("variant", "miou"), ("params", "miou"), ["variant", "miou", "params"]),
        (("stride", "miou", "verdict"), (), ["stride", "miou", "verdict"]),
    ],
)
def test_columns(synthetic: Results, columns, metrics, heads):
    text = table(synthetic, "md", Choice(metrics=metrics, columns=columns))
    assert [name.split()[0] for name in head_of(text)] == heads


def test_a_column_of_differences_says_what_the_whole_cell_says(synthetic: Results):
    whole = table(synthetic, "md", Choice(metrics=("miou",))).splitlines()
    parts = table(synthetic, "md", Choice(columns=("variant", "miou", "difference", "verdict"))).splitlines()
    row = next(line for line in parts if line.startswith("| fcn(stride=8,skips=true) "))
    _, _, number, difference, verdict, _ = (cell.strip() for cell in row.split("|"))
    assert f"{number} (Δ {difference}, {verdict})" in "\n".join(whole)


def test_csv_has_the_columns_that_are_named(synthetic: Results):
    rows = list(csv.DictReader(io.StringIO(table(synthetic, "csv", Choice(columns=("variant", "miou", "verdict"))))))
    assert list(rows[0])[:2] == ["variant", "miou"]
    assert "miou_verdict" in rows[0]
    assert "miou_difference" not in rows[0]
    assert any(row["miou_error"] for row in rows)
    assert [row["variant"] for row in rows] == list(synthetic.variants)


def test_without_differences_no_form_has_one(synthetic: Results):
    choice = Choice(delta=False)
    assert "Δ" not in table(synthetic, "md", choice).split("\n- ", 1)[0]
    assert r"\Delta" not in table(synthetic, "latex", choice)
    assert not [n for n in as_frame(synthetic, choice).columns if "difference" in n or "verdict" in n]
    assert '"difference"' not in "".join(
        line for line in table(synthetic, "json", choice).splitlines() if '"claim"' not in line
    )


def test_the_order_follows_a_metric_or_an_axis_and_what_has_no_value_is_last(synthetic: Results):
    frame = as_frame(synthetic)
    values = frame["miou"].to_dict()
    ascending = sorted(synthetic.variants, key=lambda v: values[v])
    assert list(layout_of(synthetic, Choice(sort="miou")).variants) == ascending
    assert list(layout_of(synthetic, Choice(sort="-miou")).variants) == ascending[::-1]
    failed = "fcn(stride=16,skips=true)"  # its latency
    for sort in ("latency", "-latency"):
        assert layout_of(synthetic, Choice(sort=sort)).variants[-1] == failed
    strides = [synthetic.axes[v]["stride"] for v in layout_of(synthetic, Choice(sort="stride")).variants]
    assert strides == ["8"] * 4 + ["16"] * 2 + ["32"]
    assert first_cells(table(synthetic, "md", Choice(sort="stride")))[-1] == synthetic.baseline


def test_the_metric_of_the_order_need_not_be_shown(synthetic: Results):
    text = table(synthetic, "md", Choice(columns=("variant", "params"), sort="-miou"))
    assert "miou" not in text.splitlines()[0]
    assert first_cells(text)[-1] == synthetic.baseline


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (Choice(metrics=("mious",)), r"no metric 'mious', did you mean 'miou'\?"),
        (Choice(columns=("variant", "strid")), r"no column 'strid', did you mean 'stride'\?"),
        (Choice(columns=("variant", "diference")), r"no column 'diference', did you mean 'difference'\?"),
        (Choice(sort="-parms"), r"sorted by 'parms', did you mean 'params'\?"),
        (Choice(columns=("difference", "variant", "miou")), r"'difference' belongs to the metric before it"),
        (Choice(columns=("miou", "difference"), delta=False), "--no-delta"),
    ],
)
def test_what_a_table_does_not_have_is_refused(synthetic: Results, choice, message):
    for form in ("md", "csv", "latex", "json"):
        with pytest.raises(TableError, match=message):
            table(synthetic, form, choice)


def test_the_best_number_is_marked_in_every_form(synthetic: Results):
    choice = Choice(metrics=("params", "miou"), best=True)
    bold = [line for line in table(synthetic, "md", choice).splitlines() if "**" in line]
    assert [re.findall(r"\*\*(.*?)\*\*", line) for line in bold] == [[f"{v}"] for v in _best_texts(synthetic)]
    rows = {row["variant"]: row for row in csv.DictReader(io.StringIO(table(synthetic, "csv", choice)))}
    assert [variant for variant, row in rows.items() if row["miou_best"] == "True"] == [LAST]
    objects = [json.loads(line) for line in table(synthetic, "json", choice).splitlines()]
    assert [o["variant"] for o in objects if o.get("best") and o["metric"] == "miou"] == [LAST]
    assert table(synthetic, "latex", choice).count(r"\textbf") == len(_best_texts(synthetic))


def _best_texts(results: Results) -> list[str]:
    """The texts of the best numbers, by the values of the table: the fewest parameters, the highest mIoU."""
    frame = as_frame(results)
    frame = frame[frame["excluded"].isna()]
    whole = frame[frame["miou_status"].isna()] if "miou_status" in frame else frame
    fewest, highest = frame["params"].astype(float).idxmin(), whole["miou"].astype(float).idxmax()
    text = table(results, "md", Choice(columns=("variant", "params", "miou")))
    cells = [line.split("|") for line in text.splitlines() if line.startswith("| fcn")]
    named = {row[1].strip().removesuffix(" (baseline)"): row for row in cells}
    order = [variant for variant in named if variant in (fewest, highest)]
    return [named[v][2 if v == fewest else 3].strip() for v in order]


def test_best_of_either_direction_with_ties():
    assert best("higher", aggregate("a", 1.0), aggregate("b", 3.0), aggregate("c", 3.0)) == ["b", "c"]
    assert best("lower", aggregate("a", 1.0), aggregate("b", 3.0)) == ["a"]
    assert best(None, aggregate("a", 1.0), aggregate("b", 3.0)) == []


def test_what_cannot_be_compared_is_not_the_best():
    assert best("higher", aggregate("a", 1.0)) == []
    assert best("higher", aggregate("a", 1.0), aggregate("b", 2.0), aggregate("c", 9.0, missing=(1,))) == ["b"]
    assert best(
        "lower", aggregate("a", 3.0), aggregate("b", 2.0), aggregate("c", 1.0, details=({"coverage": 0.9},))
    ) == ["b"]
    clocks = [aggregate(name, 1.0, details=({"clock": name},)) for name in ("cpu", "elapsed")]
    assert best("lower", *clocks) == []
    assert best("higher", aggregate("a", float("nan")), aggregate("b", 1.0), aggregate("c", 0.0)) == ["b"]


def test_a_global_receptive_field_is_larger_than_any_number():
    everywhere = aggregate("a", details=({"global": True},))
    assert rank_of(everywhere) == float("inf")
    assert best("higher", everywhere, aggregate("b", 1e9)) == ["a"]


def test_the_command_and_the_function_take_the_same_choice(monkeypatch, tmp_path):
    monkeypatch.setenv("FOVBENCH_STORE", str(tmp_path / "none.sqlite"))
    options = ["--metrics", "params,miou", "--columns", "variant,value", "--sort", "-miou", "--no-delta", "--best"]
    shown = CliRunner().invoke(command, ["table", "fcn_skips", "--format", "csv", *options])
    chosen = {"metrics": ["params", "miou"], "columns": ["variant", "value"], "sort": "-miou", "delta": False}
    assert shown.stdout == bench.table("fcn_skips", "csv", **chosen, best=True, store=tmp_path / "none.sqlite")
    assert shown.stdout.startswith("variant,params,params_best,")
    wrong = CliRunner().invoke(command, ["table", "fcn_skips", "--metrics", "mious"])
    assert isinstance(wrong.exception, TableError)
