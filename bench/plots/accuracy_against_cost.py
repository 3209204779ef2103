"""What accuracy costs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.analysis.front import Front, fronts
from bench.analysis.summary import Aggregate, Column, Summary, summarise
from bench.display.figure import BASELINE, INK, legend_height, log_ticks, new, scaled, styles, variant_legend
from bench.display.numbers import coverage_text, heading
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@plot(order=20)
def accuracy_against_cost(results: Results) -> Iterator[tuple[str, Figure]]:
    """The main metric against everything that is better lower: parameters, operations, time, memory.

    The line is the Pareto front of the means. Behind it a marker is hollow, and a small grey dot only where another
    variant is surely more accurate at surely no greater cost (`bench.front`): a difference that the seeds
    don't decide takes nobody off the front for good.
    """
    summary = summarise(results)
    found = [each for each in fronts(summary) if len(each.costs) == 1]
    if not found:
        return
    columns = 2 if len(found) == 4 else min(3, len(found))
    lines = math.ceil(len(found) / columns)
    caption = _caption(summary, found)
    wide = max(6.0, 3.0 * columns)
    figure, panels = new(wide, 3.0 * lines + legend_height(results, wide), caption, lines, columns)
    shown = [_panel(axes, summary, front) for axes, front in zip(panels, found, strict=False)]
    for axes in panels[len(found) :]:
        axes.remove()
    for i, axes in enumerate(panels[: len(found)]):
        axes.sharey(panels[0]) if i else None
        axes.set_ylabel(heading(summary, found[0].score) if i % columns == 0 else "")
        axes.tick_params(labelleft=i % columns == 0)
    anywhere = set().union(*shown)
    variant_legend(figure, results, [v for v in results.variants if v in anywhere], linestyle="none", markersize=7)
    yield "accuracy_against_cost", figure


def _caption(summary: Summary, found: list[Front]) -> str:
    score = found[0].score.metric
    against = f"{score} against {', '.join(front.costs[0].metric for front in found)}, a marker per variant"
    bars = "; bars: sd over seeds" if any(aggregate.spread for aggregate in summary.of(score)) else ""
    standings = {standing for front in found for standing in front.standings.values()}
    behind = "; hollow: behind it, but not surely" if "inconclusive" in standings else ""
    surely = "; small and grey: surely dominated (95 % for all pairs, Holm)" if "dominated" in standings else ""
    return f"{against}{bars}; line: the Pareto front of the means{behind}{surely}"


def _panel(axes: Axes, summary: Summary, front: Front) -> set[str]:
    """Draw the variants that have both numbers, and say which they are."""
    (cost,) = front.costs
    values = {
        aggregate.variant: aggregate.value for aggregate in summary.measured(cost.metric) if aggregate.value is not None
    }
    places = dict(zip(values, scaled(summary, cost, [*values.values()]), strict=True))
    for aggregate in summary.measured(front.score.metric):
        if aggregate.variant in front.standings:
            axes.errorbar(places[aggregate.variant], aggregate.value or 0.0, **_look(summary, front, aggregate))
    _line(axes, summary, front, places)
    _fit(axes, summary, cost, [values[variant] for variant in front.standings])
    return {*front.standings}


def _look(summary: Summary, front: Front, aggregate: Aggregate) -> dict[str, Any]:
    look = styles(summary.results)[aggregate.variant]
    plain = {"yerr": aggregate.spread, "color": look["color"], "marker": look["marker"], "markersize": 7, "capsize": 3}
    standing = front.standings[aggregate.variant]
    if standing == "inconclusive":
        return {**plain, "markerfacecolor": "none", "markeredgewidth": 1.4}
    return {**plain, "color": BASELINE, "markersize": 4, "alpha": 0.6} if standing == "dominated" else plain


def _line(axes: Axes, summary: Summary, front: Front, places: dict[str, float]) -> None:
    """The front as a staircase: what is the best score for so much cost."""
    kept = [v for v, standing in front.standings.items() if standing == "front"]
    steps = sorted((places[v], summary.aggregates[v, front.score.metric].value or 0.0) for v in kept)
    xs, ys = [x for x, _ in steps], [y for _, y in steps]
    axes.plot(xs, ys, drawstyle="steps-post", color=INK, linewidth=1.1, alpha=0.55, zorder=0)


def _fit(axes: Axes, summary: Summary, cost: Column, values: list[float]) -> None:
    coverage = min(aggregate.coverage for aggregate in summary.measured(cost.metric))
    warning = f"\n{coverage_text(coverage)} or more" if coverage < 1 else ""
    axes.set_xlabel(heading(summary, cost) + warning)
    axes.margins(x=0.12, y=0.12)
    if min(values) > 0 and max(values) / min(values) >= 20:
        axes.set_xscale("log")
        log_ticks(axes.xaxis)
    else:
        axes.locator_params(axis="x", nbins=3)
