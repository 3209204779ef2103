from __future__ import annotations

import numpy as np
from figure_checks import drawn, with_facts

from bench.display.figure import in_order
from bench.plots.predictions import VOID
from bench.results.results import Results


def test_pictures_that_may_not_be_shown_are_not(synthetic: Results):
    assert drawn("predictions", with_facts(synthetic, publishable=False)) == {}


def test_labels_have_the_colours_of_the_palette(synthetic: Results):
    (figure,) = drawn("predictions", synthetic).values()
    evaluation = synthetic.evaluations[synthetic.baseline, 0]
    truth = np.asarray(figure.axes[3].images[0].get_array())
    label = evaluation.samples["truths"][0, 10, 10]
    assert truth[10, 10].tolist() == evaluation.facts["palette"][label]


def test_unscored_pixels_are_no_errors(synthetic: Results):
    """The made-up truth has no class in the first four rows; the networks predict some class there."""
    (figure,) = drawn("predictions", synthetic).values()
    evaluation = synthetic.evaluations[in_order(synthetic)[0], 0]
    predicted = np.asarray(figure.axes[6].images[0].get_array())
    assert (evaluation.samples["outputs"][0, :4] < 255).all()
    assert (predicted[:4] == VOID).all()
    label = evaluation.samples["outputs"][0, 10, 10]
    assert predicted[10, 10].tolist() == evaluation.facts["palette"][label]
