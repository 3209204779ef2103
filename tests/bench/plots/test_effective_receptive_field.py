from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from figure_checks import check_labels, drawn, exemplified, texts
from matplotlib.patches import Circle, Rectangle

from bench.display.figure import in_order, names
from bench.results.results import Results

NAME = "effective_receptive_field"


def with_initial(results: Results) -> Results:
    """The rows of the receptive field as effective ones too, with the facts that the trained networks have."""
    rows = results.frame[results.frame["metric"] == "receptive_field"].copy()
    facts = results.evaluations[results.baseline, 0].facts[NAME]
    rows["metric"], rows["detail"] = NAME, [{**facts, "radius": 25.5} for _ in range(len(rows))]
    rows["key"] = rows["key"] + "/effective"
    return dataclasses.replace(results, frame=pd.concat([results.frame, rows], ignore_index=True))


def test_both_stages_are_drawn_with_their_radius(synthetic: Results):
    (figure,) = drawn(NAME, with_initial(synthetic)).values()
    check_labels(figure)
    shown = texts(figure)
    assert shown.count("at initialisation\n95 % within 25.5 px") == 6
    assert sum(text.endswith("not measured") for text in shown) == 2
    assert {"after training\n95 % within 9.8 px", "after training\n95 % within 14.7 px"} <= set(shown)


def test_the_disc_has_the_radius_and_the_box_is_that_of_the_theoretical_receptive_field(synthetic: Results):
    (figure,) = drawn(NAME, with_initial(synthetic)).values()
    axes = figure.axes[2 * in_order(synthetic).index(synthetic.baseline)]
    box, disc = (next(p for p in axes.patches if isinstance(p, kind)) for kind in (Rectangle, Circle))
    assert (disc.get_center(), disc.get_radius()) == ((40.0, 30.0), 25.5)
    assert box.get_bbox().bounds == (-0.5, -0.5, 80, 60)
    assert (axes.get_xlim(), axes.get_ylim()) == ((-0.5, 79.5), (59.5, -0.5))


def test_without_a_map_there_is_no_figure(synthetic: Results):
    facts = {NAME: {"error": "failed: no gradient"}}
    plain = {key: dataclasses.replace(e, facts=facts) for key, e in synthetic.evaluations.items()}
    assert drawn(NAME, dataclasses.replace(synthetic, evaluations=plain)) == {}


def test_the_caption_names_the_variants_that_no_panel_shows(synthetic: Results):
    last = in_order(synthetic)[-1]
    ended = {key: e for key, e in synthetic.evaluations.items() if key[0] != last and e.facts.get(NAME)}
    others = {variant for variant in synthetic.variants if variant not in {key[0] for key in ended}}
    (figure,) = drawn(NAME, dataclasses.replace(synthetic, evaluations=ended)).values()
    caption, _, rest = str(figure.get_label()).partition("; not measured: ")
    assert caption
    assert rest.split("; ") == [names(synthetic)[variant] for variant in in_order(synthetic) if variant in others]


def test_the_caption_says_what_is_drawn(synthetic: Results) -> None:
    """The picture is the square root of the map, and the circle is not filled."""
    (figure,) = drawn("effective_receptive_field", synthetic).values()
    axes = figure.axes[0]
    (circle,) = (patch for patch in axes.patches if isinstance(patch, Circle))
    assert not circle.get_fill()
    assert "circle: 95 % of the squared gradient is inside" in str(figure.get_label())
    facts = next(e for (v, _), e in sorted(synthetic.evaluations.items()) if v == in_order(synthetic)[0]).facts
    shown = np.asarray(axes.images[0].get_array())
    assert np.allclose(shown**2, facts["effective_receptive_field"]["map"])
    assert str(figure.get_label()).startswith("Square root of the magnitude")


@pytest.mark.parametrize("name", [NAME, "blind_spot"])
def test_no_height_is_left_free_and_no_picture_gets_smaller_for_it(
    name: str, synthetic: Results, monkeypatch: pytest.MonkeyPatch
):
    results = exemplified(name, with_initial(synthetic))
    (figure,) = drawn(name, results).values()
    check_labels(figure)
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert figure.bbox.height - max(box.y1 for box in boxes) < 0.2 * figure.dpi
    assert min(box.y0 for box in boxes) - figure.legends[0].get_window_extent().y1 < 0.2 * figure.dpi
    monkeypatch.setattr(f"bench.plots.{name}.fit_height", lambda figure: None)
    (tall,) = drawn(name, results).values()
    tall.draw_without_rendering()
    for axes, before in zip(figure.axes, tall.axes, strict=True):
        assert axes.get_window_extent().width == pytest.approx(before.get_window_extent().width, rel=0.03)
