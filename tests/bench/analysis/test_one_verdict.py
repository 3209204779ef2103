"""One difference has one interval and one verdict, wherever the committed results show it."""

from __future__ import annotations

import csv
import io
import json
from functools import cache
from pathlib import Path

import pytest

import bench
from bench.analysis.summary import Summary, summarise
from bench.report.table import table
from bench.results.bundle import is_bundle

BUNDLES = Path(bench.__file__).parents[1] / "results" / "reference"
NAMES = sorted(folder.name for folder in BUNDLES.iterdir() if is_bundle(folder)) if BUNDLES.is_dir() else []
OPPOSITE = {"better": "worse", "worse": "better"}

Pair = tuple[str, str]


@cache
def summary_of(name: str) -> Summary:
    return summarise(bench.load(name, source=BUNDLES / name).results)


def turned(interval, forward: bool):
    return interval if interval is None or forward else (-interval[1], -interval[0])


def stated(summary: Summary) -> dict[tuple[str, str, str], tuple]:
    """(metric, one, other) -> interval of one less other, and verdict: what the CSV, JSON and the answers say."""
    rows = [json.loads(line) for line in table(summary.results, "json").splitlines()]
    base, statements = summary.results.baseline, {}
    for row in rows:
        if row["variant"] and row.get("verdict") and row["status"] != "excluded":
            interval = tuple(row["interval"]) if row["interval"] else None
            statements[row["metric"], row["variant"], base] = (interval, row["verdict"])
    for column in summary.columns:
        for (one, other), delta in summary.answers(column.metric).items():
            forward = other == base or one != base
            key = (column.metric, *((one, other) if forward else (other, one)))
            verdict = delta.verdict if forward else OPPOSITE.get(delta.verdict or "", delta.verdict)
            says = (turned(delta.interval, forward), verdict)
            if key in statements and one != other:
                assert says[1] == statements[key][1]
                assert_same(says[0], statements[key][0])
            statements[key] = says
    return statements


def assert_same(one, other) -> None:
    assert (one is None) == (other is None)
    if one is not None:
        assert one == pytest.approx(other, rel=1e-9, abs=1e-12)


def answer_for(verdict: str, higher_is_better: bool, claims_more: bool) -> set[str]:
    """What a claim that one variant has more (or less) may be called where the table says this of the difference."""
    if verdict in ("better", "worse"):
        more = (verdict == "better") == higher_is_better
        return {"reproduced"} if more == claims_more else {"contradicted"}
    return {"inconclusive", "contradicted"} if verdict == "same" else {"inconclusive"}


@pytest.mark.skipif(not NAMES, reason="the committed results are part of a checkout")
@pytest.mark.parametrize("name", NAMES)
def test_one_difference_has_one_interval_and_one_verdict(name: str) -> None:
    summary = summary_of(name)
    statements = stated(summary)
    for claim in summary.claims:
        for comparison, result in zip(claim.statement.comparisons, claim.comparisons):
            weights = comparison.weights()
            plain = comparison.left.constant == comparison.right.constant and sorted(weights.values()) == [-1, 1]
            if not plain or comparison.operator == "==":
                assert result.planned or result.interval is None, "a claim of its own is named a planned contrast"
                continue
            (one,) = (reference.variant for reference, weight in weights.items() if weight == 1)
            (other,) = (reference.variant for reference, weight in weights.items() if weight == -1)
            forward = (result.metric, one, other) in statements
            key = (result.metric, one, other) if forward else (result.metric, other, one)
            if key not in statements:
                assert result.planned or result.interval is None, claim.statement.says
                continue
            interval, verdict = statements[key]
            better = summary.column(result.metric).better
            if verdict in ("better", "worse", "inconclusive", "equivalent", "within noise", "same") and better:
                more = comparison.operator in (">", ">=")
                allowed = answer_for(verdict, (better == "higher") == forward, more)
                assert result.answer in allowed | ({"reproduced"} if "=" in comparison.operator else set())
            assert not result.planned
            assert_same(turned(result.interval, forward), interval)


@pytest.mark.skipif(not NAMES, reason="the committed results are part of a checkout")
@pytest.mark.parametrize("name", NAMES[::4])
def test_csv_and_json_say_the_same(name: str) -> None:
    summary = summary_of(name)
    rows = {row["variant"]: row for row in csv.DictReader(io.StringIO(table(summary.results, "csv")))}
    for row in map(json.loads, table(summary.results, "json").splitlines()):
        shown = rows.get(row["variant"] or "", {})
        if row.get("interval") and row["status"] != "claim":
            ends = tuple(float(shown[f"{row['metric']}_difference_{end}"]) for end in ("low", "high"))
            assert ends == pytest.approx(row["interval"], rel=1e-12)
            assert shown[f"{row['metric']}_verdict"] == (row["verdict"] or "")


def test_of_speeds_the_claim_has_the_table_s_interval_in_either_order(results_of) -> None:
    values = {f"net(a={a})": {"latency": [10.0 + 4 * a + i / 10 for i in range(20)]} for a in range(3)}
    results = results_of(values, ("latency[a=1] > latency", "latency < latency[a=1]"))
    summary = summarise(results)
    (there,), (back,) = (claim.comparisons for claim in summary.claims)
    interval = summary.delta("net(a=1)", "latency").interval
    assert there.interval == interval
    assert back.interval == turned(interval, False)
    assert there.answer == back.answer == "reproduced"
