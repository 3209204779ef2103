from __future__ import annotations

import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.display.figure import theme
from bench.display.legend import legend_below

WORDS = "stacks=4, loss=cross_entropy, " * 12


def drawn(texts: list[str], width: float, columns: int = 6) -> Figure:
    with theme():
        figure = Figure(figsize=(width, 3), layout="constrained")
        figure.subplots()
        legend_below(figure, [Line2D([], []) for _ in texts], texts, columns)
        figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize("width", [4.1, 6.0, 8.2])
@pytest.mark.parametrize("length", [3, 20, 45, 60, 90, 200])
def test_a_legend_stays_inside_its_figure_at_any_length(width: float, length: int):
    figure = drawn([WORDS[:length] + str(i) for i in range(7)], width)
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= width * figure.dpi
    assert box.y0 >= 0


def test_a_word_that_is_longer_than_the_figure_is_broken():
    figure = drawn(["w" * 300], 4.1)
    assert figure.legends[0].get_window_extent().x1 <= 4.1 * figure.dpi


def test_the_axes_keep_their_height_with_any_legend():
    heights = [drawn(["text"] * count, 4.1, columns=1).axes[0].get_window_extent().height for count in (1, 12)]
    assert heights[0] == pytest.approx(heights[1], rel=0.05)


def test_short_entries_have_as_many_columns_as_allowed():
    assert [drawn(["a"] * 8, 8.2, columns=columns).legends[0]._ncols for columns in (1, 3, 6)] == [1, 3, 6]


def test_a_figure_without_room_for_any_legend_is_an_error():
    with pytest.raises(ValueError, match=r"0\.3 inches wide has no room"):
        drawn(["some words"], 0.3)
