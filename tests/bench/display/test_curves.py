from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench.display.curves import BLOCKS, curve_frame, runs_apart, thinned
from bench.results.results import Results
from bench.stats.descriptive import mean


def test_thinning_keeps_the_mean():
    values = np.random.default_rng(0).normal(size=800)
    assert len(thinned(values, 40)) == 40
    assert mean(thinned(values, 40)) == pytest.approx(values.mean())
    assert thinned(np.array([1.0, 2.0])) == [1.0, 2.0]


def test_each_seed_has_a_row_for_each_block(synthetic: Results):
    frame = curve_frame(synthetic)
    assert set(frame["curve"]) == {"loss"}
    assert {*frame.groupby(["variant", "seed"]).size()} == {BLOCKS}
    assert {*zip(frame["variant"], frame["seed"], strict=True)} == {*synthetic.evaluations}


@pytest.mark.parametrize(
    ("ends", "apart"),
    [
        ((1.0, 1.1, 2.3), {("a", 2)}),
        ((1.0, 1.1, 2.1), set()),
        ((1.0, 1.1, float("nan")), {("a", 2)}),
        ((1.0, 9.0), set()),  # of two, nobody knows which one went another way
        ((-1.0, -1.1, 2.3), set()),
    ],
)
def test_a_run_is_apart_where_it_ends_above_twice_the_median(ends: tuple[float, ...], apart: set[tuple[str, int]]):
    rows = [{"variant": "a", "seed": i, "step": step, "value": value}
            for i, end in enumerate(ends) for step, value in ((1, 50.0 * (i + 1)), (2, end))]  # fmt: skip
    assert runs_apart(pd.DataFrame(rows)) == apart
