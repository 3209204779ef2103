"""What accuracy costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.figure import legend_height, log_ticks, new, scaled, styles, variant_legend
from bench.quantity import coverage_text, heading
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
    columns = 2 if len(costs) == 4 else min(3, len(costs))
    lines = math.ceil(len(costs) / columns)
    bars = "; bars: sd over seeds" if any(cell.spread for cell in summary.of(main.metric)) else ""
    caption = f"{main.metric} against {', '.join(c.metric for c in costs)}, a marker per variant{bars}"
    figure, panels = new(max(6.0, 3.0 * columns), 3.0 * lines + legend_height(results), caption, lines, columns)
    shown = [_panel(axes, summary, main, cost) for axes, cost in zip(panels, costs, strict=False)]
    for axes in panels[len(costs) :]:
        axes.remove()
    for i, axes in enumerate(panels[: len(costs)]):
        axes.sharey(panels[0]) if i else None
        axes.set_ylabel(heading(summary, main) if i % columns == 0 else "")
        axes.tick_params(labelleft=i % columns == 0)
    anywhere = set().union(*shown)
    variant_legend(figure, results, [v for v in results.variants if v in anywhere], linestyle="none", markersize=7)
    yield "accuracy_against_cost", figure


def _is_cost(summary: Summary, column: Column) -> bool:
    return column.kind in ("static", "speed") and column.better == "lower" and bool(summary.measured(column.metric))


def _panel(axes: Axes, summary: Summary, main: Column, cost: Column) -> set[str]:
    """Draw the variants that have both numbers, and say which they are."""
    costs = {cell.variant: cell.value for cell in summary.measured(cost.metric) if cell.value is not None}
    looks = styles(summary.results)
    found = [cell for cell in summary.measured(main.metric) if cell.variant in costs]
    for cell in found:
        (place,) = scaled(summary, cost, [costs[cell.variant]])
        colour, marker = looks[cell.variant]["color"], looks[cell.variant]["marker"]
        axes.errorbar(place, cell.value or 0.0, yerr=cell.spread, color=colour, marker=marker, markersize=7, capsize=3)
    _fit(axes, summary, cost, [*costs.values()])
    return {cell.variant for cell in found}


def _fit(axes: Axes, summary: Summary, cost: Column, values: list[float]) -> None:
    coverage = min(cell.coverage for cell in summary.measured(cost.metric))
    warning = f"\n{coverage_text(coverage)} or more" if coverage < 1 else ""
    axes.set_xlabel(heading(summary, cost) + warning)
    axes.margins(x=0.12, y=0.12)
    if min(values) > 0 and max(values) / min(values) >= 20:
        axes.set_xscale("log")
        log_ticks(axes.xaxis)
    else:
        axes.locator_params(axis="x", nbins=3)
