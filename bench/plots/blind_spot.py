"""Pixels that the prediction of one pixel depends on, and the blind spot among the earlier pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from bench.analysis.summary import Summary, summarise
from bench.display.examples import with_metric
from bench.display.figure import COLOURS, INK, SMALLEST, WIDTH, in_order, new, titles
from bench.display.legend import legend_below
from bench.display.pictures import fit_height
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRIC = "blind_spot"
LOOKS = {"+": COLOURS[0], "o": COLOURS[1], "x": INK}
"""Colours of the marks in the metric's `map`."""
WORDS = {"+": "in the receptive field", "o": "blind spot", "x": "the pixel that is predicted"}
COLUMNS = 2
HIGHEST = 2.0
"""Inches of the tallest picture."""
Maps = Mapping[str, Sequence[str]]
"""Variant -> lines of marks, one for each row of pixels."""


@plot(order=62)
def blind_spot(results: Results) -> Iterator[tuple[str, Figure]]:
    """The earlier pixels within the span of the receptive field: in the receptive field, or in the blind spot."""
    summary = summarise(results)
    maps = _maps(summary)
    if not maps:
        return
    columns, texts = min(COLUMNS, len(maps)), titles(results, 22)
    rows, width = -(-len(maps) // columns), WIDTH / columns
    tallest = max(len(lines) / len(lines[0]) for lines in maps.values())
    caption = "Earlier pixels that the prediction of one pixel depends on, and those that it does not, by network"
    figure, grid = new(WIDTH, rows * (min(HIGHEST, width * tallest) + 0.75) + 0.1, caption, rows, columns)
    figure.set_layout_engine("compressed")  # pictures keep their aspect
    for axes, (variant, lines) in zip(grid, maps.items()):
        _panel(axes, lines)
        axes.set_title(texts[variant])
        fraction = summary.aggregates[variant, METRIC].value
        axes.set_xlabel("" if fraction is None else f"blind spot {100 * fraction:.1f} %")
    for axes in grid[len(maps) :]:
        axes.set_axis_off()
    _legend(figure, maps)
    fit_height(figure)
    yield METRIC, figure


def _maps(summary: Summary) -> Maps:
    maps = {a.variant: a.details[0]["map"] for a in summary.of(METRIC) if a.details and a.details[0].get("map")}
    return {variant: maps[variant] for variant in in_order(summary.results) if variant in maps}


def _panel(axes: Axes, lines: Sequence[str]) -> None:
    """A square for each pixel, the origin at the predicted one; ticks there and at the farthest pixels."""
    import numpy as np
    from matplotlib.colors import to_rgba

    colours = {mark: to_rgba(colour, 0.75) for mark, colour in LOOKS.items() if colour != INK}
    picture = np.array([[colours.get(mark, (0.0, 0.0, 0.0, 0.0)) for mark in line] for line in lines])
    y, x = next((y, line.index("x")) for y, line in enumerate(lines) if "x" in line)
    extent = (-x - 0.5, len(lines[0]) - x - 0.5, len(lines) - y - 0.5, -y - 0.5)
    axes.imshow(picture, interpolation="none", extent=extent)
    corners = ([-0.5, 0.5, 0.5, -0.5], [-0.5, -0.5, 0.5, 0.5])
    axes.fill(*corners, facecolor=INK, alpha=0.75, linewidth=0)  # in an image, ink would not follow the page's colour
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=SMALLEST)
    axes.set_xticks(sorted({-x, 0, len(lines[0]) - x - 1}))
    axes.set_yticks(sorted({-y, 0}))


def _legend(figure: Figure, maps: Maps) -> None:
    from matplotlib.patches import Patch

    shown = {mark for lines in maps.values() for line in lines for mark in line}
    marks = [mark for mark in LOOKS if mark in shown]
    legend_below(figure, [Patch(color=LOOKS[m], alpha=0.75) for m in marks], [WORDS[m] for m in marks])


def example(results: Results) -> Results:
    """The results with made-up maps, for tests of the figure; the last variant has none."""
    count = len(results.variants)
    maps = [["+++++", "+++oo" if i else "++++o", "++x.."] for i in range(count - 1)]
    declared = {"unit": "", "better": "lower", "kind": "static", "exact": True, "value": 0.25}
    return with_metric(results, METRIC, [*({"map": lines} for lines in maps), {}], **declared)
