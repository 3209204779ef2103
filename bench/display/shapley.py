"""Shapley values in words: what each component accounts for, as a row of the report."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.factorial import Change
from bench.analysis.shapley import Component, shapley
from bench.analysis.summary import Summary
from bench.display.factorial import changes_text
from bench.display.numbers import Style, interval_text, style_of
from bench.display.wording import EMPTY, level_text
from bench.stats.inference import LEVEL


@dataclass(frozen=True)
class ShapleyTable:
    """The heads of the columns, the rows, and sentences on how to read them."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def shapley_table(summary: Summary) -> ShapleyTable | None:
    """Of the main metric; None without a complete design of two values for each axis."""
    column = summary.main()
    components = shapley(summary, column) if column else ()
    if column is None or not components:
        return None
    style = style_of(summary, column)
    unit = f" ({style.scale.unit})" if style.scale.unit else ""
    heads = ("component", f"Shapley value, {column.name or column.metric}{unit}", "of the whole", "verdict")
    return ShapleyTable(heads, tuple(_row(each, style) for each in components), tuple(_notes(components, style)))


def _row(each: Component, style: Style) -> tuple[str, ...]:
    value = style.text(each.value, sign=True) + interval_text(each.interval, style)
    fraction = EMPTY if each.fraction is None else f"{100 * each.fraction:.0f} %"
    return changes_text((Change(each.axis, each.first, each.second),)), value, fraction, each.verdict


def _notes(components: tuple[Component, ...], style: Style) -> list[str]:
    whole = style.text(sum(each.value for each in components), sign=True)
    notes = [
        "the Shapley value of a component is what its change adds, as the mean over all orders in which the components "
        f"can be changed, exact over all {2 ** len(components)} variants",
        f"together they are {whole}, the whole difference",
    ]
    if any(each.interval for each in components):
        notes.append(f"[low, high]: confidence interval, {level_text(LEVEL)} for all verdicts here together (Holm)")
    return notes
