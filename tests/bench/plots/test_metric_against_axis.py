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


def test_a_curve_joins_the_variants_that_differ_on_the_axis_alone(four: Results):
    rows = [("0.1", "sgd"), ("0.3", "sgd"), ("0.01", "sgd"), ("1", "adamw")]
    results = with_axes(four, *({"train.lr": lr, "train.optimizer": name} for lr, name in rows))
    (figure,) = drawn("metric_against_axis", results).values()
    assert points(figure) == [[0.01, 0.6], [0.1, 0.5], [0.3, 0.7]]
    assert len(figure.axes) == 1


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
    (figure,) = drawn("metric_against_axis", with_axes(four, *({"train.lr": value} for value in values))).values()
    check_labels(figure)
