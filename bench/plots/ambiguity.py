"""What seeing farther does for joints that look alike, and for those that do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.analysis.summary import Summary, summarise
from bench.display.figure import INK, legend_height, new, styles, variant_legend
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = {"pck_ambiguous": "joints that there are two of", "pck_unambiguous": "joints that there is one of"}
FIELD = "receptive_field"
GLOBAL = 1.25
"""Where a global field stands, in multiples of the widest that is not."""


@plot(order=26)
def ambiguity(results: Results) -> Iterator[tuple[str, Figure]]:
    """PCK of ambiguous and of unambiguous joints against the receptive field."""
    summary = summarise(results)
    fields = {aggregate.variant: aggregate.value for aggregate in summary.of(FIELD) if aggregate.answered}
    shown = [v for v in results.variants if v in fields and all(_measured(summary, v, m) for m in PANELS)]
    if len(shown) < 2:
        return
    caption = (
        "PCK of joints that there are two of, left and right, and of the others, against the receptive field; a marker "
        "per variant (mean, bars: sd over seeds); dotted lines: what is known to be possible with and without the cue"
    )
    figure, panels = new(8.2, 3.6 + legend_height(results), caption, 1, len(PANELS))
    for axes, (metric, title) in zip(panels, PANELS.items(), strict=True):
        _panel(axes, summary, metric, {v: fields[v] for v in shown})
        axes.set_title(title)
        axes.set_ylim(-0.03, 1.03)
        axes.set_ylabel("PCK@0.2" if axes is panels[0] else "")
        axes.set_xlabel("receptive field (px a side)")
    variant_legend(figure, results, shown, linestyle="none", markersize=7)
    yield "ambiguity", figure


def _measured(summary: Summary, variant: str, metric: str) -> bool:
    aggregate = summary.aggregates.get((variant, metric))
    return aggregate is not None and aggregate.value is not None


def _panel(axes: Axes, summary: Summary, metric: str, fields: dict[str, float | None]) -> None:
    looks = styles(summary.results)
    known = [size for size in fields.values() if size is not None]
    end = GLOBAL * max(known, default=1.0)
    for variant, size in fields.items():
        aggregate = summary.aggregates[variant, metric]
        look = {**looks[variant], "linestyle": "none", "markersize": 7, "capsize": 3}
        axes.errorbar(end if size is None else size, aggregate.value or 0.0, yerr=aggregate.spread, **look)
    axes.set_xlim(0, (end if None in fields.values() else max(known)) * 1.08)
    if None in fields.values():
        ticks = [tick for tick in axes.get_xticks() if 0 <= tick < 0.85 * end]
        axes.set_xticks([*ticks, end], [*(f"{tick:g}" for tick in ticks), "global"])
    for best in sorted(_known(summary.results, metric)):
        axes.axhline(best, color=INK, linestyle=":", linewidth=1.2, zorder=1)


def _known(results: Results, metric: str) -> set[float]:
    """The best possible scores that the dataset tells: with the cue, and with less (`metric@..`)."""
    told = [evaluation.facts.get("optimum", {}) for evaluation in results.evaluations.values()]
    return {float(v) for optimum in told for name, v in optimum.items() if name.partition("@")[0] == metric}
