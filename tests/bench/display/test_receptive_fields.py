from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from bench.display.receptive_fields import GLOBAL, ReceptiveFieldAxis


def test_a_global_receptive_field_is_beyond_the_widest_and_has_a_tick():
    scale = ReceptiveFieldAxis({"a": 11.0, "b": None, "c": 40.0})
    assert [scale.position(variant) for variant in "abc"] == [11.0, GLOBAL * 40, 40.0]
    axes = Figure().subplots()
    axes.plot([0, 50], [0, 1])
    scale.fit(axes)
    (place,) = (tick for tick, text in zip(axes.get_xticks(), axes.get_xticklabels()) if text.get_text() == "global")
    assert place == GLOBAL * 40
    assert axes.get_xlim() == pytest.approx((-0.06 * GLOBAL * 40, 1.06 * GLOBAL * 40))


def test_without_a_global_one_the_axis_ends_at_the_widest():
    axes = Figure().subplots()
    ReceptiveFieldAxis({"a": 11.0, "c": 40.0}).fit(axes)
    assert axes.get_xlim() == pytest.approx((-2.4, 42.4))


def test_a_global_receptive_field_is_beyond_the_cue_that_it_contains():
    """At 1.25 times the widest variant, `global` stood left of a cue that no other receptive field contains."""
    assert ReceptiveFieldAxis({"a": 64.0, "b": None}, 81).position("b") == GLOBAL * 81
    assert ReceptiveFieldAxis({"a": 64.0, "b": None}, 9).position("b") == GLOBAL * 64
    axes = Figure().subplots()
    ReceptiveFieldAxis({"a": 11.0}, 81).fit(axes)
    low, high = axes.get_xlim()
    assert low < 11 < 81 < high
    assert min(axes.get_xticks()) >= 0
