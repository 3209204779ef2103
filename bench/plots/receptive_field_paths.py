"""How far each path of a network sees."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bench.analysis.summary import Aggregate, summarise
from bench.display.figure import COLOURS, MARKERS, beside, legend_below, new, rows_height, variant_rows
from bench.display.numbers import heading
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRIC = "receptive_field"
WHOLE = "whole network"


@plot(order=60)
def receptive_field_paths(results: Results) -> Iterator[tuple[str, Figure]]:
    """The receptive field of the whole network and of each named skip."""
    summary = summarise(results)
    aggregates = summary.of(METRIC)
    fields = {aggregate.variant: fields_of(aggregate) for aggregate in aggregates if aggregate.answered}
    names = sorted({name for found in fields.values() for name in found}, key=lambda n: _order(n, fields))
    if not any(size is not None for found in fields.values() for size in found.values()):
        return
    caption = "Receptive field of the whole network and of each named path, in input pixels"
    figure, (axes,) = new(8.2, rows_height(results), caption)
    rows = variant_rows(axes, results)
    for aggregate in aggregates:
        found = fields.get(aggregate.variant, {})
        _row(
            axes,
            rows[aggregate.variant],
            {name: found[name] for name in names if name in found},
            names,
            aggregate.status,
        )
    axes.set_xlabel(heading(summary, summary.column(METRIC)))
    axes.set_xlim(left=0)
    axes.margins(x=0.05)
    handles, texts = axes.get_legend_handles_labels()
    unique = dict(zip(texts, handles, strict=True))
    legend_below(figure, [unique[n] for n in names if n in unique], [n for n in names if n in unique], columns=5)
    yield "receptive_field_paths", figure


def fields_of(aggregate: Aggregate) -> dict[str, float | None]:
    """Path -> extent in pixels along its longest axis; None is global."""
    paths: Mapping[str, Any] = aggregate.details[0].get("paths", {}) if aggregate.details else {}
    return {WHOLE: aggregate.value, **{name: _extent(size) for name, size in paths.items()}}


def _extent(size: Any) -> float | None:
    if isinstance(size, (list, tuple)):
        return None if None in size else float(max(size))
    return None if size is None else float(size)


def _order(name: str, fields: Mapping[str, Mapping[str, float | None]]) -> tuple[bool, float, str]:
    """The whole network first, then the paths from the widest to the narrowest; a global one is the widest."""
    sizes = [found[name] for found in fields.values() if name in found]
    return name != WHOLE, -max(math.inf if size is None else size for size in sizes), name


def _row(axes: Axes, row: int, found: Mapping[str, float | None], names: list[str], status: str) -> None:
    if not found:
        beside(axes, row, status, alpha=0.7)
        return
    sizes = [size for size in found.values() if size is not None]
    axes.plot([min(sizes, default=0), max(sizes, default=0)], [row, row], color=COLOURS[0], alpha=0.3, zorder=1)
    for name, size in found.items():
        if size is not None:
            axes.plot(size, row, label=name, zorder=2, linestyle="none", **_look(names.index(name)))
    beside(axes, row, " · ".join("global" if size is None else f"{size:g}" for size in found.values()))


def _look(i: int) -> dict[str, Any]:
    """An open circle for the whole network, so that a path as wide as that is seen inside of it."""
    if i == 0:
        return {"color": COLOURS[0], "marker": "o", "markersize": 12, "fillstyle": "none", "markeredgewidth": 1.8}
    return {"color": COLOURS[i % 7], "marker": MARKERS[i % 8], "markersize": 7}
