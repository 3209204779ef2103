"""How a number is shown to a person: the one place where digits are dropped."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.aggregate import Aggregate, Column
from bench.analysis.deltas import Delta
from bench.analysis.summary import Summary
from bench.stats.descriptive import Difference, median

MINUS = "\N{MINUS SIGN}"
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
DELTA = "\N{GREEK CAPITAL LETTER DELTA}"
ARROWS = {"higher": "\N{UPWARDS ARROW}", "lower": "\N{DOWNWARDS ARROW}"}
BYTES = {"B", "byte", "bytes"}
SECONDS = {"s", "second", "seconds"}
PLAIN = {"", "1"}
HASH = "hash"
DISTURBED = "disturbed: nearly every call waited for a core"


@dataclass(frozen=True)
class Scale:
    """Shown number = number / `factor`, in `unit`."""

    factor: float
    unit: str


@dataclass(frozen=True)
class Style:
    """How the numbers of one column are shown: their scale, and as many decimals for all of them."""

    scale: Scale
    decimals: int

    def text(self, value: float, sign: bool = False) -> str:
        """With the decimals of the column; a difference (`sign`) that is not 0 has so many that it does not read 0."""
        if self.scale.unit == HASH:
            return f"{int(value):012x}"
        scaled = value / self.scale.factor
        return fixed(scaled, nonzero_decimals(scaled, self.decimals) if sign else self.decimals, sign)


def scale_of(values: Sequence[float], unit: str) -> Scale:
    """One scale for a whole column, so that its numbers can be compared by eye.

    Bytes go up in steps of 1024, seconds below one go down, and anything from 100,000 goes up in
    steps of 1000. The largest magnitude decides.
    """
    largest = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    plain = "" if unit in PLAIN else unit
    if unit == HASH:
        return Scale(1.0, HASH)
    if unit in BYTES:
        return _up(largest, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))
    if unit in SECONDS and 0 < largest < 1:
        return _down(largest)
    if largest >= 1e5:
        return _up(largest, 1000, tuple(f"{p} {plain}".strip() for p in ("", "k", "M", "G", "T", "P")))
    return Scale(1.0, plain)


@functools.lru_cache(maxsize=256)
def style_of(summary: Summary, column: Column) -> Style:
    """The style of a metric's column."""
    aggregates = summary.measured(column.metric)
    values = [aggregate.value for aggregate in aggregates if aggregate.value is not None]
    scale = scale_of(values, column.unit)
    shown = [value / scale.factor for value in values]
    spreads = [aggregate.spread / scale.factor for aggregate in aggregates if aggregate.spread]
    return Style(
        scale, _decimals(shown, spreads, all(aggregate.exact and not aggregate.seeded for aggregate in aggregates))
    )


def _decimals(values: Sequence[float], spreads: Sequence[float], exact: bool) -> int:
    """Two digits of the middle spread, five of the largest exact number, four of a middle one otherwise.

    Where spreads are tiny, one digit of the middle one is enough beyond four digits of the largest number; where they
    are unlike, more than three digits of the largest say nothing.
    """
    sizes = sorted(abs(v) for v in values if v and math.isfinite(v))
    if not sizes or (exact and all(v.is_integer() for v in sizes)):
        return 0
    if spreads:
        middle, enough = median(spreads), decimals_for(sizes[-1], 4)
        return min(decimals_for(middle, 2), max(enough, decimals_for(middle, 1)), decimals_for(max(spreads), 3))
    if exact:
        return max(decimals_for(sizes[-1], 5), decimals_for(sizes[0], 3))
    return decimals_for(median(sizes), 4)


def _up(largest: float, step: int, units: Sequence[str]) -> Scale:
    power = next((p for p in range(len(units)) if largest < step ** (p + 1)), len(units) - 1)
    return Scale(float(step**power), units[power])


def _down(largest: float) -> Scale:
    steps = ((1e-3, "ms"), (1e-6, "\N{MICRO SIGN}s"), (1e-9, "ns"))
    return next((Scale(f, u) for f, u in steps if largest >= f), Scale(*steps[-1]))


def decimals_for(number: float, digits: int) -> int:
    """Decimals that show `number` to `digits` significant digits; never fewer than none."""
    if number == 0 or not math.isfinite(number):
        return 0
    return max(0, digits - 1 - math.floor(math.log10(abs(number))))


ROUNDING = 9
"""So many decimals further, what is left of a difference is the error of floating-point numbers."""


def nonzero_decimals(number: float, decimals: int) -> int:
    """At least `decimals`, and so many that a number that is not 0 shows its first digit: -0.0004, not -0.000."""
    if not math.isfinite(number) or round(number, decimals) or abs(number) < 10.0 ** -(decimals + ROUNDING):
        return decimals
    return decimals_for(number, 1)


def counted(count: int, noun: str) -> str:
    """`1 round`, `3 rounds`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def fixed(number: float, decimals: int, sign: bool = False) -> str:
    """With so many decimals and a real minus sign; `-0.0` has none."""
    if not math.isfinite(number):
        return str(number).replace("-", MINUS)
    rounded = round(number, decimals) + 0.0
    return f"{rounded:{'+' if sign else ''}.{decimals}f}".replace("-", MINUS)


@dataclass(frozen=True)
class Shown:
    """An aggregate in words: the number with its spread, notes on it, the difference and its verdict.

    `number` is empty where there is none; then `notes` say why. `verdict` is empty where nothing was inferred.
    """

    number: str
    notes: tuple[str, ...]
    difference: str
    verdict: str = ""

    @property
    def text(self) -> str:
        """All in one line."""
        notes = "; ".join(self.notes)
        change = f"{DELTA} {self.difference}" if self.difference else ""
        comparison = ", ".join(part for part in (change, self.verdict) if part)
        aside = "; ".join(part for part in (comparison, notes) if part)
        if not self.number:
            return notes
        return f"{self.number} ({aside})" if aside else self.number


def show(summary: Summary, variant: str, metric: str, style: Style) -> Shown | None:
    """How the aggregate is shown; None where it was not requested."""
    aggregate = summary.aggregates.get((variant, metric))
    if aggregate is None:
        return None
    change = summary.delta(variant, metric)
    notes = notes_of(aggregate, _usual_count(summary, metric))
    difference = difference_text(aggregate, change, style) if change else ""
    verdict = verdict_text(aggregate, change) if change else ""
    return Shown(number_text(aggregate, style), tuple(notes), difference, verdict)


def number_text(aggregate: Aggregate, style: Style) -> str:
    """`134.35`, `0.521 ± 0.003` over seeds, `12.31 [12.10, 12.92]` (median and quartiles), or `global`."""
    if aggregate.value is None:
        return aggregate.words
    if aggregate.quartiles:
        low, high = map(style.text, aggregate.quartiles)
        return f"{style.text(aggregate.value)} [{low}, {high}]"
    return style.text(aggregate.value) + _plus_minus(aggregate.spread, style)


def _plus_minus(spread: float | None, style: Style) -> str:
    """A spread that is not 0 has so many decimals that it does not read 0."""
    if spread is None:
        return ""
    scaled = spread / style.scale.factor
    return f" {PLUS_MINUS} {fixed(scaled, nonzero_decimals(scaled, style.decimals))}"


def difference_text(aggregate: Aggregate, change: Delta, style: Style) -> str:
    """Of seeds in the metric's unit, of other numbers as a fraction of the baseline; with its interval."""
    plain = change.difference
    if not aggregate.seeded:
        return _relative(plain, style) + _relative_interval(change)
    pairs = f" ({plain.pairs} pairs)" if plain.pairs != aggregate.count else ""
    return style.text(plain.value, sign=True) + interval_text(change.interval, style) + pairs


def interval_text(interval: tuple[float, float] | None, style: Style) -> str:
    """` [+0.012, +0.034]`; nothing where there is none."""
    return "" if interval is None else f" [{', '.join(style.text(end, sign=True) for end in interval)}]"


def verdict_text(aggregate: Aggregate, change: Delta) -> str:
    """The verdict on a noisy difference; an exact one speaks for itself, and the notes say what is missing."""
    noisy = aggregate.seeded or change.interval is not None
    return change.verdict if change.verdict and noisy and change.verdict not in ("missing", "broken") else ""


def _relative(change: Difference, style: Style) -> str:
    if style.scale.unit == HASH:
        return "differs" if change.value else "same"
    if change.value == 0:
        return f"{PLUS_MINUS}0"
    if change.relative is None:
        return style.text(change.value, sign=True)
    if change.relative >= MANY_TIMES:
        return _times(change.relative)
    percent = 100 * change.relative
    return f"{fixed(percent, decimals_for(percent, 2), sign=True)} %"


MANY_TIMES = 9.0
"""From this fraction on a difference is said as a factor, not in percent."""


def _times(fraction: float) -> str:
    return f"\N{MULTIPLICATION SIGN}{fixed(1 + fraction, 1)}"


def _relative_interval(change: Delta) -> str:
    """` [-33, +15] %`, of a difference of numbers with noise, as a fraction of the baseline; two digits of its ends."""
    plain = change.difference
    if change.interval is None or not plain.relative:
        return ""
    fractions = [end * plain.relative / plain.value for end in change.interval]
    if plain.relative >= MANY_TIMES:
        return f" [{', '.join(map(_times, fractions))}]"
    decimals = min(decimals_for(100 * min(map(abs, fractions)), 2), decimals_for(100 * max(map(abs, fractions)), 2) + 1)
    texts = [fixed(100 * each, nonzero_decimals(100 * each, decimals), sign=True) for each in fractions]
    return f" [{', '.join(texts)}] %"


def usual_count(aggregates: Sequence[Aggregate]) -> int:
    """The most numbers that any aggregate of a column has: what its head can say for all of them."""
    return max((aggregate.count for aggregate in aggregates), default=0)


@functools.lru_cache(maxsize=256)
def _usual_count(summary: Summary, metric: str) -> int:
    return usual_count(summary.of(metric))


def notes_of(aggregate: Aggregate, usual: int) -> list[str]:
    """What a reader must know beside the number, or instead of it."""
    notes = [coverage_text(aggregate.coverage)] if aggregate.answered and aggregate.coverage < 1 else []
    requested = len(aggregate.answered) + len(aggregate.errors) + len(aggregate.missing)
    several = requested > 1 and aggregate.status in ("partial", "error")
    for message, seeds in _by_message(aggregate).items():
        who = f"{len(seeds)} of {requested} seeds: " if several else ""
        notes.append(f"{who}error: {brief(message)}")
    if aggregate.missing:
        notes.append(f"{len(aggregate.missing)} of {requested} seeds not measured" if several else "not measured")
    if any(detail.get("disturbed") is True for detail in aggregate.details):
        notes.append(DISTURBED)
    if aggregate.seeded and aggregate.count < usual and not several:
        notes.append(f"n={aggregate.count}")
    return notes


def coverage_text(coverage: float) -> str:
    """Rounded down, so that what is not whole never reads 100 %."""
    return f"covers {math.floor(coverage * 1000) / 10:g} % of operators"


def _by_message(aggregate: Aggregate) -> dict[str, list[int | None]]:
    groups: dict[str, list[int | None]] = {}
    for seed, message in aggregate.errors:
        groups.setdefault(message, []).append(seed)
    return groups


def brief(message: str, length: int = 60) -> str:
    """The first line of an error, cut where it is long; the report has it whole."""
    lines = message.strip().splitlines() or [""]
    first = lines[0].removeprefix("error: ")
    return first if len(first) <= length else first[: length - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def spread_words(aggregates: Sequence[Aggregate]) -> str:
    """What the numbers of a column are, for its head: `mean ± sd, n=3`, `median [quartiles]`, or nothing."""
    if any(aggregate.spread is not None for aggregate in aggregates):
        return f"mean {PLUS_MINUS} sd, n={usual_count(aggregates)}"
    if any(aggregate.seeded for aggregate in aggregates):
        return "n=1"
    return "median [quartiles]" if any(aggregate.quartiles for aggregate in aggregates) else ""


def shown_unit(summary: Summary, column: Column) -> str:
    """The unit of a column, without the metric's own name: `M` of `M MACs`."""
    return style_of(summary, column).scale.unit.removesuffix(column.name).strip()


def heading(summary: Summary, column: Column) -> str:
    """`mIoU ↑`, `MACs (G) ↓`: the metric, its unit as shown, which way is better."""
    unit = shown_unit(summary, column)
    parts = (column.name or column.metric, f"({unit})" if unit else "", ARROWS.get(column.better or "", ""))
    return " ".join(part for part in parts if part)
