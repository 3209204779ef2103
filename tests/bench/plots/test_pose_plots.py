"""What the figures of poses show, besides what every figure must keep (test_plots)."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bench.analysis.summary import summarise
from bench.data.skeleton import limbs
from bench.display.figure import theme
from bench.plots.ambiguity import ambiguity
from bench.plots.joints import by_joint
from bench.plots.pck_curves import ALPHAS, curve, curves, pck_curves
from bench.plots.skeletons import skeletons
from bench.plots.stage_heatmaps import painted, stage_heatmaps
from bench.results.results import Results


def withheld(posed: Results) -> Results:
    evaluations = posed.evaluations.items()
    hidden = {k: dataclasses.replace(e, facts={**e.facts, "publishable": False}) for k, e in evaluations}
    return dataclasses.replace(posed, evaluations=hidden)


@pytest.mark.parametrize("figure", [skeletons, stage_heatmaps])
def test_people_who_may_not_be_shown_are_not(figure, posed: Results) -> None:
    with theme():
        assert list(figure(posed))
        assert not list(figure(withheld(posed)))


def test_skeletons_connect_the_joints_that_are_there(posed: Results) -> None:
    with theme():
        ((_, figure),) = skeletons(posed)
    evaluation = next(iter(posed.evaluations.values()))
    number = int(evaluation.samples["numbers"][-1])
    rows = evaluation.units["image"] == number
    truth, flags = evaluation.units["truth"][rows], evaluation.units["visible"][rows]
    axes = figure.axes[3]  # the truth of the last picture: number 5, whose joint 4 is not annotated
    drawn = {frozenset(map(tuple, np.round(line.get_xydata(), 6))) for line in axes.lines}
    seen = [(a, b) for a, b in limbs(evaluation.names) if flags[a] and flags[b]]
    assert len(seen) < len(limbs(evaluation.names))
    assert drawn == {frozenset(map(tuple, np.round(truth[[a, b]], 6))) for a, b in seen}


def test_the_left_joint_s_map_is_green_and_the_right_one_s_red() -> None:
    maps = np.zeros((2, 4, 5), dtype=np.uint8)
    maps[0, 1, 2], maps[1, 3, 0] = 255, 255
    found = painted(np.zeros((13, 17, 3), dtype=np.uint8), maps, ("left_wrist", "right_wrist"), "wrist")
    assert found.shape == (13, 17, 3)
    left, right = found[4:8, 8:12], found[12:, 0:4]
    assert (left[..., 1] > left[..., 0]).all()
    assert (right[..., 0] > right[..., 1]).all()
    assert found.sum() == pytest.approx(left.sum() + right.sum())


def test_joints_are_averaged_over_seeds(posed: Results) -> None:
    summary = summarise(posed)
    found = by_joint(summary, posed.baseline, "pck")
    aggregate = summary.aggregates[posed.baseline, "pck"]
    assert list(found) == list(aggregate.details[0]["per_class"])
    assert found["neck"] == pytest.approx(np.mean([detail["per_class"]["neck"] for detail in aggregate.details]))


def test_ambiguity_needs_both_kinds_of_joints_and_shows_what_is_possible(posed: Results) -> None:
    one = dataclasses.replace(posed, frame=posed.frame[posed.frame["metric"] != "pck_unambiguous"])
    with theme():
        assert not list(ambiguity(one))
        ((_, figure),) = ambiguity(posed)
    levels = {float(line.get_ydata()[0]) for line in figure.axes[0].lines if line.get_linestyle() == ":"}
    assert levels == {0.5, 1.0}


def test_the_curve_passes_through_pck(posed: Results) -> None:
    found = curves(posed, posed.baseline, "torso")
    at = int(np.flatnonzero(np.isclose(ALPHAS, 0.2))[0])
    for seed, shares in found.items():
        evaluation = posed.evaluations[posed.baseline, seed]
        distance = np.linalg.norm(evaluation.units["dark"] - evaluation.units["truth"], axis=-1)
        rows = (evaluation.units["visible"] > 0) & np.isfinite(evaluation.units["torso"])
        within = distance[rows] <= ALPHAS[at] * evaluation.units["torso"][rows]
        assert shares[at] == pytest.approx(within.mean())
        assert (np.diff(shares) >= 0).all()
    assert [*found] == sorted(seed for variant, seed in posed.evaluations if variant == posed.baseline)


def test_no_curve_for_a_length_that_the_data_set_does_not_tell(posed: Results) -> None:
    evaluation = posed.evaluations[posed.baseline, 0]
    assert curve(evaluation, "no such length") is None
    assert curve(evaluation, "torso", "no such decoding") is None
    assert curve(dataclasses.replace(evaluation, units={}), "torso") is None


def test_decodings_are_drawn_where_an_ablation_asks_for_them(posed: Results) -> None:
    asked = dataclasses.replace(posed, expected=(*posed.expected, (posed.baseline, "error_argmax", 0)))
    with theme():
        assert [name for name, _ in pck_curves(posed)] == ["pck_curves"]
        found = dict(pck_curves(asked))
    panel, *_ = found["pck_by_decoding"].axes
    assert len(panel.lines) == 1 + 2  # where PCK is read; by argmax and by DARK
