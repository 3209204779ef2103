from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from bench.analysis.summary import summarise
from bench.display.figure import theme
from bench.plots.accuracy_against_receptive_field import accuracy_against_receptive_field, constant_answer, fields_of
from bench.results.results import Results

OPTIMUM = {"miou": 1.0, "miou@field1": 0.5, "miou@field21": 0.75, "miou@field29": 1.0}
OPTIMUM |= {"miou@chance_from": 0.45, "miou@chance_to": 0.55}


@pytest.fixture(scope="module")
def results(synthetic: Results) -> Results:
    """Fields of 11, 21, ... px, one of them global; a dataset that tells what is possible."""
    frame = synthetic.frame.copy()
    rows = frame["metric"] == "receptive_field"
    frame.loc[rows, "value"] = [11.0 + 10 * i for i in range(rows.sum() - 1)] + [float("nan")]
    frame.at[frame.index[rows][-1], "detail"] = {"global": True}
    confusion = np.array([[[5, 1], [0, 4]], [[20, 5], [5, 0]]])
    told: dict[str, Any] = {"facts": {"optimum": OPTIMUM}, "units": {"confusion": confusion}}
    kept = {key: dataclasses.replace(e, **told) for key, e in synthetic.evaluations.items()}
    provenance = {**synthetic.provenance, "dataset": {"name": "context", "distance": 14}}
    return dataclasses.replace(synthetic, frame=frame, evaluations=kept, provenance=provenance)


def drawn(results: Results) -> dict[str, Figure]:
    with theme():
        return dict(accuracy_against_receptive_field(results))


def lines(figure: Figure, style: str) -> list[list[list[float]]]:
    found = [line for axes in figure.axes for line in axes.lines if line.get_linestyle() == style]
    return [[[float(v) for v in line.get_xdata()], [float(v) for v in line.get_ydata()]] for line in found]


def test_the_known_step_is_drawn_and_goes_on_to_the_edge(results: Results):
    figure = drawn(results)["accuracy_against_receptive_field"]
    ((sizes, best),) = lines(figure, ":")
    assert sizes[:3] == [1, 21, 29]
    assert best == [0.5, 0.75, 1.0, 1.0]
    assert sizes[3] == figure.axes[0].get_xlim()[1]


def test_the_distance_stands_where_a_field_reaches_it_on_either_side(results: Results):
    (((left, right), _),) = lines(drawn(results)["accuracy_against_receptive_field"], "-.")
    assert left == right == 2 * 14 + 1


def test_chance_is_a_band_and_the_best_constant_answer_a_line(results: Results):
    figure = drawn(results)["accuracy_against_receptive_field"]
    (band,) = figure.axes[0].patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((0.45, 0.55))
    ((_, (level, _)),) = lines(figure, "--")
    assert level == pytest.approx(31 / 40 / 2)  # 31 of 40 pixels are of the first of two classes


def test_a_constant_answer_is_scored_from_the_truths_counts(results: Results):
    assert constant_answer(results, "pixel_accuracy") == 31 / 40
    assert constant_answer(results, "mean_accuracy") == 1 / 2
    assert constant_answer(results, "boundary_iou") is None
    assert constant_answer(dataclasses.replace(results, evaluations={}), "miou") is None


def test_a_global_field_has_a_place_of_its_own_beyond_the_widest(results: Results):
    figure = drawn(results)["accuracy_against_receptive_field"]
    fields = fields_of(summarise(results), "receptive_field")
    widest = max(size for size in fields.values() if size is not None)
    (place,) = (tick for tick, text in zip(*ticks(figure), strict=True) if text == "global")
    assert list(fields.values()).count(None) == 1
    assert place > 1.1 * widest


def ticks(figure: Figure) -> tuple[list[float], list[str]]:
    axes = figure.axes[0]
    return list(axes.get_xticks()), [text.get_text() for text in axes.get_xticklabels()]


def test_where_all_fields_are_alike_there_is_no_figure(synthetic: Results):
    assert drawn(synthetic) == {}


def test_an_effective_field_is_drawn_by_the_side_of_its_square(results: Results):
    rows = results.frame[results.frame["metric"] == "receptive_field"].copy()
    rows = rows.assign(metric="effective_receptive_field", value=5.0, key=rows["key"] + "/e")
    rows["detail"] = [{"side": 10.0 + i} for i in range(len(rows))]
    results = dataclasses.replace(results, frame=pd.concat([results.frame, rows], ignore_index=True))
    figure = drawn(results)["accuracy_against_receptive_field"]
    fields = fields_of(summarise(results), "effective_receptive_field")
    assert [*fields.values()] == [10.0 + i for i in range(len(rows))]
    assert len(figure.axes) == 2
    labels = [text.get_text() for text in figure.findobj(Text)]
    assert any("effective field" in text for text in labels)
