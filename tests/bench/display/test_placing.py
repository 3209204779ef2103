"""Names next to points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.text import Annotation

from bench.display.figure import BASELINE
from bench.display.placing import DISTANCES, RADIUS, label_points

Points = Mapping[str, tuple[float, float]]
CLUSTER = {"first": (0.50, 0.52), "the second": (0.60, 0.53), "third": (0.50, 0.62), "the fourth": (0.40, 0.50)}
RIGHT = {"short": (0.55, 0.8), "a name in\ntwo long lines": (0.68, 0.8), "alone": (0.25, 0.3)}
"""The longest name belongs to the point at the right end, and its nearest places lie about the other point."""
TIGHT = {f"point {i}": (0.5 + 0.05 * (i % 2), 0.5 + 0.05 * (i // 2)) for i in range(6)}
ROW = {f"variant {i}": (0.3 + 0.07 * i, 0.5 + 0.02 * (i % 2)) for i in range(6)}


def labelled(points: Points) -> tuple[Axes, dict[str, Annotation]]:
    """Axes with a front through all points and their names, by name."""
    figure, axes = plt.subplots(figsize=(3.6, 3.0))
    axes.set(xlim=(0.1, 0.9), ylim=(0.1, 0.95))
    axes.plot(*zip(*sorted(points.values()), strict=True), drawstyle="steps-post")
    label_points(axes, points, {name: name for name in points}, 9)
    figure.draw_without_rendering()
    return axes, {each.get_text(): each for each in axes.get_children() if isinstance(each, Annotation)}


def box(name: Annotation) -> np.ndarray:
    """The text's corners in points, ((x0, y0), (x1, y1)), without its line."""
    return super(Annotation, name).get_window_extent().get_points() * 72 / name.figure.dpi


def away(name: Annotation, point: np.ndarray) -> float:
    """Distance of a text from a point."""
    return math.dist(np.clip(point, *box(name)), point)


def lines(names: Mapping[str, Annotation], centres: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Places (50, 2) on the line of each name that has one, from the text to the point."""
    joined = [name for name, each in names.items() if each.arrow_patch is not None]
    steps = np.linspace(0, 1, 50)[:, None]
    starts = {name: np.clip(centres[name], *box(names[name])) for name in joined}
    return {name: start + (centres[name] - start) * steps for name, start in starts.items()}


@pytest.mark.parametrize("points", [CLUSTER, RIGHT, ROW, TIGHT])
def test_a_name_is_nearest_to_its_own_point_and_its_line_crosses_nothing(points: Points):
    axes, names = labelled(points)
    centres = {name: axes.transData.transform(point) * 72 / axes.figure.dpi for name, point in points.items()}
    leaders = lines(names, centres)
    assert set(names) == set(points)
    for name, each in names.items():
        others = [centre for other, centre in centres.items() if other != name]
        least = min(away(each, centre) for centre in others)
        assert least > (RADIUS if name in leaders else away(each, centres[name])), f"{name} stands at another point"
        assert name in leaders or away(each, centres[name]) <= DISTANCES[0] + 0.6, f"{name} is far and has no line"
        strange = [b for other, b in names.items() if other != name]
        for place in leaders.get(name, []):
            assert not any(away(other, place) == 0 for other in strange), f"the line of {name} crosses a name"
            assert min(math.dist(place, centre) for centre in others) > RADIUS, f"the line of {name} crosses a point"
    for (one, a), (other, b) in itertools.combinations(leaders.items(), 2):
        assert np.linalg.norm(a[:, None] - b[None], axis=-1).min() > 0.5, f"the lines of {one} and {other} cross"
    for one, other in itertools.combinations(names.values(), 2):
        (low, high), (from_, to) = box(one), box(other)
        assert ((np.minimum(high, to) - np.maximum(low, from_)) <= 0).any(), "names lie on each other"
    plt.close(axes.figure)


def test_lines_to_names_do_not_look_like_the_front():
    """They are dotted, grey in either theme, and end at the text and at the rim of the marker."""
    axes, names = labelled(TIGHT)
    leaders = {name: each for name, each in names.items() if each.arrow_patch is not None}
    assert leaders, "none is far from its point: the figure is no case"
    for name, each in leaders.items():
        assert each.arrow_patch.get_edgecolor()[:3] == to_rgb(BASELINE)
        dashes = each.arrow_patch.get_linestyle()
        assert dashes[1][1] > dashes[1][0], "it is not dotted"
        drawn = axes.transData.inverted().transform(each.arrow_patch.get_transform().transform(_ends(each)))
        start, end = axes.transData.transform(drawn) * 72 / axes.figure.dpi
        centre = axes.transData.transform(TIGHT[name]) * 72 / axes.figure.dpi
        assert away(each, start) == pytest.approx(1, abs=0.2)
        assert math.dist(end, centre) == pytest.approx(RADIUS, abs=0.2)
    plt.close(axes.figure)


def _ends(name: Annotation) -> np.ndarray:
    return name.arrow_patch.get_path().vertices[[0, -1]]
