from __future__ import annotations

import dataclasses

import pytest
from matplotlib.text import Text

from bench.analysis.summary import summarise
from bench.display.figure import theme
from bench.plots.share_of_optimum import share_of_optimum
from bench.results.results import Results


def drawn(results: Results):
    with theme():
        return dict(share_of_optimum(results))


def test_a_bar_is_as_long_as_the_share_of_the_variants_own_bound(synthetic: Results):
    axes = drawn(synthetic)["share_of_optimum"].axes[0]
    summary = summarise(synthetic)
    bars = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in axes.patches}
    assert len(bars) == len(synthetic.variants)
    for row, variant in enumerate(synthetic.variants):
        best = 0.61 if "stride=8" in variant else 0.55
        assert bars[row] == pytest.approx(100 * summary.aggregates[variant, "miou"].value / best)
    assert axes.get_xlim()[0] == 0


def test_both_numbers_stand_beside_the_bar(synthetic: Results):
    aggregate = summarise(synthetic).aggregates[synthetic.baseline, "miou"]
    words = [text.get_text() for text in drawn(synthetic)["share_of_optimum"].findobj(Text)]
    assert f"{100 * aggregate.value / 0.55:.1f} %: {aggregate.value:.4f} of 0.5500" in words


def test_without_a_known_optimum_there_is_no_figure(synthetic: Results):
    kept = {k: dataclasses.replace(e, facts={"publishable": True}) for k, e in synthetic.evaluations.items()}
    assert drawn(dataclasses.replace(synthetic, evaluations=kept)) == {}
