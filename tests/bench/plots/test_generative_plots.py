"""Figures of generative models: what they show, and that they show no picture that may not be shown."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from bench.display.figure import theme
from bench.display.mosaic import mosaic
from bench.registry.catalogue import declarations, live
from bench.results.results import Results

PICTURES = ("generated", "reconstructions", "interpolations", "traversals")


def drawn(name: str, results: Results) -> dict[str, Figure]:
    with theme():
        return dict(live(declarations().plots.get(name)).call(results))


def told(results: Results, **facts) -> Results:
    evaluations = {k: dataclasses.replace(e, facts={**e.facts, **facts}) for k, e in results.evaluations.items()}
    return dataclasses.replace(results, evaluations=evaluations)


def test_a_mosaic_holds_every_picture_in_its_place():
    pictures = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1, 1).repeat(4, axis=2).repeat(5, axis=3)
    whole = mosaic(pictures)
    assert whole.shape == (4 + 1 + 4, 5 + 1 + 5 + 1 + 5, 3)
    assert [int(whole[2, x, 0]) for x in (0, 5, 6, 12)] == [0, 255, 1, 2]
    assert (whole[5:, :5] == 3).all()
    assert (whole[4] == 255).all()


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_of_data_that_may_not_be_shown_are_not(name, imagined):
    assert drawn(name, imagined)
    assert drawn(name, told(imagined, publishable=False)) == {}


def test_traversals_stand_in_the_order_of_spread(imagined):
    first = imagined.evaluations[imagined.variants[0], 0]
    (figure,) = drawn("traversals", imagined).values()
    picture = figure.axes[0].images[0].get_array()
    assert first.units["code_mean"].var(axis=0).argmax() == 1
    assert (picture[:6, :5, 0] == first.samples["traversals"][1, 0, :, :, 0]).all()


def test_reconstructions_stand_below_their_images(imagined):
    first = imagined.evaluations[imagined.variants[0], 0]
    (figure,) = drawn("reconstructions", imagined).values()
    picture = figure.axes[0].images[0].get_array()
    assert (picture[:6, :5, 0] == first.samples["originals"][0, :, :, 0]).all()
    assert (picture[7:, :5, 0] == first.samples["reconstructions"][0, :, :, 0]).all()


def test_the_map_has_the_two_widest_latents_and_the_classes_colours(imagined):
    (figure,) = drawn("latent_map", imagined).values()
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("latent 2", "latent 1")
    points = axes.collections[0]
    codes = imagined.evaluations[imagined.variants[0], 0].units["code_mean"]
    assert np.allclose(points.get_offsets(), codes[:, [1, 0]])
    assert np.allclose(points.get_facecolors()[:3, :3] * 255, [[200, 30, 30], [30, 160, 30], [30, 30, 200]])


def test_losses_in_nats_and_in_bits_are_drawn_on_one_scale_with_the_entropy(imagined):
    (figure,) = drawn("bits_curves", imagined).values()
    ends = [line.get_ydata()[-1] for line in figure.axes[0].lines if len(line.get_ydata()) > 2]
    assert len(ends) == len(imagined.evaluations)
    assert ends == pytest.approx([0.3] * len(ends), abs=0.01)
    assert "entropy 0.2500" in [text.get_text() for text in figure.findobj(Text)]
    assert drawn("bits_curves", told(imagined, loss_unit="")) == {}
    (open_ended,) = drawn("bits_curves", told(imagined, optimum={})).values()
    assert not any("entropy" in text.get_text() for text in open_ended.findobj(Text))
