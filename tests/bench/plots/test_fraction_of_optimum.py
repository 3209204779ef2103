from __future__ import annotations

import pytest
from figure_checks import drawn, overlap, texts, with_facts
from matplotlib.collections import LineCollection

from bench.analysis.summary import summarise
from bench.display.figure import in_order
from bench.results.results import Results

NAME = "fraction_of_optimum"


def test_a_bar_is_as_long_as_the_fraction_of_the_variants_own_bound(synthetic: Results):
    axes = drawn(NAME, synthetic)[NAME].axes[0]
    aggregates = summarise(synthetic).aggregates
    bars = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in axes.patches}
    assert len(bars) == len(synthetic.variants)
    for row, variant in enumerate(in_order(synthetic)):
        best = 0.61 if "stride=8" in variant else 0.55
        assert bars[row] == pytest.approx(100 * aggregates[variant, "miou"].value / best)
    assert axes.get_xlim()[0] == 0


def test_both_numbers_are_next_to_the_bar(synthetic: Results):
    aggregate = summarise(synthetic).aggregates[synthetic.baseline, "miou"]
    words = texts(drawn(NAME, synthetic)[NAME])
    assert f"{100 * aggregate.value / 0.55:.1f} %: {aggregate.value:.4f} of 0.5500" in words


def test_no_line_of_the_best_score_touches_a_text(synthetic: Results):
    """Nor that of the baseline: the accuracy figure has the same rows."""
    for name in (NAME, "accuracy"):
        (figure,) = drawn(name, synthetic).values()
        figure.draw_without_rendering()
        axes = figure.axes[0]
        pieces = [each.get_window_extent() for each in axes.collections if isinstance(each, LineCollection)]
        pieces += [line.get_window_extent() for line in axes.lines if line.get_linestyle() == ":"]
        assert len(pieces) >= len(synthetic.variants)
        for text in axes.texts:
            assert not [piece for piece in pieces if max(0, min(overlap(text.get_window_extent(), piece)) + 1) > 0]


def test_without_a_known_optimum_there_is_no_figure(synthetic: Results):
    assert drawn(NAME, with_facts(synthetic, optimum={})) == {}
