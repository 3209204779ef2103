"""What accuracy costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.figure import axis_title, labels, legend_below, new, scaled, styles
from bench.registry import plot
from bench.results import Results
from bench.summary import Column, Summary, summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@plot(order=20)
def accuracy_against_cost(results: Results) -> Iterator[tuple[str, Figure]]:
    """The main metric against everything that is better lower: parameters, operations, time, memory."""
    summary = summarise(results)
    main, costs = summary.main(), [c for c in summary.columns if _is_cost(summary, c)]
    if main is None or not costs:
        return
    columns, lines = min(3, len(costs)), math.ceil(len(costs) / 3)
    caption = f"{main.metric} against {', '.join(c.metric for c in costs)}, a marker per variant"
    legend = 0.2 * len(results.variants) + 0.2
    figure, panels = new(max(5.4, 3.1 * columns), 3.0 * lines + legend, caption, lines, columns)
    for axes, cost in zip(panels, costs, strict=False):
        _panel(axes, summary, main, cost)
    for axes in panels[len(costs) :]:
        axes.remove()
    for axes in panels[::columns]:
        axes.set_ylabel(axis_title(summary, main))
    handles, names = panels[0].get_legend_handles_labels()
    legend_below(figure, handles, names, columns=1 if max(map(len, names)) > 45 else 2)
    yield "accuracy_against_cost", figure


def _is_cost(summary: Summary, column: Column) -> bool:
    return column.kind in ("static", "speed") and column.better == "lower" and bool(summary.measured(column.metric))


def _panel(axes: Axes, summary: Summary, main: Column, cost: Column) -> None:
    names, looks = labels(summary.results), styles(summary.results)
    for variant in summary.results.variants:
        x, y = summary.cells.get((variant, cost.metric)), summary.cells.get((variant, main.metric))
        name = names[variant].replace("\n", " ")
        known = x is not None and y is not None and x.value is not None and y.value is not None
        if not known or x is None or y is None or x.value is None or y.value is None:
            axes.plot([], [], linestyle="none", label=name, **looks[variant])
            continue
        (place,) = scaled(summary, cost, [x.value])
        look = {"markersize": 7, "capsize": 3, "linewidth": 1.2, "linestyle": "none"}
        axes.errorbar(place, y.value, yerr=y.spread, label=name, **look, **looks[variant])
    _fit(axes, summary, cost)


def _fit(axes: Axes, summary: Summary, cost: Column) -> None:
    values = [cell.value for cell in summary.measured(cost.metric) if cell.value is not None]
    partial = any(cell.coverage < 1 for cell in summary.measured(cost.metric))
    axes.set_xlabel(axis_title(summary, cost) + (", not all operators covered" if partial else ""))
    axes.margins(x=0.12, y=0.12)
    if min(values) > 0 and max(values) / min(values) >= 20:
        axes.set_xscale("log")
