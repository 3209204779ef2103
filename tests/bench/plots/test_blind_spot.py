from __future__ import annotations

import itertools

from figure_checks import drawn, exemplified
from matplotlib.colors import to_hex

from bench.display.examples import with_metric
from bench.display.figure import INK, svg
from bench.plots.blind_spot import LOOKS, METRIC
from bench.results.results import Results


def test_each_pixel_has_the_colour_of_its_mark(synthetic: Results) -> None:
    (figure,) = drawn("blind_spot", exemplified("blind_spot", synthetic)).values()
    pictures = [image for axes in figure.axes for image in axes.get_images()]
    assert len(pictures) == len(synthetic.variants) - 1
    rgba = pictures[1].get_array()
    assert rgba is not None
    assert rgba.shape == (3, 5, 4)
    assert to_hex(rgba[1, 3]) == LOOKS["o"]
    assert to_hex(rgba[0, 0]) == LOOKS["+"]
    assert rgba[2, 3][3] == 0
    assert pictures[1].get_extent() == [-2.5, 2.5, 0.5, -2.5]


def test_its_numbers_do_not_touch_each_other_however_wide_the_map_is(synthetic: Results) -> None:
    wide = ["+" * 41] * 20 + ["+" * 20 + "x" + "." * 20]
    maps = with_metric(synthetic, METRIC, [{"map": wide}] * len(synthetic.variants), unit="", better="lower",
                       kind="static", exact=True, value=0.25)  # fmt: skip
    (figure,) = drawn("blind_spot", maps).values()
    figure.draw_without_rendering()
    for axis in (axis for axes in figure.axes if axes.get_images() for axis in (axes.xaxis, axes.yaxis)):
        boxes = [label.get_window_extent() for label in axis.get_ticklabels() if label.get_text()]
        assert len(boxes) > 1
        assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))


def test_the_predicted_pixel_is_drawn_in_ink_that_follows_the_page(synthetic: Results) -> None:
    """An image cannot change its colours: there the pixel is free, and a square of ink is drawn."""
    (figure,) = drawn("blind_spot", exemplified("blind_spot", synthetic)).values()
    axes = next(axes for axes in figure.axes if axes.get_images())
    rgba = axes.get_images()[0].get_array()
    assert rgba is not None
    assert rgba[2, 2][3] == 0
    (square,) = axes.patches
    assert to_hex(square.get_facecolor()) == INK
    assert square.get_path().get_extents().bounds == (-0.5, -0.5, 1, 1)
    assert svg(figure, "blind_spot").count("fill: currentColor; opacity: 0.75") == len(synthetic.variants)
