from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from figure_checks import check_labels, drawn, texts

from bench.analysis.front import fronts, spans
from bench.analysis.summary import summarise
from bench.display.figure import MARKERS
from bench.plots.accuracy_against_cost import SMALL
from bench.results.results import Results


def panels(results: Results):
    return drawn("accuracy_against_cost", results)["accuracy_against_cost"].axes


def test_the_line_is_the_pareto_front_and_hollow_what_is_not_dominated(synthetic: Results):
    single = [each for each in fronts(summarise(synthetic)) if len(each.costs) == 1]
    for axes, each in zip(panels(synthetic), single, strict=True):
        (line,) = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
        xs, ys = line.get_data()
        assert list(xs) == sorted(xs)
        assert list(ys) == sorted(ys)
        assert len(xs) == [*each.standings.values()].count("front")
        hollow = [m for m in axes.lines if m.get_marker() != "None" and m.get_markerfacecolor() == "none"]
        assert len([m for m in hollow if m.get_markersize() == 7]) == [*each.standings.values()].count("inconclusive")


def test_the_axis_says_what_a_count_does_not_cover(synthetic: Results):
    shown = texts(drawn("accuracy_against_cost", synthetic)["accuracy_against_cost"])
    assert any("covers 97.3 % of operators" in text for text in shown)


def with_costs(results: Results, step: float) -> Results:
    """Parameters that grow by this fraction from the first variant to the last."""
    frame = results.frame.copy()
    rows = frame["metric"] == "params"
    frame.loc[rows, "value"] = [2e7 * (1 + step * i / (rows.sum() - 1)) for i in range(rows.sum())]
    return dataclasses.replace(results, frame=frame)


def test_a_cost_in_which_the_variants_do_not_differ_is_not_drawn(synthetic: Results):
    names = [axes.get_xlabel().split()[0] for axes in panels(with_costs(synthetic, 0.012))]
    assert names == ["params", "macs", "latency"]
    figure = drawn("accuracy_against_cost", with_costs(synthetic, 0.008))["accuracy_against_cost"]
    assert [axes.get_xlabel().split()[0] for axes in figure.axes] == ["macs", "latency"]
    assert str(figure.get_label()).endswith("not drawn: params (all variants within 1 %)")


def test_that_no_difference_is_significant_is_not_said_to_be_agreement(results_of):
    """Of timings that differ by 20 % and spread by more, the caption says what was tested and found."""
    timed = [[10.0, 14.0, 7.0], [12.0, 8.0, 16.0]]
    results = results_of(
        {f"net(a={i})": {"params": 10.0 * (i + 1), "miou": [0.5 + 0.1 * i, 0.6], "latency": timed[i]} for i in range(2)}
    )
    summary = summarise(results)
    assert not spans(summary, summary.column("latency"))
    caption = str(drawn("accuracy_against_cost", results)["accuracy_against_cost"].get_label())
    assert caption.endswith("; not drawn: latency (no difference from the baseline is beyond the noise)")


def test_a_dominated_variant_keeps_its_colour_and_shape(results_of):
    """It is smaller, which the caption says; the legend's colour and shape are those of the panel."""
    scores = {0: [0.9, 0.91, 0.9], 1: [0.3, 0.31, 0.3], 2: [0.5, 0.51, 0.5]}
    results = results_of({f"net(a={i})": {"params": 10.0 * (i + 1), "miou": scores[i]} for i in scores})
    (front,) = fronts(summarise(results))
    assert [*front.standings.values()] == ["front", "dominated", "dominated"]
    figure = drawn("accuracy_against_cost", results)["accuracy_against_cost"]
    marks = [line for line in figure.axes[0].lines if line.get_marker() in MARKERS]
    (legend,) = figure.legends
    assert [(m.get_color(), m.get_marker()) for m in marks] == [
        (h.get_color(), h.get_marker()) for h in legend.legend_handles
    ]
    assert [m.get_markersize() for m in marks] == [7, SMALL, SMALL]
    assert "small: significantly dominated" in str(figure.get_label())


def test_where_no_cost_differs_there_is_no_figure(results_of):
    equal = results_of({f"net(a={i})": {"macs": 100 + 0.1 * i, "miou": [0.5 + 0.1 * i, 0.6]} for i in range(3)})
    assert drawn("accuracy_against_cost", equal) == {}


def test_costs_that_hardly_differ_can_be_read(synthetic: Results):
    figure = drawn("accuracy_against_cost", with_costs(synthetic, 0.012))["accuracy_against_cost"]
    check_labels(figure)
    assert any(text.startswith("20.1") for text in texts(figure))


def test_a_bar_does_not_go_below_zero(results_of):
    values = {"net(a=1)": [0.1, 2.0], "net(a=2)": [0.0, 3.0]}
    results = results_of({v: {"macs": 10.0 * (i + 1), "miou": scores} for i, (v, scores) in enumerate(values.items())})
    (axes,) = panels(results)
    ends = [np.asarray(bar.get_segments()[0])[:, 1] for bar in axes.collections]
    assert [low for low, _ in ends] == [0.0, 0.0]
    assert ends[1][1] == pytest.approx(1.5 + np.std([0.0, 3.0], ddof=1))
