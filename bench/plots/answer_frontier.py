"""The main metric of families of networks against their leading cost, each named at its point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.analysis.summary import Column, Summary
from bench.display.answers import plain_names
from bench.display.dodging import remark
from bench.display.figure import SMALLEST, WIDTH, new, wrapped
from bench.display.metric_names import axis_label, display_name
from bench.display.placing import label_points
from bench.display.seeds import scaled_value, score_notes
from bench.display.shape import frontier_of
from bench.plots.accuracy_against_cost import panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(summary: Summary, column: Column) -> Figure | None:
    """A marker per variant with the sd of its seeds, and the Pareto front of the means."""
    front = frontier_of(summary, column)
    if front is None:
        return None
    (cost,) = front.costs
    name, other = (display_name(summary.results, each.metric) for each in (column, cost))
    standings = set(front.standings.values())
    parts = [
        f"{name} against {other}: mean of each variant, bars: sd over seeds; line: the Pareto front",
        "hollow: not on the front, but not significantly dominated" if "inconclusive" in standings else "",
        "small: significantly dominated" if "dominated" in standings else "",
    ]
    figure, (axes,) = new(WIDTH, 3.4, "; ".join(part for part in parts if part))
    figure.set_label(remark(str(figure.get_label()), panel(axes, summary, front)))
    axes.set_ylabel(axis_label(summary, column))
    axes.margins(x=0.25, y=0.15)
    texts, notes = plain_names(summary.results), score_notes(summary, [column.metric])
    named = {v: wrapped(f"{texts[v]} ({notes[v]})" if v in notes else texts[v], 18, 18) for v in front.standings}
    points = {
        variant: (
            scaled_value(summary, cost, summary.aggregates[variant, cost.metric].value),
            scaled_value(summary, column, summary.aggregates[variant, column.metric].value),
        )
        for variant in front.standings
    }
    label_points(axes, points, named, SMALLEST)
    return figure
