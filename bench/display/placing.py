"""Names next to the points of a figure: each nearer to its own point than to another, and covering nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.display.figure import BASELINE

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

    Floats = np.ndarray[Any, np.dtype[np.float64]]

Point = tuple[float, float]
Line = tuple[Point, Point]
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1. All lengths in this module are in points, 1/72 inch."""

DISTANCES = (7, 12, 18, 27, 40, 55, 72)
"""Between a point and its name, the nearest first; from the second on, a line joins them."""
ANGLES = tuple(range(0, 360, 30))
RADIUS = 5.0
"""What stays free about every point."""
STEP = 3
"""Between the places of a line that a name shall not cover."""
APART = 3.0
"""Between two names, so that they do not read as one."""
AMBIGUOUS = 9.0
"""By how much every other point is farther from a name than its own; with a line to it, how far others are at least."""
CONFUSING = 1000.0
"""Cost in pt² of a name that seems another point's, and of a line across a point, a name or another line."""
ALONG = 6.0
"""Cost in pt² of each place of a line of data that a name's line touches."""
COVERED = 2
"""Cost of a name on a line of data, as a multiple of the area that it covers there."""
OUTSIDE = 10
"""Cost of a name outside of the axes, as a multiple of its area there."""
ROUNDS = 4
"""How often each name is placed, given where the others are."""
LEADER: Mapping[str, Any] = {"arrowstyle": "-", "linewidth": 0.9, "linestyle": (0, (1, 1.6)), "color": BASELINE}
"""A dotted grey line, which is not mistaken for the Pareto front."""


@dataclass(frozen=True)
class Place:
    """Where a name may be: its box, the point that it belongs to, its offset from there, and how it is aligned."""

    box: Box
    centre: Point
    offset: Point
    sides: tuple[str, str]

    @property
    def nearest(self) -> Point:
        """The place of the box that is nearest to the point."""
        return _nearest(self.box, self.centre)

    @property
    def line(self) -> Line | None:
        """The line to the point, where the name is not next to it."""
        return (self.nearest, self.centre) if math.hypot(*self.offset) > DISTANCES[0] + 0.5 else None


def label_points(axes: Axes, points: Mapping[str, Point], texts: Mapping[str, str], size: float) -> None:
    """Write each text near its point, with a dotted line to it where it is not next to it; limits must be final.

    A point without a text stays free too. A name that finds no room is written where it disturbs least. The layout
    stays as it is from here on.
    """
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    axes.figure.set_layout_engine("none")  # type: ignore[union-attr]
    dot = axes.figure.dpi / 72
    centres: dict[str, Point] = {n: tuple((axes.transData.transform(p) / dot).tolist()) for n, p in points.items()}
    (x0, y0), (x1, y1) = (axes.get_window_extent().get_points() / dot).tolist()
    marks = [(x / dot, y / dot) for x, y in _on_lines(axes, STEP * dot)]
    choices = {n: _places(centres[n], _extent(axes, texts[n], size)) for n in texts}
    costs = {n: [_cost(each, (x0, y0, x1, y1), [*centres.values()], marks) for each in choices[n]] for n in texts}
    for name, place in _chosen(choices, costs, sorted(texts, key=lambda each: (-len(texts[each]), each))).items():
        _write(axes, points[name], texts[name], place, size)


def _extent(axes: Axes, text: str, size: float) -> Point:
    """Width and height of a text."""
    written = axes.annotate(text, (0, 0), (0, 0), xycoords="axes fraction", textcoords="offset points", fontsize=size)
    box, dot = written.get_window_extent(), axes.figure.dpi / 72
    written.remove()
    return box.width / dot, box.height / dot


def _write(axes: Axes, point: Point, text: str, place: Place, size: float) -> None:
    """Put a text at its place, with its line from the side that faces the point to the rim of the marker."""
    across, up = place.sides
    written: dict[str, Any] = {"textcoords": "offset points", "fontsize": size, "ha": across, "va": up}
    if place.line:
        (x0, y0, x1, y1), (x, y) = place.box, place.nearest
        ends = {"relpos": ((x - x0) / (x1 - x0), (y - y0) / (y1 - y0)), "patchA": None, "shrinkA": 1, "shrinkB": RADIUS}
        written["arrowprops"] = {**LEADER, **ends}
    axes.annotate(text, point, place.offset, **written)


def _places(centre: Point, extent: Point) -> list[Place]:
    """All places of a text of this extent about a point."""
    return [_place(centre, extent, d, math.radians(angle)) for d, angle in itertools.product(DISTANCES, ANGLES)]


def _place(centre: Point, extent: Point, distance: float, angle: float) -> Place:
    """The place in a direction, with the side or corner that faces the point at this distance from it."""
    x, y = distance * math.cos(angle), distance * math.sin(angle)
    left, across = _side(x / distance, 0.3, "right", "left")
    below, up = _side(y / distance, 0.7, "top", "bottom")
    x0, y0 = centre[0] + x - left * extent[0], centre[1] + y - below * extent[1]
    return Place((x0, y0, x0 + extent[0], y0 + extent[1]), centre, (x, y), (across, up))


def _side(part: float, least: float, less: str, more: str) -> tuple[float, str]:
    """The fraction of a text that lies before its anchor, and the alignment of that name."""
    return (0.0, more) if part > least else (1.0, less) if part < -least else (0.5, "center")


def _chosen(
    choices: Mapping[str, Sequence[Place]], costs: Mapping[str, Sequence[float]], order: list[str]
) -> dict[str, Place]:
    """The place of each name that costs least beside the others, one name after the other, in ROUNDS."""
    places: dict[str, Place] = {}
    for name in order * ROUNDS:
        others = [place for other, place in places.items() if other != name]
        total = {
            number: cost + sum(_mutual(choices[name][number], other) for other in others)
            for number, cost in enumerate(costs[name])
        }
        places[name] = choices[name][min(total, key=lambda number: total[number])]
    return places


def _cost(place: Place, frame: Box, centres: Sequence[Point], marks: Sequence[Point]) -> float:
    """What a place costs alone: outside of the axes, over points and lines, near another point, far from its own."""
    x0, y0, x1, y1 = place.box
    outside = (x1 - x0) * (y1 - y0) - _shared(place.box, frame)
    others = [centre for centre in centres if centre != place.centre]
    covered = sum(_shared(place.box, _about(centre, RADIUS)) for centre in centres)
    covered += COVERED * sum(_shared(place.box, _about(mark, 1.0)) for mark in marks)
    return OUTSIDE * outside + covered + _confusing(place, others) + _along(place, marks) + math.hypot(*place.offset)


def _confusing(place: Place, others: Sequence[Point]) -> float:
    """What it costs that a name is about as near to another point, and that its line crosses another point."""
    line = place.line
    least = AMBIGUOUS if line else AMBIGUOUS + math.dist(place.nearest, place.centre)
    lacking = [(least - math.dist(_nearest(place.box, other), other)) / AMBIGUOUS for other in others]
    crossed = [other for other in others if line and _to_line(line, other) < RADIUS]
    return CONFUSING * (sum(min(max(each, 0.0), 1.0) for each in lacking) + len(crossed))


def _along(place: Place, marks: Sequence[Point]) -> float:
    """What it costs that a name's line runs over lines of data; near its point that cannot be avoided."""
    line = place.line
    far = [mark for mark in marks if math.dist(mark, place.centre) > 2 * RADIUS] if line else []
    return ALONG * sum(_to_line(line, mark) < STEP / 2 for mark in far) if line else 0.0


def _mutual(one: Place, other: Place) -> float:
    """What two names cost together: boxes on each other, and lines across a box or across each other."""
    x0, y0, x1, y1 = other.box
    crossings = [one.line and other.line and _cross(one.line, other.line)]
    crossings += [one.line and _through(one.line, other.box), other.line and _through(other.line, one.box)]
    near = _shared(one.box, (x0 - APART, y0 - APART / 3, x1 + APART, y1 + APART / 3))
    return 10 * near + CONFUSING * sum(map(bool, crossings))


def _shared(one: Box, other: Box) -> float:
    """Area that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)


def _about(place: Point, radius: float) -> Box:
    """The square about a place."""
    return (place[0] - radius, place[1] - radius, place[0] + radius, place[1] + radius)


def _nearest(box: Box, point: Point) -> Point:
    """The place of a box that is nearest to a point."""
    return min(max(point[0], box[0]), box[2]), min(max(point[1], box[1]), box[3])


def _to_line(line: Line, point: Point) -> float:
    """Distance of a point from a straight line between two ends."""
    (x0, y0), (x1, y1) = line
    length = math.dist(*line) ** 2
    along = ((point[0] - x0) * (x1 - x0) + (point[1] - y0) * (y1 - y0)) / length if length else 0.0
    part = min(max(along, 0.0), 1.0)
    return math.dist(point, (x0 + part * (x1 - x0), y0 + part * (y1 - y0)))


def _cross(one: Line, other: Line) -> bool:
    """Whether two lines between their ends cross."""
    return _turn(one, other[0]) * _turn(one, other[1]) < 0 and _turn(other, one[0]) * _turn(other, one[1]) < 0


def _turn(line: Line, point: Point) -> float:
    """Above 0 where the point is on the left of the line, below 0 on the right."""
    (x0, y0), (x1, y1) = line
    return (x1 - x0) * (point[1] - y0) - (y1 - y0) * (point[0] - x0)


def _through(line: Line, box: Box) -> bool:
    """Whether a line ends in a box or crosses it, and so one of its diagonals."""
    x0, y0, x1, y1 = box
    inside = any(x0 < x < x1 and y0 < y < y1 for x, y in line)
    return inside or _cross(line, ((x0, y0), (x1, y1))) or _cross(line, ((x0, y1), (x1, y0)))


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
