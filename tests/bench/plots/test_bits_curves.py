from __future__ import annotations

import pytest
from figure_checks import curves, drawn, texts, with_facts

from bench.results.results import Results


def test_losses_in_nats_and_in_bits_are_drawn_on_one_scale_with_the_entropy(imagined: Results):
    (figure,) = drawn("bits_curves", imagined).values()
    ends = [line.get_ydata()[-1] for line in curves(figure)]
    assert len(ends) == len(imagined.evaluations)
    assert ends == pytest.approx([0.3] * len(ends), abs=0.01)
    assert "entropy 0.2500" in texts(figure)


def test_other_losses_are_not_drawn(imagined: Results):
    assert drawn("bits_curves", with_facts(imagined, loss_unit="")) == {}


def test_without_a_known_entropy_there_is_no_line(imagined: Results):
    (figure,) = drawn("bits_curves", with_facts(imagined, optimum={})).values()
    assert not any("entropy" in text for text in texts(figure))
