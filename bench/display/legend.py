"""Legends below the axes: measured, so that no entry leaves the figure, which grows by the legend's height."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bench.display.figure import in_order, line_looks, names, styles, wrapped
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

MARGIN = 0.15
"""Inches that stay free on the left and right together."""
CHARACTERS = (1000, 110, 90, 75, 60, 50, 40, 30, 20)
"""Lengths of lines that are tried, the longest first."""
MOST_COLUMNS = 6


def legend_below(figure: Figure, handles: Sequence[Any], texts: Sequence[str], columns: int = MOST_COLUMNS) -> None:
    """A legend below all axes, in as many columns (at most `columns`) as fit; long entries are broken into lines."""
    for lines, count in _layouts(texts, columns):
        legend = figure.legend(handles, lines, loc="outside lower center", ncols=count)
        width, height = _inches(figure, legend)
        if width <= figure.get_figwidth() - MARGIN:
            break
        legend.remove()
    else:
        raise ValueError(f"a figure {figure.get_figwidth():g} inches wide has no room for its legend")
    figure.set_figheight(figure.get_figheight() + height)


def variant_legend(
    figure: Figure, results: Results, shown: Sequence[str], notes: Mapping[str, str] | None = None, **look: Any
) -> None:
    """A legend of the variants `shown` by marker; `notes` are put in brackets behind their names."""
    _variants(figure, results, shown, notes or {}, styles(results), {"linestyle": "none", "markersize": 7, **look})


def line_legend(
    figure: Figure,
    results: Results,
    shown: Sequence[str],
    notes: Mapping[str, str] | None = None,
    lines: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """A legend of the variants `shown` by line, wide enough to show its dashes; then the `lines`, text -> look."""
    _variants(figure, results, shown, notes or {}, line_looks(results), {"linewidth": 1.8}, lines or {})


def _variants(
    figure: Figure,
    results: Results,
    shown: Sequence[str],
    notes: Mapping[str, str],
    looks: Mapping[str, Mapping[str, Any]],
    more: Mapping[str, Any],
    lines: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> None:
    from matplotlib.lines import Line2D

    texts = names(results)
    variants = [variant for variant in in_order(results) if variant in shown]
    entries = [f"{texts[v]} ({notes[v]})" if v in notes else texts[v] for v in variants]
    handles = [Line2D([], [], **look) for look in ({**looks[v], **more} for v in variants)]
    handles += [Line2D([], [], **look) for look in lines.values()]
    legend_below(figure, handles, [*entries, *lines], columns=3)


def _layouts(texts: Sequence[str], columns: int) -> Iterator[tuple[list[str], int]]:
    """Whole entries in fewer and fewer columns, then one column of shorter and shorter lines."""
    for count in range(max(1, min(columns, len(texts))), 0, -1):
        yield [*texts], count
    for characters in CHARACTERS[1:]:
        yield [wrapped(text, characters, characters) for text in texts], 1


def _inches(figure: Figure, legend: Legend) -> tuple[float, float]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    box = legend.get_window_extent(renderer)
    return box.width / figure.dpi, box.height / figure.dpi
