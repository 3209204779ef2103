"""Names next to the points of a figure, where they cover neither each other nor a point."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.display.figure import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

DISTANCES = (7, 16, 27, 40, 55, 72)
"""Points between a point and its name, the nearest first."""
ANGLES = tuple(range(0, 360, 30))
RADIUS = 5.0
"""Points that stay free about every point."""
STEP = 3
"""Points between the places of a line that a name shall not cover."""


def label_points(axes: Axes, points: Mapping[str, tuple[float, float]], texts: Mapping[str, str], size: float) -> None:
    """Write each text near its point, with a thin line to it where it is not next to it; limits must be final.

    A name that finds no room is written where it covers least. The layout stays as it is from here on.
    """
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    axes.figure.set_layout_engine("none")  # type: ignore[union-attr]
    dot = axes.figure.dpi / 72
    centres = {name: tuple(axes.transData.transform(point).tolist()) for name, point in points.items()}
    taken = [_about(place, RADIUS * dot) for place in centres.values()]
    taken += [_about(place, dot) for place in _on_lines(axes, STEP * dot)]
    for name in sorted(points, key=lambda each: (-len(texts[each]), each)):
        box = _place(axes, points[name], texts[name], taken, size)
        middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
        taken += [box, *(_about(place, dot) for place in _between(middle, centres[name], STEP * dot))]


def _on_lines(axes: Axes, step: float) -> Iterator[tuple[float, float]]:
    """Places on the lines and bars of the axes, `step` px apart."""
    import numpy as np
    from matplotlib.cbook import pts_to_poststep
    from matplotlib.collections import LineCollection

    lines = [line for line in axes.lines if line.get_linestyle() != "None" and line.get_transform() == axes.transData]
    stepped = [line.get_drawstyle() == "steps-post" for line in lines]
    paths = [np.asarray(line.get_xydata(), dtype=float) for line in lines]
    paths = [np.transpose(pts_to_poststep(*path.T)) if one else path for path, one in zip(paths, stepped, strict=True)]
    bars = [each for each in axes.collections if isinstance(each, LineCollection)]
    paths += [np.asarray(segment, dtype=float) for each in bars for segment in each.get_segments()]
    for path in paths:
        places = axes.transData.transform(path)
        for start, end in itertools.pairwise(places.tolist()):
            yield from _between(start, end, step)


def _between(start: Sequence[float], end: Sequence[float], step: float) -> Iterator[tuple[float, float]]:
    """Places on a straight line, at most `step` apart."""
    (x0, y0), (x1, y1) = start, end
    count = max(1, math.ceil(math.hypot(x1 - x0, y1 - y0) / step))
    yield from ((x0 + (x1 - x0) * i / count, y0 + (y1 - y0) * i / count) for i in range(count + 1))


def _about(place: Sequence[float], radius: float) -> Bbox:
    """The square about a place."""
    from matplotlib.transforms import Bbox

    x, y = place
    return Bbox.from_extents(x - radius, y - radius, x + radius, y + radius)


def _place(axes: Axes, point: tuple[float, float], text: str, taken: Sequence[Bbox], size: float) -> Bbox:
    """Write one text at the offset that covers least; its box."""
    from matplotlib.text import Text

    look: dict[str, Any] = {"textcoords": "offset points", "fontsize": size, "va": "center"}
    (x, y), side = _offset(axes, _size(axes.annotate(text, point, (0, 0), ha="left", **look)), taken)
    far = math.hypot(x, y) > DISTANCES[1]
    arrow: dict[str, Any] = (
        {"arrowprops": {"arrowstyle": "-", "linewidth": 0.6, "alpha": 0.6, "color": INK}} if far else {}
    )
    written = axes.annotate(text, point, (x, y), ha=side, **look, **arrow)
    written.get_window_extent()  # puts the text where it belongs
    return Text.get_window_extent(written)  # without the line


def _size(written: Any) -> Bbox:
    """The box of a text at its point, on the point's right; the text is removed again."""
    box: Bbox = written.get_window_extent()
    written.remove()
    return box


def _offset(axes: Axes, box: Bbox, taken: Sequence[Bbox]) -> tuple[tuple[float, float], str]:
    """The offset in points, and the alignment, at which a text covers least; `box` is its box on the point's right."""
    dot, frame = axes.figure.dpi / 72, axes.get_window_extent()
    best: tuple[float, tuple[float, float], str] = (math.inf, (0.0, 0.0), "left")
    for distance, angle in itertools.product(DISTANCES, ANGLES):
        x, y = distance * math.cos(math.radians(angle)), distance * math.sin(math.radians(angle))
        side = "left" if x > 1 else "right" if x < -1 else "center"
        left = x * dot - box.width * {"left": 0.0, "center": 0.5, "right": 1.0}[side]
        cost = _cost(frame, box.translated(left, y * dot), taken) + distance / 1000
        best = min(best, (cost, (x, y), side), key=lambda each: each[0])
        if cost < 0.1:
            break
    return best[1:]


def _cost(frame: Bbox, box: Bbox, taken: Sequence[Bbox]) -> float:
    """Px² of a text's box that cover others or lie outside of the axes."""
    from matplotlib.transforms import Bbox

    inside = Bbox.intersection(box, frame)
    outside = box.width * box.height - (inside.width * inside.height if inside else 0.0)
    shared = (Bbox.intersection(box, each) for each in taken)
    return float(10 * outside + sum(each.width * each.height for each in shared if each))
