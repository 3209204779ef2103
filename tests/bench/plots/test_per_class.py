from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from figure_checks import drawn
from matplotlib.collections import QuadMesh

from bench.analysis.summary import summarise
from bench.display.figure import in_order
from bench.results.results import Results
from bench.stats.descriptive import mean


def mesh_of(results: Results) -> QuadMesh:
    (figure,) = drawn("per_class", results).values()
    return next(each for each in figure.axes[0].collections if isinstance(each, QuadMesh))


def test_differences_are_paired_by_seed(synthetic: Results):
    aggregates = summarise(synthetic).aggregates
    name = "fcn(stride=8,skips=[pool4])"
    variants = (name, synthetic.baseline)
    own, baseline = ([d["per_class"]["sky"] for d in aggregates[v, "miou"].details][:2] for v in variants)
    columns = [variant for variant in in_order(synthetic) if variant != synthetic.baseline]
    shown = np.asarray(mesh_of(synthetic).get_array()).reshape(-1, 6)[0, columns.index(name)]
    assert shown == pytest.approx(mean([a - b for a, b in zip(own, baseline, strict=True)]))


@pytest.mark.parametrize(("better", "sign"), [("higher", 1), ("lower", -1)])
def test_blue_is_better(synthetic: Results, better: str, sign: int):
    scores = synthetic.frame["metric"] == "miou"
    frame = synthetic.frame.assign(better=synthetic.frame["better"].where(~scores, better))
    mesh = mesh_of(dataclasses.replace(synthetic, frame=frame))
    limit = mesh.norm.vmax
    red, _, blue, _ = mesh.to_rgba(sign * limit)
    assert blue > red
    red, _, blue, _ = mesh.to_rgba(-sign * limit)
    assert red > blue


def test_joints_have_one_figure(posed: Results):
    """One metric's differences by joint; a second figure of the same values is not drawn."""
    assert list(drawn("per_class", posed)) == ["per_class"]
