from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from figure_checks import curves, drawn

from bench.plots.pck_curves import ALPHAS, curve, curve_frame
from bench.results.results import Results


def test_the_curve_passes_through_pck(posed: Results) -> None:
    frame = curve_frame(posed, "torso")
    at = float(ALPHAS[np.flatnonzero(np.isclose(ALPHAS, 0.2))[0]])
    for (variant, seed), rows in frame.groupby(["variant", "seed"]):
        evaluation = posed.evaluations[variant, seed]
        distance = np.linalg.norm(evaluation.units["dark"] - evaluation.units["truth"], axis=-1)
        scored = (evaluation.units["visible"] > 0) & np.isfinite(evaluation.units["torso"])
        within = distance[scored] <= at * evaluation.units["torso"][scored]
        assert rows.loc[rows["alpha"] == at, "fraction"].item() == pytest.approx(within.mean())
        assert (np.diff(rows["fraction"]) >= 0).all()
    assert {*frame.groupby(["variant", "seed"]).groups} == {*posed.evaluations}


def test_no_curve_without_the_length_or_the_decoding(posed: Results) -> None:
    evaluation = posed.evaluations[posed.baseline, 0]
    assert curve(evaluation, "torso") is not None
    assert curve(evaluation, "no such length") is None
    assert curve(evaluation, "torso", "no such decoding") is None
    assert curve(dataclasses.replace(evaluation, summaries={}), "torso") is None


def test_decodings_are_drawn_where_an_ablation_compares_them(posed: Results) -> None:
    assert list(drawn("pck_curves", posed)) == ["pck_curves"]
    comparing = dataclasses.replace(posed, expected=(*posed.expected, (posed.baseline, "error_argmax", 0)))
    figure = drawn("pck_curves", comparing)["pck_by_decoding"]
    assert [len(axes.lines) for axes in figure.axes] == [3, 3, 3]  # argmax, DARK, and the threshold
    assert len([*curves(figure)]) == 6
