"""Main effects and interactions in words: a row for each effect on the main metric."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.analysis.aggregate import Column
from bench.analysis.factorial import MOST_EFFECTS, Changes, Design, Effect, design_of, effects
from bench.analysis.summary import Summary
from bench.display.names import short_name
from bench.display.numbers import Style, interval_text, style_of
from bench.display.wording import EMPTY, level_text
from bench.stats.inference import LEVEL

ARROW, TIMES = "\N{RIGHTWARDS ARROW}", "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class EffectRow:
    """An effect in words; `verdict` is empty where `reason` says why there is no estimate."""

    kind: str
    change: str
    difference: str
    verdict: str
    reason: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """The entries of the heads."""
        return (self.kind, self.change, self.difference, self.verdict or self.reason)


@dataclass(frozen=True)
class EffectsTable:
    """The heads of the columns, the rows, and sentences on how to read them."""

    heads: tuple[str, ...]
    rows: tuple[EffectRow, ...]
    notes: tuple[str, ...]


def effects_table(summary: Summary, metric: str = "") -> EffectsTable | None:
    """Of a metric of the table, or the main one; None where no axes are crossed, or where it has no value."""
    column, design = summary.column(metric) if metric else summary.main(), design_of(summary)
    if column is None or design is None:
        return None
    estimated, style = effects(summary, column), style_of(summary, column)
    unit = f" ({style.scale.unit})" if style.scale.unit else ""
    heads = ("effect", "change", f"difference of {column.name or column.metric}{unit}", "verdict")
    rows = tuple(_row(summary, each, style) for each in estimated)
    return EffectsTable(heads, rows, tuple(_notes(column, design, estimated)))


def changes_text(changes: Changes) -> str:
    """`stride 16 → 8`, or `stride 16 → 8 × skips false → true` of an interaction."""
    return f" {TIMES} ".join(f"{change.axis} {change.first} {ARROW} {change.second}" for change in changes)


def _row(summary: Summary, effect: Effect, style: Style) -> EffectRow:
    kind = "interaction" if effect.interaction else "main effect"
    change = " or ".join(changes_text(each) for each in (effect.changes, *effect.aliases))
    if effect.value is None:
        return EffectRow(kind, change, EMPTY, "", f"not estimated: {_named(summary, effect.reason)}")
    difference = style.text(effect.value, sign=True) + interval_text(effect.interval, style)
    return EffectRow(kind, change, difference, effect.verdict)


def _named(summary: Summary, reason: str) -> str:
    """The reason with the short names of variants."""
    for variant in sorted(summary.results.variants, key=len, reverse=True):
        reason = reason.replace(variant, short_name(summary.results, variant))
    return reason


def _notes(column: Column, design: Design, estimated: tuple[Effect, ...]) -> Iterator[str]:
    yield "a main effect is the difference that a change makes, averaged over the values of the other axes"
    if any(effect.interaction for effect in estimated):
        yield "an interaction is by how much the effect of one change differs between the two values of the other"
        if any(effect.interaction and effect.verdict == "changed" for effect in estimated):
            yield "where an interaction is 'changed', the main effects of its axes are averages of different effects"
    else:
        yield f"there are no interactions here: with them there would be more than {MOST_EFFECTS} effects"
    if any(effect.interval for effect in estimated):
        yield f"[low, high]: confidence interval, {level_text(LEVEL)} for all verdicts here together (Holm)"
    if not design.complete:
        yield "the variants are a fraction of all combinations: effects joined by 'or' cannot be told apart"
    if design.left_out:
        pairs = ", ".join(f"{axis}={value}" for axis, value in design.left_out)
        yield f"without the variants of {pairs}, which are not combined with all values of the other axes"
