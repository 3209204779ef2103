from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from figure_checks import check_labels, drawn

from bench.results.results import Results


def with_axes(results: Results, *rows: dict[str, str]) -> Results:
    axes = dict(zip(results.variants, rows, strict=True))
    return dataclasses.replace(results, axes=axes, varied=tuple(rows[0]))


@pytest.fixture
def four(results_of) -> Results:
    return results_of({f"net(a={i})": {"miou": [score, score]} for i, score in enumerate((0.5, 0.7, 0.6, 0.9))})


def points(figure, panel=0):
    return np.asarray(figure.axes[panel].lines[0].get_xydata()).tolist()


def test_a_curve_joins_the_variants_that_differ_on_the_axis_alone(results_of):
    scores = (0.5, 0.7, 0.6, 0.9, 0.8)
    five = results_of({f"net(a={i})": {"miou": [score, score]} for i, score in enumerate(scores)})
    rows = [("0.1", "sgd"), ("0.3", "sgd"), ("0.01", "sgd"), ("1", "adamw"), ("2", "adamw")]
    results = with_axes(five, *({"train.lr": lr, "train.optimizer": name} for lr, name in rows))
    (figure,) = drawn("metric_against_axis", results).values()
    assert points(figure) == [[0.01, 0.6], [0.1, 0.5], [0.3, 0.7]]
    assert len(figure.axes) == 1


def test_what_the_answer_draws_is_not_drawn_again(four: Results):
    results = with_axes(four, *({"train.lr": lr} for lr in ("0.1", "0.3", "0.01", "1")))
    assert drawn("metric_against_axis", results) == {}
    assert points(drawn("answer", results)["answer"]) == [[0.01, 0.6], [0.1, 0.5], [0.3, 0.7], [1, 0.9]]


def test_an_input_size_is_the_root_of_its_pixels(four: Results):
    shapes = ["[3,32,32]", "[3,64,64]", "[3,16,64]", "[3,128,128]"]
    (figure,) = drawn("metric_against_axis", with_axes(four, *({"workload.shape": s} for s in shapes))).values()
    assert [x for x, _ in points(figure)] == [32, 32, 64, 128]
    assert figure.axes[0].get_xlabel() == "workload.shape, side in px"


def test_axes_of_the_network_and_words_have_no_curve(four: Results):
    assert drawn("metric_against_axis", with_axes(four, *({"a": str(i)} for i in range(4)))) == {}
    words = with_axes(four, *({"train.schedule": word} for word in ("cosine", "poly", "constant", "none")))
    assert drawn("metric_against_axis", words) == {}


@pytest.mark.parametrize("values", [("0.0001", "0.001", "0.01", "1"), ("4", "16", "64", "256"), ("1", "2", "3", "7")])
def test_numbers_of_an_axis_do_not_lie_on_each_other(four: Results, values):
    (figure,) = drawn("answer", with_axes(four, *({"train.lr": value} for value in values))).values()
    check_labels(figure)


@pytest.fixture
def timed(results_of) -> Results:
    """A network at two sizes and three batches, twice as slow at the larger size."""
    rows = [(size, batch) for size in (8, 16) for batch in (1, 4, 16)]
    times = {f"net(a={i})": {"latency": [size / 8 * (2.0 + batch)]} for i, (size, batch) in enumerate(rows)}
    axes = [{"workload.shape": f"[3,{size},{size}]", "workload.batch": str(batch)} for size, batch in rows]
    return with_axes(results_of(times), *axes)


def test_times_have_curves_against_batch_one_for_each_size(timed: Results):
    (figure,) = drawn("metric_against_axis", timed).values()
    (axes,) = figure.axes
    curves = [np.asarray(line.get_xydata()).tolist() for line in axes.lines if line.get_alpha() == 0.55]
    assert curves == [[[1, 3], [4, 6], [16, 18]], [[1, 6], [4, 12], [16, 36]]]
    assert (axes.get_xlabel(), axes.get_xscale(), axes.get_yscale()) == ("workload.batch", "log", "log")
    texts = [text.get_text() for text in axes.texts if text.get_text()]
    assert texts == ["as the baseline", "workload.shape=[3,16,16]"]
    check_labels(figure)


def test_costs_have_no_curve_against_a_setting_of_training(four: Results, results_of):
    scores = {f"net(a={i})": {"miou": [0.1 * i], "latency": [1.0 + i]} for i in range(4)}
    results = with_axes(results_of(scores), *({"train.lr": str(0.1 * i + 0.1)} for i in range(4)))
    assert drawn("metric_against_axis", results) == {}
    both = with_axes(results_of(scores), *({"workload.shape": f"[3,{i},{i}]"} for i in (8, 16, 32, 64)))
    (figure,) = drawn("metric_against_axis", both).values()
    assert [axes.get_ylabel().split(" ")[0] for axes in figure.axes] == ["latency"]
