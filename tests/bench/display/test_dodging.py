"""Markers on one another."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes

from bench.display.dodging import NEAR, REMARK, SHIFT, dodge, remark
from bench.display.drawn import drawn_csv
from bench.display.figure import svg

SIZE = 288.0
"""Points of the axes' sides, which show 0 to 1."""


@pytest.fixture
def axes() -> Axes:
    figure = plt.figure(figsize=(4, 4), dpi=100)
    made = figure.add_axes((0, 0, 1, 1))
    made.set(xlim=(0, 1), ylim=(0, 1))
    return made


def shown(axes: Axes, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Where markers at these places are drawn, in points; after they were drawn apart."""
    marks = [(x, y, axes.errorbar(x, y, yerr=0.1, marker="o", linestyle="none").get_children()) for x, y in points]
    dodge(axes, marks)
    places = []
    for x, y, (line, *_, bar) in marks:
        place = line.get_transform().transform((x, y))
        assert bar.get_transform().transform((x, y)).tolist() == place.tolist(), "the bar stays behind"
        places.append(tuple((place * 72 / axes.figure.dpi).tolist()))
    return places


def test_markers_at_one_place_are_drawn_apart_about_it(axes: Axes):
    places = shown(axes, [(0.5, 0.5), (0.5, 0.5), (0.5, 0.5), (0.1, 0.5)])
    assert [x for x, _ in places] == pytest.approx([SIZE / 2 - SHIFT, SIZE / 2, SIZE / 2 + SHIFT, 0.1 * SIZE])
    assert [y for _, y in places] == pytest.approx([SIZE / 2] * 4)


def test_near_markers_go_away_from_each_other_and_others_stay(axes: Axes):
    step = (NEAR - 1) / SIZE
    right, left, far = shown(axes, [(0.5 + step, 0.5), (0.5, 0.5), (0.5, 0.5 + (NEAR + 1) / SIZE)])
    assert right[0] - left[0] == pytest.approx(SHIFT)
    assert right[0] + left[0] == pytest.approx(SIZE + NEAR - 1)
    assert far[0] == pytest.approx(SIZE / 2)


def test_rows_that_would_lie_on_one_another_become_one(axes: Axes):
    second = 0.5 + 12 / SIZE
    places = shown(axes, [(0.5, 0.5)] * 3 + [(second, 0.5)] * 2)
    xs = [x for x, _ in places]
    assert xs == pytest.approx([xs[0] + SHIFT * number for number in range(5)])
    assert sum(xs) / 5 == pytest.approx((3 * 0.5 + 2 * second) / 5 * SIZE)


def test_the_numbers_of_a_figure_stay_as_they_are(axes: Axes):
    marks = [(0.25, y, axes.plot([0.25], [y], marker="o")) for y in (0.5, 0.502)]
    before = drawn_csv(axes.figure)
    assert dodge(axes, marks)
    assert drawn_csv(axes.figure) == before
    assert before.count("0.25") == 2
    assert 'id="' not in svg(axes.figure, "figure").replace(' id="figure-', "")  # ids would be the same ones twice


def test_the_caption_says_so_where_it_is_done(axes: Axes):
    apart = [(x, 0.5, axes.plot([x], [0.5], marker="o")) for x in (0.2, 0.8)]
    assert not dodge(axes, apart)
    assert (remark("this", False), remark("this", True)) == ("this", f"this; {REMARK}")
