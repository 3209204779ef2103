"""PCK of joints with a left and a right one, and of the others, against the receptive field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.analysis.summary import Summary, summarise
from bench.display.dodging import Mark, dodge, remark
from bench.display.examples import with_receptive_fields
from bench.display.figure import INK, stacked, styles
from bench.display.legend import variant_legend
from bench.display.metric_names import display_name
from bench.display.receptive_fields import ReceptiveFieldAxis, sides_of
from bench.display.seeds import error_bar, scaled_value, score_notes
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = {"pck_ambiguous": "joints with a left and a right one", "pck_unambiguous": "joints without sides"}


@plot(order=26)
def ambiguity(results: Results) -> Iterator[tuple[str, Figure]]:
    """PCK of ambiguous and of unambiguous joints against the receptive field.

    Nothing where all variants have the same receptive field.
    """
    summary = summarise(results)
    both = [sides_of(summary, "receptive_field", metric) for metric in PANELS]
    sides = {variant: side for variant, side in both[0].items() if variant in both[1]}
    if len({*sides.values()}) < 2:
        return
    name = display_name(results, "pck")
    optimum = "; dotted lines: best possible scores that are known, with and without the cue"
    caption = (
        f"{name} of joints with a left and a right one, and of the others, against the receptive field; a marker "
        f"per variant (mean, bars: sd over seeds){optimum if _bests(results) else ''}"
    )
    figure, panels = stacked(len(PANELS), 2.6, caption)
    dodged = False
    for axes, (metric, title) in zip(panels, PANELS.items(), strict=True):
        marks = _panel(axes, summary, metric, ReceptiveFieldAxis(sides))
        axes.set_title(title)
        axes.set_ylim(-0.03, 1.03)
        axes.set_ylabel(name)
        axes.set_xlabel("receptive field (px, side)")
        dodged |= dodge(axes, marks)
    figure.set_label(remark(caption, dodged))
    variant_legend(figure, results, [*sides], score_notes(summary, [*PANELS]))
    yield "ambiguity", figure


def _panel(axes: Axes, summary: Summary, metric: str, scale: ReceptiveFieldAxis) -> list[Mark]:
    looks, column, marks = styles(summary.results), summary.column(metric), list[Mark]()
    for variant in scale.sides:
        aggregate = summary.aggregates[variant, metric]
        look = {**looks[variant], "linestyle": "none", "markersize": 7, "capsize": 3}
        bar, score = error_bar(summary, column, aggregate), scaled_value(summary, column, aggregate.value)
        place = (scale.position(variant), score)
        marks.append((*place, axes.errorbar(*place, yerr=bar, **look).get_children()))
    scale.fit(axes)
    for best in sorted(_bests(summary.results, metric)):
        axes.axhline(best, color=INK, linestyle=":", linewidth=1.2, zorder=1)
    return marks


def _bests(results: Results, *metrics: str) -> set[float]:
    """The best possible scores that the dataset states: with the cue, and with less (`metric@...`)."""
    optima = [evaluation.facts.get("optimum", {}) for evaluation in results.evaluations.values()]
    names = metrics or tuple(PANELS)
    return {float(v) for optimum in optima for name, v in optimum.items() if name.partition("@")[0] in names}


def example(results: Results) -> Results:
    """The results with different receptive fields, for tests of the figure."""
    return with_receptive_fields(results)
