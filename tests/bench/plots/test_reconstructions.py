from __future__ import annotations

from figure_checks import drawn

from bench.display.figure import in_order
from bench.results.results import Results


def test_reconstructions_are_below_their_images(imagined: Results):
    first = imagined.evaluations[in_order(imagined)[0], 0]
    (figure,) = drawn("reconstructions", imagined).values()
    picture = figure.axes[0].images[0].get_array()
    assert (picture[:6, :5, 0] == first.samples["originals"][0, :, :, 0]).all()
    assert (picture[7:, :5, 0] == first.samples["reconstructions"][0, :, :, 0]).all()
