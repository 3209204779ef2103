"""What a figure shows as numbers: the points, bars and images that matplotlib drew, as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from bench.display.dodging import APART
from bench.spec.characters import csv_field

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

HEAD = ("panel", "drawn_as", "series", "x_label", "x", "y_label", "y", "value")
Row = tuple[Any, ...]
MOST_PIXELS = 10_000
"""A larger map is a picture: a table of its pixels serves nobody."""


def drawn_csv(figure: Figure) -> str:
    """A row for each point, bar or pixel of a heat map. What stands on an axis of names has the name.

    `value` is a pixel's number. Photographs and maps of more than MOST_PIXELS are left out.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEAD)
    for number, axes in enumerate(figure.axes):
        panel = _one_line(axes.get_title()) or str(number + 1)
        writer.writerows([csv_field(value) for value in (panel, *row)] for row in _rows(axes))
    return out.getvalue()


def _rows(axes: Axes) -> Iterator[Row]:
    names = _namer(axes.xaxis), _namer(axes.yaxis)
    labels = _one_line(axes.get_xlabel()), _one_line(axes.get_ylabel())
    for kind, series, x, y, value in (*_lines(axes), *_points(axes), *_bars(axes), *_maps(axes)):
        if math.isfinite(x) and math.isfinite(y):
            yield kind, series, labels[0], names[0](x), labels[1], names[1](y), value


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _lines(axes: Axes) -> Iterator[Row]:
    import numpy as np

    for line in axes.get_lines():
        # a line across the whole axes has other coordinates
        if line.get_transform() == axes.transData or line.get_gid() == APART:
            for x, y in np.asarray(line.get_xydata()).tolist():
                yield "line", _label(line), x, y, ""


def _points(axes: Axes) -> Iterator[Row]:
    import numpy as np
    from matplotlib.collections import PathCollection

    for points in axes.collections:
        if isinstance(points, PathCollection):
            for x, y in np.asarray(points.get_offsets()).tolist():
                yield "points", _label(points), x, y, ""


def _bars(axes: Axes) -> Iterator[Row]:
    from matplotlib.patches import Rectangle

    for bar in (patch for patch in axes.patches if isinstance(patch, Rectangle)):
        x, y, width, height = bar.get_bbox().bounds
        yield "bar", _label(bar), x + width, y + height, ""


def _maps(axes: Axes) -> Iterator[Row]:
    import numpy as np
    from matplotlib.collections import QuadMesh

    meshes = [each for each in axes.collections if isinstance(each, QuadMesh)]
    arrays: list[Any] = [np.ma.getdata(np.ma.asarray(each.get_array())) for each in (*axes.images, *meshes)]
    for array in (each for each in arrays if each.ndim == 2 and each.size <= MOST_PIXELS):
        for (row, column), value in np.ndenumerate(array):
            yield "map", "", column, row, float(value)


def _label(artist: Any) -> str:
    """Empty where matplotlib made the label up."""
    text = str(artist.get_label())
    return "" if text.startswith("_") else text


def _namer(axis: Axis) -> Callable[[float], Any]:
    """Position on the axis -> what its tick says where ticks are names, else the position."""
    ticks = dict(zip((float(place) for place in axis.get_ticklocs()), _texts(axis)))
    named = any(text and not _is_number(text) for text in ticks.values())
    return lambda place: ticks.get(float(round(place)), place) if named else place


def _texts(axis: Axis) -> Iterable[str]:
    """What the ticks say, shown or not."""
    return [_one_line(text) for text in axis.get_major_formatter().format_ticks([*axis.get_ticklocs()])]


def _is_number(text: str) -> bool:
    try:
        float(text.replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return False
    return True
