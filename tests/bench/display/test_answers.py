"""The answer sentences: one form for each verdict, with numbers that are computed here."""

from __future__ import annotations

import dataclasses

import pytest

from bench.analysis.summary import summarise
from bench.display.answers import answer_text

BASE, OTHER, THIRD = "net(a=1)", "net(a=2)", "net(a=4)"


def answered(results_of, table, pairs, question="Is more better?", **more):
    results = dataclasses.replace(results_of(table), answers=tuple(pairs), question=question, main="miou", **more)
    return answer_text(summarise(results))


def rows(*scores, latency=(0.1, 0.1, 0.1)):
    names = (BASE, OTHER, THIRD)[: len(scores)]
    return {
        name: {"miou": list(values), "latency": [seconds] * 9} for name, values, seconds in zip(names, scores, latency)
    }


def test_a_decided_difference_says_yes_with_both_numbers_and_the_seeds(results_of):
    table = rows([0.500, 0.502, 0.501], [0.600, 0.603, 0.601])
    sentence = answered(results_of, table, [(OTHER, BASE)]).sentence
    assert sentence.startswith("Yes. Miou is higher with a=2 than with a=1: 0.60")
    assert "3 seeds" in sentence
    assert "95 % CI [+" in sentence
    assert sentence.endswith("at the same latency.")


def test_a_worse_one_says_no_and_other_questions_get_no_word(results_of):
    table = rows([0.600, 0.603, 0.601], [0.500, 0.502, 0.501])
    assert answered(results_of, table, [(OTHER, BASE)]).sentence.startswith("No. Miou is lower with a=2")
    for question in ("How much better is it?", "Is a or b better?", "Does it cost much?"):
        assert answered(results_of, table, [(OTHER, BASE)], question).sentence.startswith("Miou is lower")


def test_an_equivalent_one_names_the_margin(results_of):
    table = rows([0.5000, 0.5001, 0.5002], [0.5001, 0.5000, 0.5002])
    sentence = answered(results_of, table, [(OTHER, BASE)]).sentence
    assert sentence.startswith("No. No difference larger than ±0.01 in miou between a=2 and a=1: 0.5")


def test_one_that_is_not_settled_says_so(results_of):
    table = rows([0.4, 0.5, 0.6], [0.45, 0.62, 0.5])
    sentence = answered(results_of, table, [(OTHER, BASE)]).sentence
    assert sentence.startswith("Not settled: miou is 0.5")
    assert "Yes" not in sentence


def test_a_knee_along_one_axis(results_of):
    table = rows([0.500, 0.501, 0.502], [0.700, 0.701, 0.702], [0.7001, 0.7011, 0.7019])
    text = answered(results_of, table, [(OTHER, BASE), (THIRD, OTHER)])
    assert "Miou gets better up to a=2: from 0.501 with a=1 to 0.701" in text.sentence.replace(
        "0.5010", "0.501"
    ).replace("0.7010", "0.701")
    assert text.sentence.endswith("up to a=4.")
    assert text.others == ()


def test_a_large_cost_is_a_factor(results_of):
    table = rows([0.500, 0.502, 0.501], [0.600, 0.603, 0.601], latency=(0.1, 4.6, 0.1))
    assert "at 46 times the latency." in answered(results_of, table, [(OTHER, BASE)]).sentence


@pytest.mark.parametrize("failed", ["diverged", None])
def test_a_failed_or_missing_seed_is_no_answer(results_of, failed):
    table = rows([0.500, 0.502, 0.501], [0.600, failed, 0.601])
    assert answered(results_of, table, [(OTHER, BASE)]).sentence.startswith("Not settled: ")


def test_what_was_not_measured_is_not_replaced_by_another_metric(results_of):
    results = results_of({BASE: {"macs": 5, "miou": [None]}, OTHER: {"macs": 9, "miou": [None]}})
    answer = answer_text(summarise(dataclasses.replace(results, main="miou", answers=((OTHER, BASE),))))
    assert answer.sentence == "Not answered: miou is not measured."
