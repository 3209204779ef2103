from __future__ import annotations

import numpy as np
import pytest

from bench.display.curves import BLOCKS, curve_frame, thinned
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
