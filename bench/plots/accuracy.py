"""The main metric of each variant, seed by seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.figure import BASELINE, INK, axis_title, beside, legend_below, new, rows_height, styles, variant_rows
from bench.quantity import number_text, show, style_of
from bench.registry import plot
from bench.results import Results
from bench.summary import Cell, Summary, summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@plot(order=10)
def accuracy(results: Results) -> Iterator[tuple[str, Figure]]:
    """The main metric of each variant: every seed, mean and standard deviation, baseline and known optimum."""
    summary = summarise(results)
    column = summary.main()
    if column is None:
        return
    caption = f"{column.metric} of each variant: every seed, their mean and sample standard deviation"
    figure, (axes,) = new(8.2, rows_height(results), caption)
    rows = variant_rows(axes, results)
    for cell in summary.of(column.metric):
        _row(axes, summary, cell, rows[cell.variant])
    _baseline(axes, summary, column.metric)
    _optimum(axes, results, column.metric, rows)
    axes.set_xlabel(axis_title(summary, column))
    handles, names = axes.get_legend_handles_labels()
    unique = dict(zip(names, handles, strict=True))
    legend_below(figure, [*unique.values()], [*unique], columns=4)
    yield "accuracy", figure


def _row(axes: Axes, summary: Summary, cell: Cell, row: int) -> None:
    style = style_of(summary, summary.column(cell.metric))
    shown = show(summary, cell.variant, cell.metric, style)
    if cell.value is None:
        beside(axes, row, shown.text if shown else "", alpha=0.7)
        return
    colour = styles(summary.results)[cell.variant]["color"]
    values = [cell.by_seed[seed] for seed in sorted(cell.seeded)] or [cell.value]
    places = [row + 0.24 * (i - (len(values) - 1) / 2) / max(1, len(values) - 1) for i in range(len(values))]
    axes.scatter(values, places, s=16, color=colour, alpha=0.55, linewidths=0, label="one seed")
    look = {"color": colour, "marker": "D", "markersize": 6, "capsize": 4, "linewidth": 2}
    axes.errorbar(cell.value, row, xerr=cell.spread, label="mean ± sd", **look)
    beside(axes, row, number_text(cell, style) + (" *" if cell.status == "partial" else ""))


def _baseline(axes: Axes, summary: Summary, metric: str) -> None:
    cell = summary.cells.get((summary.results.baseline, metric))
    if cell is not None and cell.value is not None:
        axes.axvline(cell.value, color=BASELINE, linestyle="--", linewidth=1.2, zorder=0, label="baseline's mean")


def _optimum(axes: Axes, results: Results, metric: str, rows: dict[str, int]) -> None:
    """A phantom's best possible score, which is known in closed form."""
    known = {(v, e.facts.get("optimum", {}).get(metric)) for (v, _), e in results.evaluations.items()}
    for variant, value in sorted((v, float(o)) for v, o in known if o is not None and v in rows):
        ends = (rows[variant] - 0.42, rows[variant] + 0.42)
        axes.plot([value] * 2, ends, color=INK, linewidth=1.4, linestyle=":", label="best possible (known)")
