"""What the notes say of a difference that is not settled."""

from __future__ import annotations

import pytest

from bench.analysis.summary import summarise
from bench.display.numbers import style_of
from bench.display.wording import open_text


@pytest.mark.parametrize(("largest", "says"), [(float("inf"), True), (4.0, True), (1.0, False)])
def test_a_margin_that_no_difference_can_exceed_is_not_said(results_of, largest, says):
    """Two seeds that differ by half of the range: the margin is 2.3, and no two fractions differ by more than 1."""
    summary = summarise(results_of({"net(a=0)": {"miou": [0.1, 0.6]}, "net(a=1)": {"miou": [0.2, 0.9]}}))
    delta = summary.deltas["net(a=1)", "miou"]
    assert delta.verdict == "inconclusive"
    assert 1 < delta.shown_margin < 4
    text = open_text(delta, style_of(summary, summary.main()), largest)
    assert text.startswith("inconclusive")
    assert ("equivalent within" in text) is says


def test_a_note_about_a_fraction_says_no_margin_of_its_whole_range(results_of):
    from bench.display.wording import _open

    summary = summarise(results_of({"net(a=0)": {"miou": [0.1, 0.6]}, "net(a=1)": {"miou": [0.2, 0.9]}}))
    notes = list(_open(summary, [summary.main()], {name: name for name in summary.results.variants}))
    assert len(notes) == 1
    assert "inconclusive;" in notes[0]
