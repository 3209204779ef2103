from __future__ import annotations

import dataclasses
import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from bench.analysis.front import fronts
from bench.analysis.summary import summarise
from bench.display.figure import CHARACTER, HANDLE, _legend_columns, labels, legend_below, names, styles, theme
from bench.plots.blind_spot import LOOKS, blind_spot
from bench.plots.effective_receptive_field import effective_receptive_field
from bench.plots.per_class import per_class
from bench.plots.predictions import predictions
from bench.plots.receptive_field_paths import fields_of, receptive_field_paths
from bench.plots.training_curves import thinned, training_curves
from bench.registry.catalogue import declarations, live
from bench.results.results import Results
from bench.stats.descriptive import mean

PLOTS = [entry.name for entry in declarations().plots if entry.module.startswith("bench.")]


@pytest.fixture(scope="module")
def synthetic(synthetic: Results) -> Results:
    """The made-up results, with rooflines besides; the last variant's receptive field is global."""
    synthetic = dataclasses.replace(synthetic, frame=synthetic.frame.copy())
    last = (synthetic.frame["metric"] == "receptive_field") & (synthetic.frame["variant"] == synthetic.variants[-1])
    for row in synthetic.frame.index[last]:
        synthetic.frame.at[row, "value"], synthetic.frame.at[row, "detail"] = float("nan"), {"global": True}
    likely = synthetic.frame[synthetic.frame["metric"] == "params"]
    told = [
        {"intensity": 20.0 * 1.3**i, "achieved_flops_per_s": 6e10 / (1 + i / 9)} for i in range(len(synthetic.variants))
    ]
    details = [{**each, "peak_flops_per_s": 1e11, "peak_bytes_per_s": 1e10} for each in told]
    of = {"metric": "roofline", "unit": "", "better": "higher", "kind": "speed", "exact": False, "value": 0.6}
    rows = [likely.assign(**of, detail=details, key=likely["key"] + "/roofline"), blind(likely)]
    return dataclasses.replace(synthetic, frame=pd.concat([synthetic.frame, *rows], ignore_index=True))


def blind(likely: pd.DataFrame) -> pd.DataFrame:
    """Rows of the metric blind_spot, one of which could not be measured."""
    maps = [["+++++", "+++" + "o" * bool(i) + "+" * (not i) + "o", "++x.."] for i in range(len(likely))]
    details = [{"map": lines} for lines in maps[:-1]] + [{}]
    of = {"metric": "blind_spot", "unit": "", "better": "lower", "kind": "static", "exact": True, "value": 0.25}
    return likely.assign(**of, detail=details, key=likely["key"] + "/blind_spot")


def drawn(name: str, results: Results) -> dict[str, Figure]:
    with theme():
        return dict(live(declarations().plots.get(name)).call(results))


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.fixture(scope="module")
def figures(synthetic: Results, posed: Results, imagined: Results) -> dict[str, dict[str, Figure]]:
    return {name: drawn(name, synthetic) or drawn(name, posed) or drawn(name, imagined) for name in PLOTS}


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_has_a_figure_with_a_caption(name: str, figures: dict[str, dict[str, Figure]]):
    assert figures[name]
    assert all(len(str(figure.get_label())) > 20 for figure in figures[name].values())


@pytest.mark.parametrize("name", PLOTS)
def test_where_there_is_nothing_there_is_no_figure(name: str, synthetic: Results):
    assert drawn(name, dataclasses.replace(synthetic, frame=synthetic.frame.iloc[:0], evaluations={})) == {}


def level_texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """What stands level or upright, with its box in pixels; labels of ticks outside of the view are not drawn."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    ticks = [(tick, sorted(axis.get_view_interval())) for axis in axes for tick in axis.get_major_ticks()]
    hidden = {id(tick.label1) for tick, (low, high) in ticks if not low <= tick.get_loc() <= high}
    found = [t for t in figure.findobj(Text) if t.get_text() and t.get_visible() and id(t) not in hidden]
    return [(t.get_text(), t.get_window_extent(canvas.get_renderer())) for t in found if t.get_rotation() % 90 == 0]


def check_labels(figure: Figure) -> None:
    boxes, (width, height) = level_texts(figure), figure.bbox.size
    for text, box in boxes:
        assert min(box.x0, box.y0, width - box.x1, height - box.y1) > -1, f"{text!r} is cut off"
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(overlap) < 1.5, f"{one!r} lies on {other!r}"


@pytest.mark.parametrize("name", PLOTS)
def test_no_label_lies_on_another_or_is_cut_off(name: str, figures: dict[str, dict[str, Figure]]):
    for figure in figures[name].values():
        check_labels(figure)


def test_costs_that_hardly_differ_are_still_told_apart(synthetic: Results):
    frame = synthetic.frame.copy()
    for metric in ("params", "macs"):
        rows = frame["metric"] == metric
        frame.loc[rows, "value"] = [20_464_768.0 + 2_304 * i for i in range(rows.sum())]
    figure = drawn("accuracy_against_cost", dataclasses.replace(synthetic, frame=frame))["accuracy_against_cost"]
    check_labels(figure)
    assert any(text.startswith("20.47") for text in texts(figure))


def test_ablation_of_many_variants_keeps_them_apart(synthetic: Results):
    many = tuple(f"fcn(stride={i})" for i in range(30))
    looks = styles(dataclasses.replace(synthetic, variants=many, baseline=many[0]))
    assert len({(look["color"], look["marker"]) for look in looks.values()}) == 30


def test_names_tell_variants_apart(synthetic: Results):
    assert len(set(names(synthetic).values())) == len(synthetic.variants)
    assert names(synthetic)[synthetic.baseline] == "stride=32, skips=false (baseline)"
    assert "backbone=timm:tf_efficientnetv2_b0.in1k" in labels(synthetic)[synthetic.variants[-1]].split("\n")


def test_accuracy_shows_mean_spread_and_gaps(synthetic: Results):
    shown = texts(drawn("accuracy", synthetic)["accuracy"])
    values = [*summarise(synthetic).aggregates[synthetic.baseline, "miou"].by_seed.values()]
    assert any(text.startswith(f"{mean(values):.4f} ± ") for text in shown)
    assert any(text.endswith("(2 of 3 seeds)") for text in shown)
    assert "best possible (known)" in shown


def test_accuracy_tells_what_the_differences_allow_to_be_said(synthetic: Results):
    shown = texts(drawn("accuracy", synthetic)["accuracy"])
    assert any(re.search(r"\nΔ \+0\.\d+ \[\+0\.\d+, \+0\.\d+\], better$", text) for text in shown)
    assert not any("broken" in text for text in shown)


def test_cost_panels_have_their_front_and_hollow_markers_behind_it(synthetic: Results):
    figure = drawn("accuracy_against_cost", synthetic)["accuracy_against_cost"]
    found = [each for each in fronts(summarise(synthetic)) if len(each.costs) == 1]
    for axes, each in zip(figure.axes, found, strict=True):
        (line,) = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
        xs, ys = line.get_data()
        assert list(xs) == sorted(xs)
        assert list(ys) == sorted(ys)
        assert len(xs) == [*each.standings.values()].count("front")
        hollow = [m for m in axes.lines if m.get_marker() != "None" and m.get_markerfacecolor() == "none"]
        assert len([m for m in hollow if m.get_markersize() == 7]) == [*each.standings.values()].count("inconclusive")


def test_accuracy_of_data_without_a_known_optimum_has_no_such_line(synthetic: Results):
    plain = {key: dataclasses.replace(e, facts={}) for key, e in synthetic.evaluations.items()}
    figures = drawn("accuracy", dataclasses.replace(synthetic, evaluations=plain))
    assert "best possible (known)" not in texts(figures["accuracy"])


def test_cost_axis_says_what_it_does_not_cover(synthetic: Results):
    shown = texts(drawn("accuracy_against_cost", synthetic)["accuracy_against_cost"])
    assert any("covers 97.3 % of operators" in text for text in shown)


def test_per_class_differences_are_paired(synthetic: Results):
    ((_, figure),) = per_class(synthetic)
    mesh = next(c for c in figure.axes[0].collections if isinstance(c, QuadMesh))
    aggregates = summarise(synthetic).aggregates
    name = "fcn(stride=8,skips=[pool4])"
    mine, base = (
        [d["per_class"]["sky"] for d in aggregates[v, "miou"].details][:2] for v in (name, synthetic.baseline)
    )
    shown = np.asarray(mesh.get_array()).reshape(6, -1)[synthetic.variants.index(name) - 1, 0]
    assert shown == pytest.approx(mean([a - b for a, b in zip(mine, base, strict=True)]))


def test_pictures_that_may_not_be_shown_are_not(synthetic: Results):
    hidden = {
        key: dataclasses.replace(e, facts={**e.facts, "publishable": False}) for key, e in synthetic.evaluations.items()
    }
    assert dict(predictions(dataclasses.replace(synthetic, evaluations=hidden))) == {}


def test_predictions_are_painted_with_the_palette(synthetic: Results):
    ((_, figure),) = predictions(synthetic)
    held = synthetic.evaluations[synthetic.baseline, 0]
    truth = np.asarray(figure.axes[3].images[0].get_array())
    assert (truth[0, 0] == (128, 128, 128)).all()
    label = held.samples["truths"][0, 10, 10]
    assert truth[10, 10].tolist() == held.facts["palette"][label]


def test_global_paths_are_named_not_dropped(synthetic: Results):
    detail = {"paths": {"pool4": None, "tall": [3, 9]}}
    aggregate = dataclasses.replace(
        summarise(synthetic).aggregates[synthetic.baseline, "receptive_field"], details=(detail,)
    )
    assert fields_of(aggregate) == {"whole network": 404.0, "pool4": None, "tall": 9.0}
    frame = synthetic.frame.copy()
    chosen = (frame["metric"] == "receptive_field") & frame["detail"].map(lambda d: bool(d.get("paths")))
    frame.loc[chosen, "detail"] = frame.loc[chosen, "detail"].map(lambda _: detail)
    ((_, figure),) = receptive_field_paths(dataclasses.replace(synthetic, frame=frame))
    assert "404 · global · 9" in texts(figure)


def with_fields_at_start(results: Results) -> Results:
    """The receptive field's rows told as effective ones too, with the facts that the trained networks have."""
    rows = results.frame[results.frame["metric"] == "receptive_field"].copy()
    facts = results.evaluations[results.baseline, 0].facts["effective_receptive_field"]
    rows["metric"], rows["detail"] = "effective_receptive_field", [{**facts, "radius": 25.5} for _ in range(len(rows))]
    rows["key"] = rows["key"] + "/effective"
    frame = pd.concat([results.frame, rows], ignore_index=True)
    return dataclasses.replace(results, frame=frame)


def test_effective_fields_stand_before_and_after_training_with_their_radius(synthetic: Results):
    with theme():
        ((_, figure),) = effective_receptive_field(with_fields_at_start(synthetic))
    check_labels(figure)
    shown = texts(figure)
    assert shown.count("95 % within 25.5 px") == 6
    assert shown.count("not measured") == 2
    assert {"at initialisation", "after training", "95 % within 9.8 px", "95 % within 14.7 px"} <= set(shown)
    first = figure.axes[0]
    box, disc = (next(p for p in first.patches if isinstance(p, kind)) for kind in (Rectangle, Circle))
    assert (disc.get_center(), disc.get_radius()) == ((40.0, 30.0), 25.5)
    assert box.get_bbox().bounds == (-0.5, -0.5, 80, 60)
    assert (first.get_xlim(), first.get_ylim()) == ((-0.5, 79.5), (59.5, -0.5))


def test_fields_that_are_no_pictures_are_not_drawn(synthetic: Results):
    facts = {"effective_receptive_field": {"error": "failed: no gradient"}}
    bare = {key: dataclasses.replace(e, facts=facts) for key, e in synthetic.evaluations.items()}
    assert dict(effective_receptive_field(dataclasses.replace(synthetic, evaluations=bare))) == {}


def test_thinning_keeps_the_mean():
    values = np.random.default_rng(0).normal(size=800)
    assert len(thinned(values, 40)) == 40
    assert mean(thinned(values, 40)) == pytest.approx(values.mean())
    assert thinned(np.array([1.0, 2.0])) == [1.0, 2.0]


def test_curves_show_every_trained_variant(synthetic: Results):
    ((_, figure),) = training_curves(synthetic)
    assert len(figure.axes[0].lines) == len(synthetic.variants)
    assert all(math.isfinite(y) for line in figure.axes[0].lines for y in line.get_ydata())


def test_a_roofline_has_its_ridge_where_the_ceilings_meet(synthetic: Results):
    figure = drawn("roofline", synthetic)["roofline"]
    *points, roof = figure.axes[0].lines
    assert len(points) == len(synthetic.variants)
    # 100 GFLOP/s over 10 GB/s: 10 FLOPs per byte; the line begins at a third of it, on the bandwidth
    (low, ridge, high), (start, peak, end) = roof.get_data()
    assert (ridge, peak, end) == pytest.approx((10, 100, 100))
    assert (low, start) == pytest.approx((10 / 3, 100 / 3))
    assert high > 20 * 1.3**6
    assert points[0].get_data() == ([20.0], [60.0])


def test_a_roofline_of_one_variant_that_failed_shows_the_others(synthetic: Results):
    frame = synthetic.frame[
        (synthetic.frame["metric"] != "roofline") | (synthetic.frame["variant"] != synthetic.baseline)
    ]
    figure = drawn("roofline", dataclasses.replace(synthetic, frame=frame))["roofline"]
    assert len(figure.axes[0].lines) == len(synthetic.variants) - 1 + 1


def test_a_blind_spot_is_drawn_where_it_is(synthetic: Results) -> None:
    with theme():
        ((_, figure),) = blind_spot(synthetic)
    pictures = [image for axes in figure.axes for image in axes.get_images()]
    assert len(pictures) == len(synthetic.variants) - 1
    rgba = pictures[1].get_array()
    assert rgba is not None
    assert rgba.shape == (3, 5, 4)
    assert to_hex(rgba[1, 3]) == LOOKS["o"]
    assert to_hex(rgba[0, 0]) == LOOKS["+"]
    assert to_hex(rgba[2, 2]) == LOOKS["x"]
    assert rgba[2, 3][3] == 0
    assert pictures[1].get_extent() == [-2.5, 2.5, 0.5, -2.5]


@pytest.mark.parametrize("width", [6.0, 8.2])
def test_a_legend_of_two_columns_stays_inside_its_figure(width: float):
    """At the longest names that get two columns; one letter more gets one."""
    name = ("stacks=4, loss=cross_entropy, " * 3)[: int((width / 2 - HANDLE) / CHARACTER)]
    assert (_legend_columns([name], width), _legend_columns([name + "x"], width)) == (2, 1)
    with theme():
        figure = Figure(figsize=(width, 3), layout="constrained")
        figure.subplots()
        legend_below(figure, [Line2D([], []) for _ in range(4)], [name] * 4, 2)
        figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= width * figure.dpi
