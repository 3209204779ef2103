from __future__ import annotations

import numpy as np
from figure_checks import drawn

from bench.display.figure import in_order
from bench.results.results import Results


def test_the_map_has_the_two_widest_latents_and_the_colours_of_the_classes(imagined: Results):
    (figure,) = drawn("latent_map", imagined).values()
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("latent 2", "latent 1")
    points = axes.collections[0]
    codes = imagined.evaluations[in_order(imagined)[0], 0].units["code_mean"]
    assert np.allclose(points.get_offsets(), codes[:, [1, 0]])
    assert np.allclose(points.get_facecolors()[:3, :3] * 255, [[200, 30, 30], [30, 160, 30], [30, 30, 200]])
    assert points.get_rasterized()
