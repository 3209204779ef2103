"""The index over all ablations: answers, claims and fronts; and two reports on one page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import bench
from bench.analysis.summary import summarise
from bench.cli import bench as command
from bench.display.answers import MOST_WORDS, STANDINGS, BriefAnswer, brief_answer
from bench.report.comparison import ComparisonError, compare_reports, shared_metrics
from bench.report.forest import EDGE, WIDTH, forest
from bench.report.frontier import frontiers
from bench.report.index import ORDER, ledger, markdown_index, overview, row_of
from bench.report.site import index
from bench.results.bundle import FOLDER, bundled_names
from bench.results.results import Results


@pytest.fixture(scope="module")
def stated(synthetic: Results) -> Results:
    """The synthetic results with the kind of each metric, as the provenance of an ablation has it."""
    metrics = {
        metric: {"kind": kind}
        for metric, kind in {*zip(synthetic.frame["metric"], synthetic.frame["kind"], strict=True)}
    }
    return changed(synthetic, synthetic.name, metrics=metrics)


def changed(results: Results, name: str, **provenance: object) -> Results:
    return replace(results, name=name, provenance={**results.provenance, **provenance})


@pytest.mark.skipif(not bundled_names(), reason="no results bundles here")
@pytest.mark.parametrize("name", bundled_names())
def test_a_committed_answer_has_twelve_words_at_most(name: str):
    answer = brief_answer(summarise(bench.load(name, source=FOLDER / name).results))
    assert 0 < len(answer.text.split()) <= MOST_WORDS
    assert answer.standing in STANDINGS


def test_an_answer_with_long_names_is_short_too(synthetic: Results):
    long = dict.fromkeys(synthetic.variants, " ".join(["word"] * 20))
    assert len(brief_answer(summarise(replace(synthetic, labels=long))).text.split()) <= MOST_WORDS


def test_the_interval_is_drawn_about_zero():
    drawn = str(forest(BriefAnswer("", "answered", "better", "+1", 1.0, (-2.0, 4.0), 2.0)))
    middle, span = WIDTH / 2, (WIDTH - 2 * EDGE) / 2
    assert f'<line class="zero" x1="{middle}"' in drawn
    assert f'class="interval" x1="{middle - span / 2}" x2="{middle + span}"' in drawn
    assert f'cx="{middle + span / 4}"' in drawn
    assert f'class="band" x="{middle - span / 2}" y="3" width="{span}"' in drawn
    assert str(forest(BriefAnswer("", "not answered"))) == ""


def test_the_ledger_has_every_claim_and_contradictions_first(stated: Results):
    rows = [row_of(stated), row_of(replace(stated, name="another"))]
    answers = [each.claim.answer for each in ledger(rows)]
    assert len(answers) == 2 * len(stated.claims) > 0
    assert answers == sorted(answers, key=ORDER.index)


def test_one_sentence_counts_every_question_and_claim(stated: Results):
    rows = [row_of(stated), row_of(replace(stated, name="another"))]
    questions, claims = overview(rows).split(";")
    first, *numbers = map(int, re.findall(r"\d+", questions))
    assert first == sum(numbers) == 2
    first, *numbers = map(int, re.findall(r"\d+", claims))
    assert first == sum(numbers) == 2 * len(stated.claims)


def test_no_ablation_is_a_sentence_too():
    assert overview([]) == "No ablation has results."


def test_ablations_of_other_data_are_in_no_common_front(synthetic: Results):
    other = changed(synthetic, "other", dataset={"name": "elsewhere"})
    assert frontiers([synthetic, other]) == []


def test_a_front_says_where_recipes_differ(synthetic: Results):
    recipe = {**synthetic.provenance.get("recipe", {}), "steps": 12345}
    (alike,) = frontiers([synthetic, replace(synthetic, name="again")])
    assert alike.recipes == ()
    assert alike.ablations == (synthetic.name, "again")
    assert all(point.ablations == (synthetic.name, "again") for point in alike.points)
    (mixed,) = frontiers([synthetic, changed(synthetic, "longer", recipe=recipe)])
    assert [each.ablations for each in mixed.recipes] == [(synthetic.name,), ("longer",)]
    assert "steps 12345" in mixed.recipes[1].text
    assert len(mixed.points) == 2 * len(alike.points)


def test_the_front_has_no_dominated_point(synthetic: Results):
    (one,) = frontiers([synthetic, replace(synthetic, name="again")])
    assert one.front
    for point in one.front:
        assert not [p for p in one.points if p.score >= point.score and p.macs < point.macs]
    assert [point.macs for point in one.front] == sorted(point.macs for point in one.front)


def test_the_index_is_the_same_twice_and_has_no_markup_of_others(stated: Results, tmp_path: Path):
    hostile = replace(stated, question="<script>alert(1)</script> \u202e", name="another")
    rows, fronts = [row_of(each) for each in (stated, hostile)], frontiers([stated, hostile])
    first = index(rows, tmp_path / "a", fronts).read_bytes()
    assert first == index(rows, tmp_path / "b", fronts).read_bytes()
    assert b"<script>alert" not in first
    assert "\u202e".encode() not in first
    assert "another" in markdown_index(rows)


def test_two_reports_share_an_axis(synthetic: Results, tmp_path: Path):
    other = replace(synthetic, name="again")
    page = compare_reports(synthetic, other, tmp_path)
    assert page == tmp_path / "compare" / f"{synthetic.name}-again" / "index.html"
    for metric in shared_metrics(synthetic, other):
        half = len(metric.rows) // 2
        assert [row.drawing for row in metric.rows[:half]] == [row.drawing for row in metric.rows[half:]]
        assert {row.ablation for row in metric.rows} == {synthetic.name, "again"}


@pytest.mark.parametrize(
    ("key", "value"), [("dataset", {"name": "elsewhere"}), ("recipe", {"steps": 7}), ("workload", {"shape": [3, 8, 8]})]
)
def test_reports_of_other_data_or_recipe_are_refused_by_the_key(synthetic: Results, tmp_path: Path, key: str, value):
    other = changed(synthetic, "other", **{key: value})
    with pytest.raises(ComparisonError, match={"workload": "shape"}.get(key, key)):
        compare_reports(synthetic, other, tmp_path)
    assert not [*tmp_path.iterdir()]


def test_the_command_needs_two_ablations():
    result = CliRunner().invoke(command, ["report", "fcn_skips", "--compare"])
    assert result.exit_code == 2
    assert "needs two ablations" in result.output
