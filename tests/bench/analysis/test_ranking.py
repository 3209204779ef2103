"""Claims on the order of a published table."""

from __future__ import annotations

import itertools
import json
from math import comb

import numpy as np
import pytest
from scipy import stats

from bench.analysis.summary import summarise
from bench.display.wording import claim_text, claim_texts
from bench.report.table import table as rendered
from bench.stats.inference import Exact, Student
from bench.stats.ranks import RankCorrelation, kendall, tau_scale

SHIFTS = (-0.01, 0.0, 0.01)


def table_of(means) -> dict[str, dict[str, list]]:
    return {f"net(a={i})": {"miou": [m + s for s in SHIFTS], "macs": round(1000 * m)} for i, m in enumerate(means)}


def claim_of(numbers, operator=">", threshold=0.5, metric="miou") -> str:
    return f"kendall({metric}, {{{', '.join(f'a={i}: {n}' for i, n in enumerate(numbers))}}}) {operator} {threshold}"


def result_of(results_of, means, claim):
    return summarise(results_of(table_of(means), (claim,))).claims[0]


@pytest.mark.parametrize(
    ("means", "operator", "threshold", "answer"),
    [
        ((0.4, 0.5, 0.6, 0.7), ">", 0.5, "reproduced"),
        ((0.4, 0.5, 0.6, 0.7), "==", 1, "reproduced"),
        ((0.7, 0.6, 0.5, 0.4), ">", 0, "contradicted"),
        ((0.7, 0.6, 0.5, 0.4), "<", -0.9, "reproduced"),
        ((0.4, 0.401, 0.402, 0.403), ">", 0.5, "inconclusive"),
        ((0.4, 0.5, 0.6, 0.601), ">", 0.5, "reproduced"),  # whichever way the last two are, at least 4 of 6 more agree
        ((0.4, 0.5, 0.6, 0.601), ">", 0.7, "inconclusive"),
    ],
)
def test_answers(results_of, means, operator, threshold, answer):
    assert result_of(results_of, means, claim_of((1, 2, 3, 4), operator, threshold)).answer == answer


def test_the_interval_has_the_correlations_that_the_noise_allows(results_of):
    claim = claim_of((1, 2, 3, 4), ">", 0.7)
    (step,) = result_of(results_of, (0.4, 0.5, 0.6, 0.601), claim).comparisons
    assert (step.left, step.right) == (pytest.approx(1.0), 0.7)
    assert step.interval == pytest.approx((4 / 6 - 0.7, 1 - 0.7))
    assert "5 of 6 pairs significantly ordered" in step.basis
    assert "with probability 0.042" in step.basis  # 1 of 24 orders
    assert step.planned


def test_exact_numbers_need_no_interval(results_of):
    (step,) = result_of(results_of, (0.4, 0.6, 0.5), claim_of((1, 2, 3), ">", 0, "macs")).comparisons
    assert (step.left, step.interval, step.answer) == (pytest.approx(1 / 3), None, "reproduced")


def test_words_have_no_unit_of_the_metric(results_of):
    summary = summarise(results_of(table_of((0.4, 0.5, 0.6)), (claim_of((1, 2, 3)),)))
    text = claim_text(claim_texts(summary)[0])
    assert "Kendall's \N{GREEK SMALL LETTER TAU} 1.000 against 0.500, difference +0.500 [" in text
    lines = [json.loads(line) for line in rendered(summary.results, "json").splitlines()]
    (line,) = (line for line in lines if line["status"] == "claim")
    assert (line["verdict"], line["unit"], line["left"]) == ("reproduced", "", pytest.approx(1.0))


def test_what_cannot_be_ranked_is_not_evaluated(results_of):
    table = table_of((0.4, 0.5, 0.6))
    table["net(a=1)"]["miou"][0] = "diverged"
    failed, equal = (claim_of((1, 2, 3)), claim_of((1, 2, 3), ">", 0, "macs"))
    for row in table.values():
        row["macs"] = 7
    results = summarise(results_of(table, (failed, equal))).claims
    assert [each.answer for each in results] == ["not evaluated"] * 2
    assert "failed: diverged" in results[0].reason
    assert "macs is the same for all" in results[1].reason


def test_tau_and_its_probability_are_those_of_an_enumeration():
    ours, published = [0.3, 0.1, 0.4, 0.5], [1.0, 2.0, 3.0, 4.0]
    taus = [
        sum(np.sign(b - a) for a, b in itertools.combinations(p, 2)) / comb(4, 2) for p in itertools.permutations(ours)
    ]
    tau, p_value = kendall(ours, published)
    assert tau == pytest.approx(taus[0])
    assert p_value == pytest.approx(np.mean([each >= tau - 1e-9 for each in taus]))


@pytest.mark.parametrize("published", [(1, 2, 3, 4, 5), (1, 2, 2, 4, 5), (1, 1, 1, 4, 5)])
def test_the_interval_of_exact_numbers_is_tau_b(published):
    ours = (3.0, 1.0, 2.0, 5.0, 4.0)
    pairs = [
        Exact(float(np.sign(y - x)) * (b - a))
        for (a, x), (b, y) in itertools.combinations(zip(ours, published, strict=True), 2)
        if x != y
    ]
    estimate = RankCorrelation(0.0, tuple(pairs), tau_scale(published))
    assert estimate.interval(0.95) == pytest.approx((stats.kendalltau(ours, published).statistic,) * 2)


def test_intervals_hold_the_true_correlation():
    """Of five numbers with known standard errors, two of which are close."""
    random, truth = np.random.default_rng(0), np.array([0.0, 0.01, 0.1, 0.25, 0.3])
    hits = 0
    for _ in range(300):
        values = truth + 0.03 * random.normal(size=5)
        pairs = [_difference(b - a) for a, b in itertools.combinations(values, 2)]
        low, high = RankCorrelation(0.0, tuple(pairs), 10.0).interval(0.95)
        hits += low <= 1 <= high
    assert hits >= 0.93 * 300


def _difference(value: float) -> Student:
    from bench.stats.inference import Source

    return Student(float(value), (Source(0.03 * 2**0.5, 1e9),))
