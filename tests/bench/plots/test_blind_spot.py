from __future__ import annotations

from figure_checks import drawn, exemplified
from matplotlib.colors import to_hex

from bench.plots.blind_spot import LOOKS
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
    assert to_hex(rgba[2, 2]) == LOOKS["x"]
    assert rgba[2, 3][3] == 0
    assert pictures[1].get_extent() == [-2.5, 2.5, 0.5, -2.5]
