from __future__ import annotations

import dataclasses
from typing import Any

from figure_checks import drawn, texts

from bench.analysis.summary import summarise
from bench.display.examples import with_metric, without_metric
from bench.display.receptive_fields import GLOBAL
from bench.plots.receptive_field_paths import path_sizes
from bench.results.results import Results


def test_global_paths_are_named(synthetic: Results):
    detail = {"paths": {"pool4": None, "tall": [3, 9]}}
    aggregate = summarise(synthetic).aggregates[synthetic.baseline, "receptive_field"]
    sizes = path_sizes(dataclasses.replace(aggregate, details=(detail,)))
    assert sizes == {"whole network": 404.0, "pool4": None, "tall": 9.0}
    frame = synthetic.frame.copy()
    chosen = (frame["metric"] == "receptive_field") & frame["detail"].map(lambda d: bool(d.get("paths")))
    frame.loc[chosen, "detail"] = frame.loc[chosen, "detail"].map(lambda _: detail)
    (figure,) = drawn("receptive_field_paths", dataclasses.replace(synthetic, frame=frame)).values()
    assert "whole network 404 · pool4 global · tall 9" in texts(figure)


def test_where_all_are_the_same_there_is_no_figure(synthetic: Results):
    frame = synthetic.frame.assign(detail=[{}] * len(synthetic.frame))
    assert drawn("receptive_field_paths", dataclasses.replace(synthetic, frame=frame)) == {}


def with_sizes(results: Results, sizes: list[tuple[float | None, dict[str, Any]]]) -> Results:
    """The results with (whole network, paths) for each variant; None is global."""
    details = [{"global": whole is None, "paths": paths} for whole, paths in sizes]
    values = [float("nan") if whole is None else whole for whole, _ in sizes]
    columns = {"unit": "px", "better": None, "kind": "static", "exact": True, "value": values}
    return with_metric(without_metric(results, "receptive_field"), "receptive_field", details, **columns)


def test_where_all_variants_have_the_same_paths_there_is_no_figure(synthetic: Results):
    count = len(synthetic.variants)
    same = [(404.0, {"pool4": 100, "pool3": 44})] * count
    assert drawn("receptive_field_paths", with_sizes(synthetic, same)) == {}
    assert drawn("receptive_field_paths", with_sizes(synthetic, [*same[:-1], (404.0, {"pool4": 100})]))


def test_a_global_one_has_a_mark_beyond_the_widest_and_no_mark_is_cut(synthetic: Results):
    sizes: list[tuple[float | None, dict[str, Any]]] = [
        (None, {}),
        *((5.0, {}) for _ in synthetic.variants[2:]),
        (40.0, {}),
    ]
    (figure,) = drawn("receptive_field_paths", with_sizes(synthetic, sizes)).values()
    axes = figure.axes[0]
    marks = [line for line in axes.lines if line.get_linestyle() == "None"]
    places = {float(line.get_xdata()[0]) for line in marks}
    assert places == {5.0, 40.0, GLOBAL * 40}
    assert len(marks) == len(synthetic.variants)
    assert GLOBAL * 40 in [
        t for t, text in zip(axes.get_xticks(), axes.get_xticklabels()) if text.get_text() == "global"
    ]
    figure.draw_without_rendering()
    radius = max(line.get_markersize() + line.get_markeredgewidth() for line in marks) / 2 * figure.dpi / 72
    centres = [axes.transData.transform((place, 0))[0] for place in places]
    assert min(centres) - radius > axes.get_window_extent().x0
    assert max(centres) + radius < axes.get_window_extent().x1


def test_paths_as_wide_as_the_whole_network_are_left_out_and_named(synthetic: Results):
    """`score` and `scores` of two architectures say nothing more than the whole network does."""
    rest: list[tuple[float | None, dict[str, Any]]] = [(7.0, {}) for _ in synthetic.variants[2:]]
    sizes = [(404.0, {"score": 404}), (None, {"scores": None}), *rest]
    (figure,) = drawn("receptive_field_paths", with_sizes(synthetic, sizes)).values()
    caption = "Receptive field of the whole network, side in input px; score, scores: as wide as the whole network"
    assert figure.get_label() == caption
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["whole network"]
    (figure,) = drawn("receptive_field_paths", with_sizes(synthetic, [(9.0, {"pool": 3}), *sizes[1:]])).values()
    assert str(figure.get_label()).startswith("Receptive field of the whole network and of each named path, side")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["whole network", "pool"]
