from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pandas as pd
import pytest
from figure_checks import drawn, renamed
from matplotlib.collections import QuadMesh

from bench.analysis.summary import summarise
from bench.display.figure import in_order
from bench.display.numbers import MINUS
from bench.plots import per_class
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


@pytest.mark.parametrize(("count", "texts"), [(5, ["+0.25", f"{MINUS}1.04"]), (9, None), (30, None)])
def test_numbers_are_in_the_squares_where_all_of_them_fit(count: int, texts: list[str] | None):
    frame = pd.DataFrame([[0.25] * (count - 1) + [-1.04]], index=["sky (0.50)"])
    numbers = per_class._numbers(frame)
    assert (numbers is None) == (texts is None)
    assert texts is None or numbers is None or [*numbers.iloc[0]][-2:] == texts


def test_where_only_that_fits_numbers_have_no_0_before_the_point():
    frame = pd.DataFrame([[0.25, -0.3, 0.0, math.nan] * 2], index=["sky (0.50)"])
    numbers = per_class._numbers(frame)
    assert numbers is not None
    assert [*numbers.iloc[0]][:4] == ["+.25", f"{MINUS}.30", "+.00", ""]


def test_names_below_columns_do_not_touch_each_other_or_the_bar(synthetic: Results):
    long = renamed(synthetic, {v: v.replace(")", ",decoder=progressive upsampling)") for v in synthetic.variants})
    (figure,) = drawn("per_class", dataclasses.replace(long, varied=())).values()
    figure.draw_without_rendering()
    heat, bar = figure.axes
    boxes = [label.get_window_extent() for label in heat.get_xticklabels()]
    assert len(boxes) == 6
    assert all(one.x1 <= other.x0 for one, other in itertools.pairwise(boxes))
    assert min(box.y0 for box in boxes) > bar.get_tightbbox().y1


def test_many_variants_have_panels_below_each_other_and_one_bar(synthetic: Results, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(per_class, "MOST", 4)
    (figure,) = drawn("per_class", synthetic).values()
    assert [len(axes.get_xticklabels()) for axes in figure.axes[:2]] == [4, 2]
    limits = {next(m for m in axes.collections if isinstance(m, QuadMesh)).get_clim() for axes in figure.axes[:2]}
    assert len(figure.axes) == 3
    assert len(limits) == 1
