from __future__ import annotations

import dataclasses

from figure_checks import drawn, exemplified

from bench.display.dodging import REMARK
from bench.plots.ambiguity import PANELS
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


def test_markers_on_one_another_are_drawn_apart(posed: Results) -> None:
    results = exemplified("ambiguity", posed)
    assert REMARK not in str(drawn("ambiguity", results)["ambiguity"].get_label())
    values = results.frame["value"].mask(results.frame["metric"].isin(PANELS), 0.5)
    sizes = values.mask((results.frame["metric"] == "receptive_field") & values.notna(), 11.0)  # the last is global
    equal = dataclasses.replace(results, frame=results.frame.assign(value=sizes))
    assert REMARK in str(drawn("ambiguity", equal)["ambiguity"].get_label())
