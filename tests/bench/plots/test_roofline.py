from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from figure_checks import drawn, exemplified

from bench.results.results import Results


@pytest.fixture
def results(synthetic: Results) -> Results:
    return exemplified("roofline", synthetic)


def markers(figure) -> np.ndarray:
    return np.concatenate([np.asarray(each.get_offsets()) for each in figure.axes[0].collections])


def test_the_ridge_is_where_the_ceilings_meet(results: Results):
    figure = drawn("roofline", results)["roofline"]
    (roof,) = figure.axes[0].lines
    # 100 GFLOP/s over 10 GB/s: 10 FLOPs per byte; the line begins at a third of it, on the bandwidth
    (low, ridge, high), (start, peak, end) = roof.get_data()
    assert (ridge, peak, end) == pytest.approx((10, 100, 100))
    assert (low, start) == pytest.approx((10 / 3, 100 / 3))
    assert high > 20 * 1.3**6
    assert len(markers(figure)) == len(results.variants)
    assert [20.0, 60.0] in markers(figure).tolist()


def test_where_one_variant_failed_the_others_are_shown(results: Results):
    frame = results.frame
    rows = (frame["metric"] != "roofline") | (frame["variant"] != results.baseline)
    figure = drawn("roofline", dataclasses.replace(results, frame=frame[rows]))["roofline"]
    assert len(markers(figure)) == len(results.variants) - 1


def test_one_variant_alone_has_no_figure(results: Results):
    frame = results.frame
    rows = (frame["metric"] != "roofline") | (frame["variant"] == results.baseline)
    assert drawn("roofline", dataclasses.replace(results, frame=frame[rows])) == {}
