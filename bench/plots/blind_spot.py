"""What the prediction of a pixel sees of the pixels before it, and what it is blind to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.analysis.summary import summarise
from bench.display.figure import COLOURS, INK, labels, legend_below, new
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRIC = "blind_spot"
LOOKS = {"+": COLOURS[0], "o": COLOURS[1], "x": INK}
"""Colours of what stands in the metric's `map`."""
WORDS = {"+": "seen", "o": "blind spot", "x": "the pixel that is predicted"}
COLUMNS = 3
HIGHEST = 3.0
"""Inches of the tallest picture."""


@plot(order=62)
def blind_spot(results: Results) -> Iterator[tuple[str, Figure]]:
    """The pixels before, within the span of the receptive field: seen, or in the blind spot."""
    aggregates = summarise(results).of(METRIC)
    found = {c.variant: (c.value, c.details[0]["map"]) for c in aggregates if c.details and c.details[0].get("map")}
    if not found:
        return
    columns, names = min(COLUMNS, len(found)), labels(results, 30)
    rows = -(-len(found) // columns)
    width = 8.2 / columns
    tallest = max(len(lines) / len(lines[0]) for _, lines in found.values())
    height = rows * (min(HIGHEST, width * tallest) + 0.75) + 0.4
    caption = "For each network, which of the pixels before one pixel its prediction sees, and which it is blind to"
    figure, grid = new(8.2, height, caption, rows, columns)
    figure.set_layout_engine("compressed")  # which knows that pictures keep their aspect
    for axes, (variant, (share, lines)) in zip(grid, found.items()):
        _panel(axes, lines)
        axes.set_title(names[variant])
        axes.set_xlabel("" if share is None else f"blind to {100 * share:.1f} %", fontsize=9)
    for axes in grid[len(found) :]:
        axes.set_axis_off()
    _legend(figure, found)
    yield METRIC, figure


def _panel(axes: Axes, lines: Sequence[str]) -> None:
    """A square for each pixel, the origin at the predicted one."""
    import numpy as np
    from matplotlib.colors import to_rgba

    colours = {mark: to_rgba(colour, 0.75) for mark, colour in LOOKS.items()}
    picture = np.array([[colours.get(mark, (0.0, 0.0, 0.0, 0.0)) for mark in line] for line in lines])
    y, x = next((y, line.index("x")) for y, line in enumerate(lines) if "x" in line)
    extent = (-x - 0.5, len(lines[0]) - x - 0.5, len(lines) - y - 0.5, -y - 0.5)
    axes.imshow(picture, interpolation="none", extent=extent)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8)


def _legend(figure: Figure, found: Mapping[str, tuple[Any, Sequence[str]]]) -> None:
    from matplotlib.patches import Patch

    shown = {mark for _, lines in found.values() for line in lines for mark in line}
    marks = [mark for mark in LOOKS if mark in shown]
    legend_below(figure, [Patch(color=LOOKS[m], alpha=0.75) for m in marks], [WORDS[m] for m in marks], 3)
