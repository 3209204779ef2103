from __future__ import annotations

import dataclasses

from figure_checks import drawn, exemplified

from bench.results.results import Results


def test_it_needs_both_kinds_of_joints_and_different_receptive_fields(posed: Results) -> None:
    results = exemplified("ambiguity", posed)
    assert drawn("ambiguity", results)
    assert drawn("ambiguity", posed) == {}  # all receptive fields are the same
    one = dataclasses.replace(results, frame=results.frame[results.frame["metric"] != "pck_unambiguous"])
    assert drawn("ambiguity", one) == {}


def test_the_best_possible_scores_are_lines(posed: Results) -> None:
    (figure,) = drawn("ambiguity", exemplified("ambiguity", posed)).values()
    levels = {float(line.get_ydata()[0]) for line in figure.axes[0].lines if line.get_linestyle() == ":"}
    assert levels == {0.5, 1.0}
