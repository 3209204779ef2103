"""Names next to points."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.text import Annotation

from bench.display.figure import INK
from bench.display.placing import label_points

POINTS = {"first": (0.50, 0.52), "the second": (0.60, 0.53), "third": (0.50, 0.62), "the fourth": (0.40, 0.50)}


def test_no_name_lies_on_another_name_or_on_its_line_and_lines_follow_the_theme():
    figure, axes = plt.subplots(figsize=(2.4, 2.0))
    axes.set(xlim=(0.2, 0.9), ylim=(0.2, 0.9))
    label_points(axes, POINTS, {name: name for name in POINTS}, 11)
    figure.draw_without_rendering()
    names = [child for child in axes.get_children() if isinstance(child, Annotation)]
    boxes = {each.get_text(): super(Annotation, each).get_window_extent() for each in names}
    assert set(boxes) == set(POINTS)
    leaders = {each.get_text(): each.arrow_patch for each in names if each.arrow_patch is not None}
    assert leaders, "none is far from its point: the figure is no case"
    for name, leader in leaders.items():
        box, point = boxes[name], axes.transData.transform(POINTS[name])
        middle = np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2])
        line = [middle + (point - middle) * step for step in np.linspace(0, 1, 50)]
        assert not [other for other, each in boxes.items() if other != name and any(each.contains(*p) for p in line)]
        assert leader.get_edgecolor()[:3] == to_rgb(INK)
    plt.close(figure)
