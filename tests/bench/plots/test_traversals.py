from __future__ import annotations

from figure_checks import drawn

from bench.display.figure import in_order
from bench.results.results import Results


def test_the_rows_are_in_the_order_of_spread(imagined: Results):
    variant = in_order(imagined)[0]
    first = imagined.evaluations[variant, 0]
    (figure,) = drawn("traversals", imagined).values()
    picture = figure.axes[0].images[0].get_array()
    assert first.units["code_mean"].var(axis=0).argmax() == 1
    assert (picture[:6, :5, 0] == first.samples["traversals"][1, 0, :, :, 0]).all()
