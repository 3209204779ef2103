"""Effective receptive field of each variant, with its theoretical receptive field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.analysis.summary import summarise
from bench.display.figure import COLOURS, LINE, WIDTH, in_order, names, new, titles
from bench.display.legend import legend_below
from bench.display.pictures import bare, fit_height, row_name
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRIC = "effective_receptive_field"
INITIAL, TRAINED = "at initialisation", "after training"
BOX: dict[str, Any] = {"edgecolor": COLOURS[5], "linewidth": 1.6, "linestyle": "--", "fill": False, "clip_on": False}
DISC: dict[str, Any] = {"edgecolor": COLOURS[1], "linewidth": 1.6, "fill": False}
HIGHEST = 1.8
"""Inches of the greatest height of a picture."""
Facts = Mapping[str, Any]
"""`map` (rows of cells), `cell` (px), `shape` (px), `centre` (y, x), `radius` (px) and `box` of one network."""


@plot(order=61)
def effective_receptive_field(results: Results) -> Iterator[tuple[str, Figure]]:
    """The effective receptive field of each variant, before and after training, in the theoretical one's box."""
    stages = {INITIAL: _initial(results), TRAINED: _trained(results)}
    stages = {stage: fields for stage, fields in stages.items() if fields}
    shown = [v for v in in_order(results) if any(v in fields for fields in stages.values())]
    if not shown:
        return
    tallest = max(facts["shape"][0] / facts["shape"][1] for fields in stages.values() for facts in fields.values())
    caption = (
        "Square root of the magnitude of the gradient of the centre output with respect to each input pixel, relative "
        "to the greatest (black is 0, white is 1); circle: 95 % of the squared gradient is inside; box: the "
        f"theoretical receptive field within the image{_without(results, shown)}"
    )
    columns = 2
    panels = [(variant, stage) for variant in shown for stage in stages]
    lines = -(-len(panels) // columns)
    texts = titles(results, 22)
    written = len(stages) + max(text.count("\n") + 1 for text in texts.values())
    high = min(WIDTH / columns * tallest, HIGHEST) + 0.25 + LINE * written
    figure, grid = new(WIDTH, high * lines + 0.3, caption, lines, columns)
    figure.set_layout_engine("compressed")  # pictures keep their aspect
    for axes, (variant, stage) in zip(grid, panels, strict=False):
        _panel(axes, stages[stage].get(variant), stage if len(stages) > 1 else "")
        row_name(axes, texts[variant])
    for axes in grid[len(panels) :]:
        axes.remove()
    _legend(figure)
    fit_height(figure)
    yield METRIC, figure


def _without(results: Results, shown: Sequence[str]) -> str:
    """What the caption says about variants that no panel shows."""
    texts = names(results)
    others = [texts[variant] for variant in in_order(results) if variant not in shown]
    return f"; not measured: {'; '.join(others)}" if others else ""


def _initial(results: Results) -> dict[str, Facts]:
    """Variant -> the facts of its receptive field, from the metric's detail."""
    aggregates = summarise(results).of(METRIC)
    return {each.variant: each.details[0] for each in aggregates if each.details and _drawable(each.details[0])}


def _trained(results: Results) -> dict[str, Facts]:
    """Variant -> the facts of its receptive field, from the evaluation of its first seed that has them."""
    fields: dict[str, Facts] = {}
    for (variant, _), evaluation in sorted(results.evaluations.items(), key=lambda item: item[0]):
        facts = evaluation.facts.get(METRIC, {})
        if _drawable(facts):
            fields.setdefault(variant, facts)
    return fields


def _drawable(facts: Facts) -> bool:
    return "map" in facts and len(facts["shape"]) == 2


def _panel(axes: Axes, facts: Facts | None, stage: str) -> None:
    bare(axes)
    if facts is None:
        axes.set_xlabel(f"{stage}\nnot measured".strip())
        return
    _picture(axes, facts)
    _outlines(axes, facts)
    axes.set_xlabel(f"{stage}\n95 % within {facts['radius']:.1f} px".strip())


def _picture(axes: Axes, facts: Facts) -> None:
    """The square root of the map, in pixels of the input; cells that overhang are cut."""
    import numpy as np

    cells, cell = np.sqrt(np.asarray(facts["map"], dtype=float)), facts["cell"]
    right, bottom = cells.shape[1] * cell - 0.5, cells.shape[0] * cell - 0.5
    axes.imshow(cells, cmap="gray", vmin=0, vmax=1, interpolation="none", extent=(-0.5, right, bottom, -0.5))
    axes.set_xlim(-0.5, facts["shape"][1] - 0.5)
    axes.set_ylim(facts["shape"][0] - 0.5, -0.5)


def _outlines(axes: Axes, facts: Facts) -> None:
    from matplotlib.patches import Circle, Rectangle

    y, x = facts["centre"]
    axes.add_patch(Circle((x, y), facts["radius"], **DISC))
    if facts["box"] is not None:
        (top, bottom), (left, right) = facts["box"]
        axes.add_patch(Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, **BOX))


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D

    disc = Line2D([], [], color=DISC["edgecolor"], linewidth=DISC["linewidth"])
    box = Line2D([], [], color=BOX["edgecolor"], linewidth=BOX["linewidth"], linestyle=BOX["linestyle"])
    legend_below(figure, [disc, box], ["95 % of the squared gradient", "theoretical receptive field, within the image"])
