from __future__ import annotations

import dataclasses

import numpy as np
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


def test_of_many_latents_the_first_are_drawn_and_the_caption_says_how_many(imagined: Results):
    """A panel is as high as its own rows: two panels in a row of figures share a height, others do not."""
    many = in_order(imagined)[-1]
    evaluation = imagined.evaluations[many, 0]
    parts = {"samples": {**evaluation.samples, "traversals": np.zeros((20, 9, 6, 5, 1), dtype=np.uint8)}}
    parts |= {"summaries": {**evaluation.summaries, "code_variances": np.arange(20.0)}}
    evaluations = {**imagined.evaluations, (many, 0): dataclasses.replace(evaluation, **parts)}
    (figure,) = drawn("traversals", dataclasses.replace(imagined, evaluations=evaluations)).values()
    assert "; shown are 8 of 20 latents" in str(figure.get_label())
    heights = [axes.images[0].get_array().shape[0] for axes in figure.axes if axes.images]
    assert heights == [3 * 7 - 1] * 6 + [8 * 7 - 1]
    figure.draw_without_rendering()
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert boxes[-2].height > 2 * boxes[0].height
    assert "shown are" not in str(drawn("traversals", imagined)["traversals"].get_label())
