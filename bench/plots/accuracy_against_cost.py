"""The main metric against each cost, with the Pareto front."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.analysis.front import LEAST_SPAN, Front, by_noise, fronts, is_cost, spans
from bench.analysis.summary import Aggregate, Column, Summary, summarise
from bench.display.dodging import Mark, dodge, remark
from bench.display.figure import BASELINE, COLOURS, INK, log_ticks, stacked, styles
from bench.display.legend import variant_legend
from bench.display.metric_names import axis_label, display_name
from bench.display.numbers import coverage_text
from bench.display.seeds import error_bar, scaled, scaled_value, score_notes
from bench.registry import READABLE, plot
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = 2.6
"""Inches of a panel's height."""
SMALL = 4
"""Points of the marker of a dominated variant, in its own colour and shape; of the others it is 7."""


@plot(order=20, most=None)
def accuracy_against_cost(results: Results) -> Iterator[tuple[str, Figure]]:
    """The main metric against every metric that is better lower: parameters, operations, time, memory.

    The line is the Pareto front of the means. A variant that is not on it has a hollow marker; a small one
    where another variant dominates it significantly (`bench.analysis.front`). A cost that spans nothing is not drawn.
    Of more variants than a legend can name, each is a dot.
    """
    summary = summarise(results)
    shown = [each for each in fronts(summary) if len(each.costs) == 1 and len(each.standings) > 1]
    if not shown:
        return
    same = [column for column in summary.columns if is_cost(summary, column) and not spans(summary, column)]
    figure, panels = stacked(len(shown), PANEL, _caption(summary, shown, same))
    dodged = [panel(axes, summary, front) for axes, front in zip(panels, shown, strict=True)]
    figure.set_label(remark(str(figure.get_label()), any(dodged)))
    for axes, front in zip(panels, shown, strict=True):
        axes.set_ylabel(axis_label(summary, front.score))
    variants = {variant for front in shown for variant in front.standings}
    if len(variants) <= READABLE:
        variant_legend(figure, results, [*variants], score_notes(summary, [shown[0].score.metric]))
    yield "accuracy_against_cost", figure


def _costs(summary: Summary, front: Front) -> list[float]:
    (cost,) = front.costs
    return [summary.aggregates[variant, cost.metric].value or 0.0 for variant in front.standings]


def _caption(summary: Summary, shown: Sequence[Front], same: Sequence[Column]) -> str:
    score = shown[0].score.metric
    costs = ", ".join(display_name(summary.results, front.costs[0].metric) for front in shown)
    standings = {standing for front in shown for standing in front.standings.values()}
    many = max(len(front.standings) for front in shown) > READABLE
    parts = [
        f"{display_name(summary.results, score)} against {costs}, a {'dot' if many else 'marker'} per variant",
        "grey: the baseline" if many else "",
        "bars: sd over seeds" if not many and any(aggregate.spread for aggregate in summary.of(score)) else "",
        "line: the Pareto front of the means",
        "hollow: not on the front, but not significantly dominated" if "inconclusive" in standings else "",
        "small: significantly dominated (95 % for all pairs, Holm)" if "dominated" in standings else "",
        _same(summary, same),
    ]
    return "; ".join(part for part in parts if part)


def _same(summary: Summary, columns: Sequence[Column]) -> str:
    """The costs that are not drawn, and why: no significant difference is not the same as equal costs."""
    tested = {column.metric: by_noise(summary, column) for column in columns}
    reasons = {
        f"all variants within {100 * LEAST_SPAN:g} %": [metric for metric in tested if not tested[metric]],
        "no difference from the baseline is beyond the noise": [metric for metric in tested if tested[metric]],
    }
    parts = [
        f"{', '.join(display_name(summary.results, metric) for metric in metrics)} ({reason})"
        for reason, metrics in reasons.items()
        if metrics
    ]
    return f"not drawn: {', '.join(parts)}" if parts else ""


def panel(axes: Axes, summary: Summary, front: Front) -> bool:
    """A marker for each variant that has the score and the cost; whether some are drawn apart (`dodge`)."""
    (cost,) = front.costs
    values = _costs(summary, front)
    costs = dict(zip(front.standings, scaled(summary, cost, values), strict=True))
    scores = {v: scaled_value(summary, front.score, _score(summary, front, v).value) for v in front.standings}
    marks: list[Mark] = []
    if len(front.standings) > READABLE:
        _dots(axes, summary, costs, scores)
    else:
        marks = [_mark(axes, summary, front, v, (costs[v], scores[v])) for v in front.standings]
    steps = sorted((costs[v], scores[v]) for v, standing in front.standings.items() if standing == "front")
    line: dict[str, Any] = {"drawstyle": "steps-post", "color": INK, "linewidth": 1.1, "alpha": 0.55, "zorder": 0}
    axes.plot([x for x, _ in steps], [y for _, y in steps], **line)
    _fit(axes, summary, cost, values)
    return dodge(axes, marks)


def _mark(axes: Axes, summary: Summary, front: Front, variant: str, place: tuple[float, float]) -> Mark:
    """A variant's marker with its bar."""
    return *place, axes.errorbar(*place, **_look(summary, front, _score(summary, front, variant))).get_children()


def _dots(axes: Axes, summary: Summary, costs: Mapping[str, float], scores: Mapping[str, float]) -> None:
    """A dot for each variant, and a marker for the baseline."""
    axes.scatter([*costs.values()], [scores[v] for v in costs], s=6, color=COLOURS[0], linewidths=0, rasterized=True)
    baseline = summary.results.baseline
    if baseline in costs:
        axes.plot(costs[baseline], scores[baseline], color=BASELINE, marker="o", markersize=7)


def _score(summary: Summary, front: Front, variant: str) -> Aggregate:
    return summary.aggregates[variant, front.score.metric]


def _look(summary: Summary, front: Front, aggregate: Aggregate) -> dict[str, Any]:
    look = {**styles(summary.results)[aggregate.variant], "markersize": 7, "capsize": 3, "linestyle": "none"}
    look["yerr"] = error_bar(summary, front.score, aggregate)
    standing = front.standings[aggregate.variant]
    if standing == "inconclusive":
        return {**look, "markerfacecolor": "none", "markeredgewidth": 1.4}
    return {**look, "markersize": SMALL} if standing == "dominated" else look


def _fit(axes: Axes, summary: Summary, cost: Column, values: Sequence[float]) -> None:
    coverage = min(aggregate.coverage for aggregate in summary.measured(cost.metric))
    warning = f"\n{coverage_text(coverage)} or more" if coverage < 1 else ""
    axes.set_xlabel(axis_label(summary, cost) + warning)
    axes.margins(x=0.12, y=0.12)
    if min(values) > 0 and max(values) / min(values) >= 20:
        axes.set_xscale("log")
        log_ticks(axes.xaxis)
    else:
        axes.locator_params(axis="x", nbins=3)
