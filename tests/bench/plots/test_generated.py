from __future__ import annotations

import pytest
from figure_checks import drawn, with_facts

from bench.results.results import Results


@pytest.mark.parametrize("name", ["generated", "reconstructions", "interpolations", "traversals"])
def test_pictures_that_may_not_be_shown_are_not(name: str, imagined: Results):
    assert drawn(name, imagined)
    assert drawn(name, with_facts(imagined, publishable=False)) == {}


def test_the_first_samples_are_drawn_row_by_row(imagined: Results):
    first = imagined.evaluations[imagined.variants[0], 0]
    (figure,) = drawn("generated", imagined).values()
    titles = [axes.get_title() for axes in figure.axes]
    picture = figure.axes[next(i for i, title in enumerate(titles) if "baseline" in title)].images[0].get_array()
    assert (picture[:6, :5, 0] == first.samples["generated"][0, :, :, 0]).all()
    assert (picture[7:13, :5, 0] == first.samples["generated"][5, :, :, 0]).all()
