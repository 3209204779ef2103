from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from figure_checks import curves, drawn, texts, with_facts

from bench.results.results import Results


def test_losses_in_nats_and_in_bits_are_drawn_on_one_scale_with_the_entropy(imagined: Results):
    (figure,) = drawn("bits_curves", imagined).values()
    ends = [line.get_ydata()[-1] for line in curves(figure)]
    assert len(ends) == len(imagined.evaluations)
    assert ends == pytest.approx([0.3] * len(ends), abs=0.01)
    assert "entropy of the data, 0.2500" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert not figure.axes[0].texts  # a text at the line lay on the curves


def test_other_losses_are_not_drawn(imagined: Results):
    assert drawn("bits_curves", with_facts(imagined, loss_unit="")) == {}


def test_without_a_known_entropy_there_is_no_line(imagined: Results):
    (figure,) = drawn("bits_curves", with_facts(imagined, optimum={})).values()
    assert not any("entropy" in text for text in texts(figure))


def test_a_peak_at_the_start_does_not_move_the_lower_end_of_the_axis(imagined: Results):
    """A margin of the untrimmed range ended the axis far below 0."""
    key = next(iter(imagined.evaluations))
    evaluation = imagined.evaluations[key]
    losses = {**evaluation.curves, "loss": evaluation.curves["loss"] * np.where(np.arange(200) < 4, 100, 1)}
    evaluations = {**imagined.evaluations, key: dataclasses.replace(evaluation, curves=losses)}
    (figure,) = drawn("bits_curves", dataclasses.replace(imagined, evaluations=evaluations)).values()
    low, high = figure.axes[0].get_ylim()
    assert 0 < low < 0.25
    assert high < 2
    _, _, remark = str(figure.get_label()).partition("peaks above the axis: ")
    peaks = [float(peak) for peak in re.findall(r" up to ([\d.]+)", remark)]
    assert max(peaks) == pytest.approx(max(line.get_ydata().max() for line in curves(figure)), rel=0.01)
    assert min(peaks) > high
