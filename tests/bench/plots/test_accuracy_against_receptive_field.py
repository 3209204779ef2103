from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from figure_checks import drawn, exemplified
from matplotlib.figure import Figure
from matplotlib.text import Text

from bench.analysis.summary import summarise
from bench.display.receptive_fields import sides_of
from bench.plots.accuracy_against_receptive_field import constant_prediction
from bench.results.results import Results

NAME = "accuracy_against_receptive_field"

OPTIMUM = {"miou": 1.0, "miou@field1": 0.5, "miou@field21": 0.75, "miou@field29": 1.0}
OPTIMUM |= {"miou@chance_from": 0.45, "miou@chance_to": 0.55}


@pytest.fixture(scope="module")
def results(synthetic: Results) -> Results:
    """Receptive fields of 11, 21, ... px, one of them global; a dataset with known optimum and chance."""
    results = exemplified(NAME, synthetic)
    parts: dict[str, Any] = {"facts": {"optimum": OPTIMUM}, "summaries": {"class_pixels": np.array([31, 9])}}
    evaluations = {key: dataclasses.replace(e, **parts) for key, e in results.evaluations.items()}
    provenance = {**results.provenance, "dataset": {"name": "context", "distance": 14}}
    return dataclasses.replace(results, evaluations=evaluations, provenance=provenance)


def lines(figure: Figure, style: str) -> list[list[list[float]]]:
    styled = [line for axes in figure.axes for line in axes.lines if line.get_linestyle() == style]
    return [[[float(v) for v in line.get_xdata()], [float(v) for v in line.get_ydata()]] for line in styled]


def test_the_known_step_is_drawn_and_goes_on_to_the_edge(results: Results):
    figure = drawn(NAME, results)["accuracy_against_receptive_field"]
    ((sizes, best),) = lines(figure, ":")
    assert sizes[:3] == [1, 21, 29]
    assert best == [0.5, 0.75, 1.0, 1.0]
    assert sizes[3] == figure.axes[0].get_xlim()[1]


def test_the_distance_of_the_cue_is_a_line_at_the_least_receptive_field_that_contains_it(results: Results):
    (((left, right), _),) = lines(drawn(NAME, results)["accuracy_against_receptive_field"], "-.")
    assert left == right == 2 * 14 + 1


def test_chance_is_a_band_and_the_best_constant_prediction_a_line(results: Results):
    figure = drawn(NAME, results)["accuracy_against_receptive_field"]
    (band,) = figure.axes[0].patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((0.45, 0.55))
    ((_, (level, _)),) = lines(figure, "--")
    assert level == pytest.approx(31 / 40 / 2)  # 31 of 40 pixels are of the first of two classes


def test_a_constant_prediction_is_scored_from_the_truths_counts(results: Results):
    assert constant_prediction(results, "pixel_accuracy") == 31 / 40
    assert constant_prediction(results, "mean_accuracy") == 1 / 2
    assert constant_prediction(results, "boundary_iou") is None
    assert constant_prediction(dataclasses.replace(results, evaluations={}), "miou") is None


def test_a_global_receptive_field_has_a_place_of_its_own_beyond_the_widest(results: Results):
    figure = drawn(NAME, results)["accuracy_against_receptive_field"]
    sides = sides_of(summarise(results), "receptive_field", "miou")
    widest = max(size for size in sides.values() if size is not None)
    (place,) = (tick for tick, text in zip(*ticks(figure), strict=True) if text == "global")
    assert list(sides.values()).count(None) == 1
    assert place > 1.1 * widest


def ticks(figure: Figure) -> tuple[list[float], list[str]]:
    axes = figure.axes[0]
    return list(axes.get_xticks()), [text.get_text() for text in axes.get_xticklabels()]


def test_where_all_receptive_fields_are_equal_there_is_no_figure(synthetic: Results):
    assert drawn(NAME, synthetic) == {}


def with_effective(results: Results) -> Results:
    """Effective receptive fields whose squares have sides of 10, 11, ... px."""
    rows = results.frame[results.frame["metric"] == "receptive_field"].copy()
    rows = rows.assign(metric="effective_receptive_field", value=5.0, key=rows["key"] + "/e")
    rows["detail"] = [{"side": 10.0 + i} for i in range(len(rows))]
    return dataclasses.replace(results, frame=pd.concat([results.frame, rows], ignore_index=True))


def test_an_effective_receptive_field_is_drawn_by_the_side_of_its_square(results: Results):
    figure = drawn(NAME, with_effective(results))[NAME]
    sides = sides_of(summarise(with_effective(results)), "effective_receptive_field", "miou")
    assert [*sides.values()] == [10.0 + i for i in range(len(results.variants))]
    assert len(figure.axes) == 2
    labels = [text.get_text() for text in figure.findobj(Text)]
    assert any("effective receptive field" in text for text in labels)


def test_the_best_possible_score_is_that_of_each_receptive_field_in_the_effective_panel_too(results: Results):
    """A variant with a receptive field of 11 px cannot score 1.0, wherever its marker is."""
    axes = drawn(NAME, with_effective(results))[NAME].axes[1]
    dotted = [line.get_data() for line in axes.lines if line.get_linestyle() == ":"]
    best = {round(float(np.mean(xs))): float(ys[0]) for xs, ys in dotted}
    assert best == {10: 0.75, 11: 0.75, **dict.fromkeys(range(12, 17), 1.0)}


def test_the_cue_is_left_of_what_is_global(results: Results):
    """The widest receptive field that is not global is 61 px, and the cue is at 81 px."""
    provenance = {**results.provenance, "dataset": {"name": "context", "distance": 40}}
    figure = drawn(NAME, dataclasses.replace(results, provenance=provenance))[NAME]
    (((cue, _), _),) = lines(figure, "-.")
    (place,) = (tick for tick, text in zip(*ticks(figure), strict=True) if text == "global")
    assert cue == 81 < place
