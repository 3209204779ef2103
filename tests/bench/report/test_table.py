from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import subprocess
import sys

import pandas as pd
import pytest

from bench.analysis.summary import summarise
from bench.report.latex import latex_text
from bench.report.page import page_of
from bench.report.table import as_frame, markdown_text, table
from bench.results.results import Results
from bench.stats.descriptive import deviation, mean


def columns_of(line: str) -> list[str]:
    return [part.strip().replace("\\", "") for part in re.split(r"(?<!\\)\|", line)[1:-1]]


def markdown_cells(results: Results) -> dict[tuple[str, str], str]:
    head, _, *rest = table(results, "md").splitlines()
    metrics = [name.split()[0].rstrip(",") for name in columns_of(head)]
    rows = [columns_of(line) for line in rest if line.startswith("|")]
    return {(row[0].removesuffix(" (baseline)"), m): text for row in rows for m, text in zip(metrics, row, strict=True)}


def test_markdown_shows_every_expected_cell(synthetic: Results):
    aggregates, summary = markdown_cells(synthetic), summarise(synthetic)
    for variant, metric, _ in synthetic.expected:
        text, status = aggregates[variant, metric], summary.aggregates[variant, metric].status
        patterns = {"measured": r"\d", "partial": r"\d.*of 3 seeds", "error": "error: ", "not measured": "not measured"}
        assert re.search(patterns[status], text), (variant, metric, text)


def test_rows_have_the_ablation_s_order(synthetic: Results):
    rows = [columns_of(line)[0] for line in table(synthetic, "md").splitlines()[2:] if line.startswith("|")]
    assert rows == [f"{synthetic.baseline} (baseline)", *synthetic.variants[1:]]


def test_markdown_has_as_many_columns_in_every_row(synthetic: Results):
    lines = [line for line in table(synthetic, "md").splitlines() if line.startswith("|")]
    assert {len(columns_of(line)) for line in lines} == {1 + 2 + 6}


def test_numbers_are_shown_scaled_with_spread_and_difference(synthetic: Results):
    aggregates = markdown_cells(synthetic)
    values = summarise(synthetic).aggregates["fcn(stride=8,skips=true)", "miou"].by_seed.values()
    assert aggregates["fcn(stride=32,skips=false)", "params"] == "134.27"
    assert aggregates["fcn(stride=8,skips=true)", "miou"].startswith(
        f"{mean([*values]):.4f} ± {deviation([*values]):.4f} (Δ +"
    )
    assert "params (M parameters) ↓" in table(synthetic, "md")
    assert "miou ↑, mean ± sd, n=3" in table(synthetic, "md")


def test_a_count_that_covers_less_than_all_says_so(synthetic: Results):
    assert "covers 97.3 % of operators" in markdown_cells(synthetic)[synthetic.variants[-1], "macs"]
    assert "covers" not in markdown_cells(synthetic)[synthetic.baseline, "macs"]


def test_what_a_count_leaves_out_stands_in_every_form(synthetic: Results):
    last = synthetic.variants[-1]
    text = "aten.roi_pool (3 calls)"
    for form in ("md", "latex"):
        assert "left out: aten.roi" in table(synthetic, form).replace(r"\hspace{0pt}", "").replace("\\", "")
    assert any(text in note for note in page_of(synthetic).inference)
    rows = {row["variant"]: row for row in csv.DictReader(io.StringIO(table(synthetic, "csv")))}
    assert [rows[last]["macs_uncounted"], rows[synthetic.baseline]["macs_uncounted"]] == [text, ""]
    lines = [json.loads(line) for line in table(synthetic, "json").splitlines()]
    assert {(o["variant"], o["uncounted"]) for o in lines if o["metric"] == "macs" and o.get("uncounted")} == {
        (last, text)
    }


def test_csv_is_exact_and_reads_back(synthetic: Results):
    text = table(synthetic, "csv")
    read = pd.read_csv(io.StringIO(text)).set_index("variant")
    exact = {row["variant"]: row for row in csv.DictReader(io.StringIO(text))}
    summary = summarise(synthetic)
    assert [*read.index] == [*synthetic.variants, "fcn(stride=32,skips=true)"]
    for (variant, metric), aggregate in summary.aggregates.items():
        text = exact[variant][metric]
        assert text == "" if aggregate.value is None else float(text) == aggregate.value
        status = read.loc[variant].get(f"{metric}_status")
        assert pd.isna(status) == (aggregate.status == "measured")
    assert read.loc["fcn(stride=32,skips=true)", "excluded"] == "there is nothing to fuse at stride 32 | <i>"
    assert read.loc["fcn(stride=8,skips=true)", "stride"] == 8


def test_csv_differences_are_paired(synthetic: Results):
    read = pd.read_csv(io.StringIO(table(synthetic, "csv"))).set_index("variant")
    aggregates = summarise(synthetic).aggregates
    name = "fcn(stride=8,skips=[pool4])"  # seed 2 failed, so only seeds 0 and 1 of the baseline count
    mine, base = aggregates[name, "miou"].by_seed, aggregates[synthetic.baseline, "miou"].by_seed
    assert read.loc[name, "miou_difference"] == pytest.approx(mean([mine[s] - base[s] for s in (0, 1)]), rel=1e-14)
    assert read.loc[name, "miou_n"] == 2


def test_csv_and_json_have_intervals_and_verdicts(synthetic: Results):
    read = pd.read_csv(io.StringIO(table(synthetic, "csv"))).set_index("variant")
    objects = [json.loads(line) for line in table(synthetic, "json").splitlines()]
    by_pair = {(o["variant"], o["metric"]): o for o in objects}
    for (variant, metric), delta in summarise(synthetic).deltas.items():
        row, fields = read.loc[variant], by_pair[variant, metric]
        assert fields["verdict"] == delta.verdict
        assert fields["interval"] == (list(delta.interval) if delta.interval else None)
        if delta.interval:
            ends = [row[f"{metric}_difference_low"], row[f"{metric}_difference_high"]]
            assert ends == pytest.approx(delta.interval, rel=1e-14)
            low, high = fields["interval_of_seeds"] or delta.interval  # a speed has none
            assert delta.interval[0] <= low <= fields["difference"] <= high <= delta.interval[1]
            assert row[f"{metric}_verdict"] == delta.verdict
    assert read.loc["fcn(stride=8,skips=[pool4])", "miou_verdict"] == "broken"
    assert read.loc["fcn(stride=8,skips=true)", "boundary_iou_verdict"] == "missing"


def test_json_has_one_object_a_line_for_every_cell(synthetic: Results):
    every = [json.loads(line) for line in table(synthetic, "json").splitlines()]
    objects = [o for o in every if o["status"] != "claim"]
    assert len(every) == len(objects) + len(synthetic.claims)
    for o in every:
        assert {"variant", "metric", "value", "unit", "better", "samples", "error"} <= o.keys()
    by_pair = {(o["variant"], o["metric"]): o for o in objects}
    assert len(by_pair) == len(objects)
    assert {(v, m) for v, m, _ in synthetic.expected} <= by_pair.keys()
    for pair, aggregate in summarise(synthetic).aggregates.items():
        assert by_pair[pair]["value"] == aggregate.value
        assert list(zip(by_pair[pair]["seeds"], by_pair[pair]["samples"], strict=True)) == [*aggregate.samples]
        assert by_pair[pair]["status"] == aggregate.status
    excluded = [o for o in objects if o["status"] == "excluded"]
    assert {o["because"] for o in excluded} == {"there is nothing to fuse at stride 32 | <i>"}


def test_latex_is_balanced_and_escaped(synthetic: Results):
    text = table(synthetic, "latex")
    assert text.isascii()
    bare = re.sub(r"\\[{}]", "", text)
    depth = 0
    for sign in bare:
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0
    assert not re.search(r"(?<!\\)[_#%]", text.split("\n", 1)[1])
    assert "usepackage" not in text


@pytest.mark.parametrize("sign", list(r"\&%$#_{}~^<>|[]*"))
def test_latex_escapes(sign: str):
    assert latex_text(f"a{sign}b") not in (f"a{sign}b", "ab")


def test_markdown_escapes_what_would_be_markup():
    assert markdown_text("a|b *c* <i> `d` _e_ f_g") == r"a\|b \*c\* \<i\> \`d\` \_e\_ f_g"
    assert markdown_text("two\nlines") == "two lines"


def test_unknown_format(synthetic: Results):
    with pytest.raises(ValueError, match=r"'xml'.*md, csv, latex, json"):
        table(synthetic, "xml")  # type: ignore[arg-type]


def test_two_results_for_one_cell_are_refused(synthetic: Results):
    row = synthetic.frame.iloc[:1].assign(key="another")
    doubled = dataclasses.replace(synthetic, frame=pd.concat([synthetic.frame, row]))
    with pytest.raises(ValueError, match="two results"):
        table(doubled, "md")


def test_a_row_of_another_variant_is_refused_not_dropped(synthetic: Results):
    row = synthetic.frame.iloc[:1].assign(variant="fcn(stride=4)")
    with pytest.raises(ValueError, match=r"fcn\(stride=4\)"):
        table(dataclasses.replace(synthetic, frame=pd.concat([synthetic.frame, row])), "md")


def changed(results: Results, metric: str, **columns: object) -> Results:
    frame = results.frame.astype({"detail": object, "value": float}).copy()
    for name, value in columns.items():
        rows = frame.index[frame["metric"] == metric]
        frame[name] = frame[name].astype(object)
        for i, row in enumerate(rows):
            frame.at[row, name] = value[i] if isinstance(value, list) else value
    return dataclasses.replace(results, frame=frame)


def test_a_result_without_a_number_is_shown_in_words(synthetic: Results):
    whole = changed(synthetic, "receptive_field", value=float("nan"), detail={"global": True})
    assert markdown_cells(whole)[synthetic.baseline, "receptive_field"] == "global"
    assert markdown_cells(whole)["fcn(stride=8,skips=false)", "receptive_field"] == "not measured"
    objects = [json.loads(line) for line in table(whole, "json").splitlines()]
    row = next(o for o in objects if (o["variant"], o["metric"]) == (synthetic.baseline, "receptive_field"))
    assert (row["value"], row["words"], row["status"]) == (None, "global", "measured")
    assert ",global," in table(whole, "csv")


def test_a_hash_is_compared_not_subtracted(synthetic: Results):
    values = [float(0xABC0 + (i > 1)) for i in range(6)]
    aggregates = markdown_cells(changed(synthetic, "receptive_field", value=values, unit="hash"))
    assert aggregates[synthetic.variants[0], "receptive_field"] == "00000000abc0"
    assert aggregates[synthetic.variants[1], "receptive_field"] == "00000000abc0 (Δ same)"
    assert aggregates[synthetic.variants[2], "receptive_field"] == "00000000abc1 (Δ differs)"


@pytest.mark.parametrize("form", ["md", "csv", "latex", "json"])
def test_nothing_measured_yet(synthetic: Results, form):
    text = table(dataclasses.replace(synthetic, frame=synthetic.frame.iloc[:0]), form)
    what = re.search(r"\$\^\{(\w)\}\$ not measured", text)
    marks = text.count(f"--$^{{{what[1]}}}$") if what else text.count("not measured")
    assert marks >= len({(v, m) for v, m, _ in synthetic.expected})


def test_tables_do_not_import_torch():
    code = "import sys, bench.report.table, bench.analysis.summary; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_excluded_variant_leaves_integers_integers(synthetic: Results):
    frame = as_frame(synthetic)
    assert str(frame["params"].dtype) == "Int64"
    assert frame["params"].dropna().tolist() == [int(value) for value in frame["params"].dropna()]
    assert frame["params"].isna().any()
