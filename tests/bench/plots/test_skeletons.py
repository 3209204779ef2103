from __future__ import annotations

import numpy as np
from figure_checks import drawn, with_facts, with_other_images

from bench.data.skeleton import limbs, side
from bench.display.figure import in_order, names
from bench.display.sides import LOOKS
from bench.results.results import Results


def test_people_who_may_not_be_shown_are_not(posed: Results) -> None:
    assert drawn("skeletons", posed)
    assert drawn("skeletons", with_facts(posed, publishable=False)) == {}


def test_limbs_connect_annotated_joints(posed: Results) -> None:
    (figure,) = drawn("skeletons", posed).values()
    evaluation = next(iter(posed.evaluations.values()))
    number = int(evaluation.samples["numbers"][-1])
    rows = evaluation.units["image"] == number
    truth, flags = evaluation.units["truth"][rows], evaluation.units["visible"][rows]
    axes = figure.axes[3]  # the ground truth of the last picture: number 5, whose joint 4 is not annotated
    drawn_limbs = {frozenset(map(tuple, np.round(line.get_xydata(), 6))) for line in axes.lines}
    annotated = [(a, b) for a, b in limbs(evaluation.names) if flags[a] and flags[b]]
    assert len(annotated) < len(limbs(evaluation.names))
    assert drawn_limbs == {frozenset(map(tuple, np.round(truth[[a, b]], 6))) for a, b in annotated}


def test_left_and_right_differ_without_colour(posed: Results) -> None:
    (figure,) = drawn("skeletons", posed).values()
    evaluation = next(iter(posed.evaluations.values()))
    styles = {line.get_color(): line.is_dashed() for line in figure.axes[0].lines}
    assert {side(evaluation.names[outer]) for outer, _ in limbs(evaluation.names)} >= {"left", "right"}
    assert (styles[LOOKS["left"].colour], styles[LOOKS["right"].colour]) == (False, True)
    assert LOOKS["left"].marker != LOOKS["right"].marker


def test_every_variant_is_drawn_on_its_own_people(posed: Results) -> None:
    variant = in_order(posed)[1]
    (figure,) = drawn("skeletons", with_other_images(posed, variant, "images")).values()
    rows = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in rows[-2:]] == ["ground truth", names(posed)[variant]]
    own = posed.evaluations[variant, 0].samples["images"][0]
    for axes in rows:
        shown = np.asarray(axes.images[0].get_array())
        assert (shown == (own[::-1] if axes in rows[-2:] else own)).all()
