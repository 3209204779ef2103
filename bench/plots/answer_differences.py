"""A forest plot: differences with the intervals of their verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.analysis.deltas import Delta, margin_of
from bench.analysis.summary import Column, Summary
from bench.display.answers import plain_names
from bench.display.figure import (
    BASELINE,
    INK,
    Rows,
    in_order,
    rows_figure,
    wrapped,
)
from bench.display.legend import legend_below
from bench.display.metric_names import axis_label, display_name
from bench.display.numbers import DELTA, interval_text, style_of
from bench.display.seeds import scaled, scaled_value
from bench.display.verdicts import legend_entries, look_of_verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_FULL = 5
"""Rows up to which each has its interval in words; of more it is the bar alone, and more rows are on one screen."""
BAND: Mapping[str, Any] = {"color": BASELINE, "alpha": 0.3, "linewidth": 0}
ZERO: Mapping[str, Any] = {"color": INK, "linewidth": 1.2}


def draw(summary: Summary, column: Column) -> Figure | None:
    """A row per difference from the baseline, and per planned contrast; None where none has an interval."""
    named = differences(summary, column)
    if not any(delta.interval for delta in named.values()):
        return None
    full = len(named) <= MOST_FULL
    rows = Rows({name: _note(summary, column, delta, full) for name, delta in named.items()})
    figure, axes = rows_figure(rows, _caption(summary, column))
    margin = margin_of(column, summary.of(column.metric))
    if margin:
        rows.band(axes, *scaled(summary, column, [-margin, margin]), **BAND)
    rows.line(axes, 0.0, **ZERO)
    for name, delta in named.items():
        _mark(axes, summary, column, delta, rows.places[name])
    axes.margins(x=0.06)
    rows.label(axes)
    axes.set_xlabel(wrapped(_label(summary, column), 48, 48))
    _legend(figure, named, margin)
    return figure


def differences(summary: Summary, column: Column) -> dict[str, Delta]:
    """Name -> difference: from the baseline in the order of figures, then the contrasts of other pairs.

    Where there are such contrasts, each name says both variants, with a minus sign where many rows need one line each.
    """
    texts, baseline = plain_names(summary.results), summary.results.baseline
    contrasts = _contrasts(summary, column)
    table = {v: delta for v in in_order(summary.results) if (delta := summary.delta(v, column.metric))}
    less = " against " if len(table) + len(contrasts) <= MOST_FULL else " \N{MINUS SIGN} "
    against = f"{less}{texts[baseline]}" if contrasts else ""
    return {f"{texts[variant]}{against}": delta for variant, delta in table.items()} | {
        f"{texts[one]}{less}{texts[other]}": delta for (one, other), delta in contrasts.items()
    }


def _contrasts(summary: Summary, column: Column) -> dict[tuple[str, str], Delta]:
    """The planned contrasts of pairs without the baseline."""
    answers = summary.answers(column.metric).items()
    return {pair: delta for pair, delta in answers if summary.results.baseline not in pair}


def _note(summary: Summary, column: Column, delta: Delta, full: bool) -> str:
    """`+0.116 [+0.077, +0.155] better`; without the interval unless `full`."""
    style = style_of(summary, column)
    interval = interval_text(delta.interval, style) if full else ""
    return f"{style.text(delta.difference.value, sign=True)}{interval} {delta.verdict or 'not tested'}"


def _mark(axes: Axes, summary: Summary, column: Column, delta: Delta, place: int) -> None:
    """The difference, and a bar over its interval."""
    look = look_of_verdict(delta)
    if delta.interval:
        axes.plot(scaled(summary, column, delta.interval), [place] * 2, color=look.colour, linewidth=2)
    value = scaled_value(summary, column, delta.difference.value)
    axes.plot([value], [place], markersize=7, linestyle="none", **look.marks)


def _label(summary: Summary, column: Column) -> str:
    """What holds for all rows: also against what, unless the rows say so themselves."""
    baseline = plain_names(summary.results)[summary.results.baseline]
    against = ": the first less the second" if _contrasts(summary, column) else f" against {baseline}"
    return f"{DELTA} {axis_label(summary, column)}{against}"


def _caption(summary: Summary, column: Column) -> str:
    name = display_name(summary.results, column.metric)
    return (
        f"Differences in {name} with the confidence intervals of their verdicts: all of them together are wrong with "
        "5 % at most (Holm)"
    )


def _legend(figure: Figure, named: Mapping[str, Delta], margin: float | None) -> None:
    from matplotlib.patches import Patch

    entries = legend_entries(look_of_verdict(delta) for delta in named.values())
    band = {f"equivalent within ±{margin:g}": Patch(**BAND)} if margin else {}
    legend_below(figure, [*entries.values(), *band.values()], [*entries, *band], columns=4)
