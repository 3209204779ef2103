from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from bench.analysis.summary import summarise
from bench.display.wording import claim_text, claim_texts
from bench.report.table import table as rendered
from bench.spec.claims import ClaimError, Statement

TABLE = {
    "net(a=0)": {"macs": 100, "latency": [10.0 + i / 10 for i in range(20)], "miou": [0.50, 0.52, 0.51]},
    "net(a=1)": {"macs": 60, "latency": [8.0 + i / 10 for i in range(20)], "miou": [0.60, 0.622, 0.611]},
    "net(a=2)": {"macs": 60, "latency": [10.5 + i / 10 for i in range(20)], "miou": [0.46, 0.76, 0.60]},
}


def answers(results) -> list[str]:
    return [claim.answer for claim in summarise(results).claims]


@pytest.mark.parametrize(
    ("claim", "answer"),
    [
        ("miou[a=1] > miou", "reproduced"),
        ("miou[a=1] < miou", "contradicted"),
        ("miou[a=2] > miou", "inconclusive"),
        ("miou >= miou[a=1] - 0.2", "reproduced"),
        ("miou >= miou[a=1] - 0.01", "contradicted"),
        ("miou == miou[a=1] within 0.15", "reproduced"),
        ("miou == miou[a=1] within 0.05", "contradicted"),
        ("miou == miou[a=1] within 0.1", "inconclusive"),
        ("miou[a=1] > 0.55", "reproduced"),
        ("miou[a=1] > miou[a=2] > miou", "inconclusive"),
        ("miou > miou[a=1] > miou[a=2]", "contradicted"),
        ("macs[a=1] == macs[a=2]", "reproduced"),
        ("macs[a=1] < macs", "reproduced"),
        ("macs[a=1] < 0.6 * macs", "contradicted"),
        ("macs[a=1] <= 0.6 * macs", "reproduced"),
        ("latency[a=1] < latency", "reproduced"),
        ("latency > 0.5 * latency[a=1]", "reproduced"),
        ("latency > 10 * latency[a=1]", "contradicted"),
        ("latency[a=1] < 2", "contradicted"),
        ("latency[a=1] + latency[a=2] > latency", "reproduced"),
        ("latency > latency[a=2]", "inconclusive"),
        ("latency[a=1] > latency[a=2]", "contradicted"),
    ],
)
def test_answers(results_of, claim: str, answer: str):
    assert answers(results_of(TABLE, (claim,))) == [answer]


def test_more_planned_contrasts_need_stronger_evidence(results_of):
    claims = ("miou[a=1] > miou + 0.05", *(f"miou[a=2] > miou - {i}e-6" for i in range(1, 81)))
    alone, among = (summarise(results_of(TABLE, chosen)).claims[0].comparisons[0] for chosen in (claims[:1], claims))
    assert (alone.level, among.level) == pytest.approx((0.95, 1 - 0.05 / 81))
    assert (alone.answer, among.answer) == ("reproduced", "inconclusive")
    assert alone.planned


def test_exact_claims_cost_the_others_nothing(results_of):
    (step,) = summarise(results_of(TABLE, ("miou[a=1] > miou + 0.05", "macs[a=1] < macs"))).claims[0].comparisons
    assert step.level == 0.95


def test_a_difference_of_the_table_has_the_table_s_interval(results_of):
    """One difference, one interval, one decision: however many claims there are, and whichever side is written first."""
    claims = ("miou[a=1] > miou", "miou < miou[a=1]", "miou[a=2] >= miou", "miou[a=1] > miou[a=2] > miou", "miou > 0.4")
    summary = summarise(results_of(TABLE, claims))
    by_claim = [[step.interval for step in claim.comparisons] for claim in summary.claims]
    one, other = (summary.deltas[f"net(a={i})", "miou"].interval for i in (1, 2))
    assert by_claim[0] == by_claim[3][:0] + [pytest.approx(one)]
    assert by_claim[1] == [pytest.approx((-one[1], -one[0]))]
    assert by_claim[2] == by_claim[3][1:] == [pytest.approx(other)]
    planned = [[step.planned for step in claim.comparisons] for claim in summary.claims]
    assert planned == [[False], [False], [False], [True, False], [True]]
    assert [claim.answer for claim in summary.claims] == [*["reproduced"] * 2, *["inconclusive"] * 2, "reproduced"]


def test_answers_and_claims_about_one_pair_agree(results_of):
    pair = ("net(a=2)", "net(a=1)")
    results = dataclasses.replace(
        results_of(TABLE, ("miou[a=1] > miou[a=2]", "miou[a=2] > 0.4")), answers=(pair, ("net(a=0)", "net(a=1)"))
    )
    summary = summarise(results)
    answers = summary.answers("miou")
    (claim, _) = summary.claims
    low, high = answers[pair].interval
    assert claim.comparisons[0].interval == pytest.approx((-high, -low))
    assert not claim.comparisons[0].planned
    table = summary.deltas["net(a=1)", "miou"]
    assert answers["net(a=0)", "net(a=1)"].interval == pytest.approx((-table.interval[1], -table.interval[0]))
    assert (answers["net(a=0)", "net(a=1)"].verdict, table.verdict) == ("worse", "better")
    assert summary.difference(*pair, "miou") == answers[pair]
    assert summary.difference(*pair[::-1], "miou").interval == pytest.approx((-high, -low))


def test_images_count_too(results_of):
    random = np.random.default_rng(0)
    of_images = {variant: random.normal(0, 0.5, 30) for variant in TABLE}
    parts = {(variant, "miou", seed): of_images[variant] for variant in TABLE for seed in range(3)}
    claim = ("miou[a=1] > miou",)
    assert answers(results_of(TABLE, claim)) == ["reproduced"]
    assert answers(results_of(TABLE, claim, contributions=parts)) == ["inconclusive"]


def test_what_is_missing_or_failed_is_not_evaluated_with_the_reason(results_of):
    table = {
        **TABLE,
        "net(a=2)": {**TABLE["net(a=2)"], "miou": [0.6, None, "diverged: nan"], "latency": "out of memory"},
    }
    results = results_of(
        table, ("miou[a=2] > miou", "latency[a=2] < latency", "miou[a=1] > miou", "miou[a=1] > miou[a=2]")
    )
    gone = Statement("miou[a=7] > miou", "Table 1", problem="no variant here has a=7")
    results = dataclasses.replace(results, claims=(*results.claims, gone))
    outcomes = summarise(results).claims
    assert [each.answer for each in outcomes] == [*["not evaluated"] * 2, "reproduced", *["not evaluated"] * 2]
    assert outcomes[0].reason == "miou of net(a=2) (seed 2) failed: diverged: nan"
    assert outcomes[1].reason == "latency of net(a=2) failed: out of memory"
    assert outcomes[4].reason == "no variant here has a=7"


def test_one_seed_leaves_every_claim_open(results_of):
    assert answers(results_of({"net(a=0)": {"miou": [0.1]}, "net(a=1)": {"miou": [0.9]}}, ("miou[a=1] > miou",))) == [
        "inconclusive"
    ]


def test_a_claim_in_words(results_of):
    results = results_of(TABLE, ("miou[a=1] > miou", "macs[a=1] < macs", "latency[a=1] < latency"))
    first, second, third = claim_texts(summarise(results))
    assert (first.answer, first.numbers) == ("reproduced", ("0.611 against 0.510",))
    assert first.differences[0].startswith("+0.101 [+0.07")
    assert first.basis == ("97.5 % confidence interval from 3 seeds, as in the table",)  # Holm: the first of two
    assert (second.differences, second.basis) == (("−40",), ("exact",))
    assert "one process for each variant" in third.basis[0]
    assert third.numbers == ("8.95 against 10.95 ms",)
    assert claim_text(second) == "reproduced: macs[a=1] < macs (Table 1): 60 against 100 MACs, difference −40, exact"


def test_what_a_claim_adds_is_not_passed_off_as_measured(results_of):
    """The difference is that of the claim's two sides, as its interval is."""
    results = results_of(TABLE, ("miou[a=1] > miou + 0.05", "miou[a=1] - 0.2 < miou", "miou > 0.3"))
    more, less, constant = claim_texts(summarise(results))
    assert more.numbers == ("0.611 against 0.510 + 0.050",)
    assert more.differences[0].startswith("+0.051 [")
    assert less.numbers == ("0.611 \N{MINUS SIGN} 0.200 against 0.510",)
    assert constant.numbers == ("0.510 against 0.300",)


def test_a_ratio_of_few_samples_has_a_finite_interval(results_of):
    """Five calls of a network that takes 46 times as long: order statistics of five have no 95 % interval."""
    slow, fast = [4.6, 4.7, 4.5, 4.8, 4.6], [0.1 + i / 1000 for i in range(52)]
    table = {"net(a=0)": {"latency": fast}, "net(a=1)": {"latency": slow}}
    (claim,) = summarise(results_of(table, ("latency[a=1] > 10 * latency",))).claims
    assert claim.answer == "reproduced"
    low, high = claim.comparisons[0].interval
    assert 0 < low < claim.comparisons[0].difference < high < 10


@pytest.mark.parametrize("form", ["md", "latex"])
def test_claims_stand_under_the_table(results_of, form: str):
    text = rendered(results_of(TABLE, ("miou[a=1] > miou", "miou[a=2] > miou")), form)
    assert text.count("claim reproduced: ") == text.count("claim inconclusive: ") == 1


def test_claims_in_json_have_the_keys_of_every_line(results_of):
    lines = rendered(results_of(TABLE, ("miou[a=1] > miou[a=2] > miou",)), "json").splitlines()
    objects = [json.loads(line) for line in lines if json.loads(line)["status"] == "claim"]
    assert [line["verdict"] for line in objects] == ["inconclusive", "inconclusive"]
    for line in objects:
        assert {"variant", "metric", "value", "unit", "better", "samples", "error"} <= line.keys()
        assert line["interval"][0] < line["value"] < line["interval"][1]
        assert line["value"] == pytest.approx(line["left"] - line["right"])


CURVE = {
    "net(a=0)": {"miou": [0.30, 0.31, 0.29], "reach": [9.0, 9.1, 9.2]},
    "net(a=1)": {"miou": [0.50, 0.51, 0.49], "reach": [6.0, 6.1, 6.2]},
    "net(a=2)": {"miou": [0.51, 0.50, 0.52], "reach": [3.0, 3.1, 3.2]},
    "net(a=10)": {"miou": [0.50, 0.52, 0.51], "reach": [0.0, 0.1, 0.2]},
}


@pytest.mark.parametrize(
    ("claim", "answer"),
    [
        ("knee(miou, a) == 1", "reproduced"),  # +0.2, then +0.01 and nothing
        ("knee(miou, a) == 2", "inconclusive"),  # the gain into 2 is within the noise
        ("monotone(reach, -a)", "reproduced"),
        ("monotone(reach, a)", "contradicted"),
        ("monotone(miou, a)", "inconclusive"),
        ("knee(reach, a) == 1", "contradicted"),  # without a direction, higher is a gain, and 1 is lower than 0
    ],
)
def test_claims_about_the_shape_of_a_curve(results_of, claim: str, answer: str):
    assert answers(results_of(CURVE, (claim,))) == [answer]


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("knee(miou, a) == 0", "others on both sides: 1, 2"),
        ("knee(miou, a) == 7", "others on both sides: 1, 2"),
        ("knee(miou, a) > 1", "write it as monotone"),
        ("monotone(miou, a) == 1", "write it as monotone"),
        ("monotone(miou, depth)", "no variants differ from the baseline in numbers of 'depth'"),
        ("knee(iou, a) == 1", "does not measure 'iou'"),
    ],
)
def test_a_shape_that_cannot_be_read_says_what_would(results_of, claim: str, message: str):
    with pytest.raises(ClaimError, match=message):
        results_of(CURVE, (claim,))
