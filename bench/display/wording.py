"""Inference in words: the sentences under tables and in reports."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.aggregate import Aggregate, Column
from bench.analysis.claims import ClaimResult, ComparisonResult
from bench.analysis.contrast import percent
from bench.analysis.deltas import Delta, gaps, gaps_text, margin_of
from bench.analysis.front import chances, fronts
from bench.analysis.summary import Summary
from bench.display.names import short_name
from bench.display.numbers import DELTA, MINUS, PLUS_MINUS, Scale, Style, fixed, interval_text, style_of
from bench.stats.inference import LEVEL, MOST_SEEDS, detectable, least_effect

EMPTY = "\N{EN DASH}"


@dataclass(frozen=True)
class ClaimText:
    """A claim's result in words; `numbers`, `differences` and `basis` have an entry for each comparison."""

    answer: str
    says: str
    source: str
    numbers: tuple[str, ...]
    differences: tuple[str, ...]
    basis: tuple[str, ...]
    reason: str


def claim_texts(summary: Summary, claims: Sequence[ClaimResult] | None = None) -> list[ClaimText]:
    """Every claim of the source, or each of `claims`, with its answer and the evidence."""
    return [_claim_text(summary, claim) for claim in (summary.claims if claims is None else claims)]


def _claim_text(summary: Summary, claim: ClaimResult) -> ClaimText:
    styles = [_style(summary, comparison) for comparison in claim.comparisons]
    both = list(zip(claim.comparisons, styles, strict=True))
    return ClaimText(
        answer=claim.answer,
        says=claim.statement.says,
        source=claim.statement.source,
        numbers=tuple(_numbers(comparison, style) for comparison, style in both),
        differences=tuple(_difference(comparison, style) for comparison, style in both),
        basis=tuple(_basis(comparison) for comparison in claim.comparisons),
        reason=claim.reason,
    )


def _numbers(comparison: ComparisonResult, style: Style) -> str:
    sides = zip((comparison.left, comparison.right), comparison.added, strict=True)
    left, right = (_side(value, added, style) for value, added in sides)
    return f"{comparison.statistic} {left} against {right} {style.scale.unit}".strip()


def _style(summary: Summary, comparison: ComparisonResult) -> Style:
    """That of the metric; of another statistic three decimals."""
    if comparison.statistic:
        return Style(Scale(1.0, ""), 3)
    return style_of(summary, summary.column(comparison.metric))


def _side(value: float, added: float, style: Style) -> str:
    """What was measured, and what the claim adds to it: `0.302 + 0.100`."""
    change = f" {'+' if added > 0 else MINUS} {style.text(abs(added))}" if added else ""
    return style.text(value - added) + change


def _difference(comparison: ComparisonResult, style: Style) -> str:
    return style.text(comparison.difference, sign=True) + interval_text(comparison.interval, style)


def _basis(comparison: ComparisonResult) -> str:
    if not comparison.interval:
        return comparison.basis
    interval = f"{level_text(comparison.level)} confidence interval from {comparison.basis}"
    return f"{interval}, {'planned contrast' if comparison.planned else 'as in the table'}"


def planned_note(claims: Sequence[ClaimResult]) -> str:
    """What a planned contrast is; empty where no claim is one."""
    planned = any(comparison.planned and comparison.interval for claim in claims for comparison in claim.comparisons)
    return PLANNED if planned else ""


PLANNED = (
    "planned contrast: a comparison that a claim makes and the table does not; any answer to them is wrong with "
    f"{100 * (1 - LEVEL):.2g} % at most, apart from the table's verdicts"
)


def level_text(level: float) -> str:
    """`95 %`, `98.33 %`."""
    return f"{100 * level:.4g} %"


def claim_text(claim: ClaimText) -> str:
    """A claim and its answer in one line."""
    source = f" ({claim.source})" if claim.source else ""
    parts = zip(claim.numbers, claim.differences, claim.basis, strict=True)
    evidence = "; ".join(f"{numbers}, difference {change}, {basis}" for numbers, change, basis in parts)
    return f"{claim.answer}: {claim.says}{source}: {evidence or claim.reason}"


@dataclass(frozen=True)
class FrontTable:
    """Each variant's standing against each cost: `heads` are the costs, `rows` a variant's name and its standings.

    Where the pairs of variants are not `tested`, there are rows only for the variants on a front.
    """

    score: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    tested: bool


def front_table(summary: Summary, names: Mapping[str, str]) -> FrontTable | None:
    """The Pareto fronts of the main score against each cost and all together.

    None where there are none, or where every variant is on all of them: that ranks nobody.
    """
    all_fronts = fronts(summary)
    if all(standing == "front" for each in all_fronts for standing in each.standings.values()):
        return None
    heads = tuple(each.costs[0].name if len(each.costs) == 1 else "all of them" for each in all_fronts)
    standings = {v: tuple(each.standings.get(v, EMPTY) for each in all_fronts) for v in summary.results.variants}
    tested = all(each.tested for each in all_fronts)
    if probable := chances(summary, all_fronts[-1]):
        heads = (*heads, f"probability of the front ({heads[-1]})")
        shown = {v: f"{100 * probable[v]:.0f} %" if v in probable else EMPTY for v in standings}
        standings = {v: (*words, shown[v]) for v, words in standings.items()}
    rows = tuple((names[v], words) for v, words in standings.items() if tested or "front" in words)
    return FrontTable(all_fronts[0].score.name, heads, rows, tested)


def uncounted_notes(summary: Summary, names: Mapping[str, str]) -> Iterator[str]:
    """What the counts of this table leave out, and in which variants; `names` are those of the variants."""
    variants: dict[str, dict[str, list[str]]] = {}
    for column in summary.columns:
        for aggregate in summary.of(column.metric):
            if aggregate.uncounted:
                metrics = variants.setdefault(", ".join(aggregate.uncounted), {})
                metrics.setdefault(names[aggregate.variant], []).append(column.name or column.metric)
    for text, metrics in variants.items():
        counts = dict.fromkeys(", ".join(each) for each in metrics.values())
        yield f"{' and '.join(counts)} of {', '.join(metrics)}: at least; left out: {text}"


def inference_notes(summary: Summary) -> Iterator[str]:
    """What the confidence intervals and verdicts of this table are, or why it has none."""
    named = {variant: short_name(summary.results, variant) for variant in summary.results.variants}
    scores = [column for column in summary.columns if column.kind == "accuracy"]
    inferred = [column for column in scores if any(delta.interval for delta in _deltas(summary, column))]
    if inferred:
        yield _intervals(summary, inferred)
    yield from _different_spreads(summary, inferred, named)
    yield from _open(summary, inferred, named)
    yield from _gaps(summary, scores)
    if broken := [c for c in scores if any(d.verdict == "broken" for d in _deltas(summary, c))]:
        yield f"no verdict where a seed failed: {_names(broken)}"
    if single := [c for c in scores if any(_of_one_seed(delta) for delta in _deltas(summary, c))]:
        yield f"inconclusive: {_names(single)} of one seed, which has no confidence interval"
    if unknown := [c for c in inferred if not _with_evaluation_noise(summary, c)]:
        yield f"{_names(unknown)}: the noise of evaluation is not known here; the interval counts the seeds alone"
    yield from _left_out(summary, scores)
    yield from _costs(summary)


AGAIN = "`bench run --processes 3` measures that"


def _costs(summary: Summary) -> Iterator[str]:
    """What the verdicts on speeds and sizes of memory count as noise: how processes differ, or samples of one each."""
    judged = [c for c in summary.columns if c.kind == "speed" and any(d.interval for d in _deltas(summary, c))]
    for column in judged:
        if between := summary.noise.processes.get(column.metric):
            known = f"{percent(between)} (standard deviation, {between.freedom} degrees of freedom)"
            yield f"{column.name}: processes of one network differ by {known}, which the verdicts count"
    if alone := [c for c in judged if one_process(summary, c)]:
        yield (
            f"{_names(alone)}: one process for each variant; the verdicts count how its samples differ and hold for "
            f"these processes alone, since how processes differ was not measured: {AGAIN}"
        )


def one_process(summary: Summary, column: Column) -> bool:
    """Whether a speed was measured in one process for each network, so that how processes differ is not known."""
    return column.kind == "speed" and column.metric not in summary.noise.processes


def _left_out(summary: Summary, scores: Sequence[Column]) -> Iterator[str]:
    """What the dataset's loader left out of the evaluation, by reason."""
    details = (d for column in scores for each in summary.of(column.metric) for d in each.details)
    counts = {reason: count for detail in details for reason, count in detail.get("left_out", {}).items()}
    for reason, count in sorted(counts.items()):
        yield f"left out of the evaluation: {count:,} {reason}"


def timing_notes(summary: Summary, named: Mapping[str, str]) -> Iterator[str]:
    """What a reader must know of times: a clock that is not elapsed time or not recorded, and shared timings."""
    for column in summary.columns:
        timed = summary.measured(column.metric)
        if not any(_is_time(column, aggregate) for aggregate in timed):
            continue
        yield from _clocks(column, timed, named)
        for each in timed:
            for partner in sorted({str(d["shared_with"]) for d in each.details if "shared_with" in d}):
                timed_one = named.get(partner, partner)
                yield f"{column.name} of {named[each.variant]}: the timing of {timed_one} (same graph)"


def _is_time(column: Column, aggregate: Aggregate) -> bool:
    in_time = column.unit in ("s", "ms") or column.unit.endswith("/s")
    return bool(aggregate.clock) or (column.kind == "speed" and in_time)


def _clocks(column: Column, timed: Sequence[Aggregate], named: Mapping[str, str]) -> Iterator[str]:
    """Nothing where all times are elapsed times."""
    clocks = {each.variant: each.clock for each in timed}
    if set(clocks.values()) == {""}:
        yield f"{column.name}: the clock (elapsed or CPU time) is not recorded"
        return
    for words, clock in (("CPU time, not elapsed time", "cpu"), ("the clock is not recorded", "")):
        if names := ", ".join(named[variant] for variant, each in clocks.items() if each == clock):
            yield f"{column.name} of {names}: {words}; it is not compared with elapsed times"


def _gaps(summary: Summary, scores: Sequence[Column]) -> Iterator[str]:
    if summary.looks and summary.looks.taken:  # the verdicts are those of the looks so far
        return
    counts = {column.metric: gaps(summary.of(column.metric)) for column in scores}
    for count in sorted(set(counts.values()) - {0}):
        names = _names([column for column in scores if counts[column.metric] == count])
        yield f"{names}: no intervals and no verdicts, since {gaps_text(count)}: they need the whole grid"


def _names(columns: Sequence[Column]) -> str:
    return ", ".join(column.name for column in columns)


def _of_one_seed(delta: Delta) -> bool:
    return delta.verdict == "inconclusive" and not delta.interval


def _with_evaluation_noise(summary: Summary, column: Column) -> bool:
    return any(delta.contrast and delta.contrast.blocks is not None for delta in _deltas(summary, column))


def _deltas(summary: Summary, column: Column) -> list[Delta]:
    return [delta for (_, metric), delta in summary.deltas.items() if metric == column.metric]


def _intervals(summary: Summary, inferred: Sequence[Column]) -> str:
    contrasts = [d.contrast for column in inferred for d in _deltas(summary, column) if d.contrast and d.interval]
    basis = " or ".join(dict.fromkeys(contrast.basis for contrast in contrasts))
    margins = {margin for column in inferred if (margin := margin_of(column, summary.of(column.metric)))}
    alike = f"; equivalent: within {PLUS_MINUS}{min(margins):g} (two one-sided tests)" if margins else ""
    family = f"{level_text(LEVEL)} for all verdicts of a metric together (Holm{', all looks' if summary.looks else ''})"
    borrowed = any(summary.noise.spreads[column.metric].common for column in inferred)
    variances = ", variances moderated over the variants" if borrowed else ""
    return f"[low, high] after {DELTA}: confidence interval of the difference from {basis}{variances}, {family}{alike}"


def _different_spreads(summary: Summary, inferred: Sequence[Column], named: Mapping[str, str]) -> Iterator[str]:
    """The variants whose seeds differ far more than those of the others, by metric."""
    metrics: dict[tuple[str, ...], list[Column]] = {}
    for column in inferred:
        if different := summary.noise.spreads[column.metric].different:
            metrics.setdefault(different, []).append(column)
    for variants, columns in metrics.items():
        names = ", ".join(named[variant] for variant in variants)
        yield f"{_names(columns)} of {names}: far more spread over seeds than the others; the others do not borrow it"


def _open(summary: Summary, inferred: Sequence[Column], named: Mapping[str, str]) -> Iterator[str]:
    """What each inconclusive difference of the main metric could show, and how many seeds would decide it."""
    main = summary.main()
    if main is None or main not in inferred:
        return
    style = style_of(summary, main)
    largest = math.inf if margin_of(main, summary.of(main.metric)) is None else 1.0
    for variant in summary.results.variants:
        delta = summary.delta(variant, main.metric)
        if delta and delta.verdict == "inconclusive" and delta.shown_margin is not None:
            yield f"{main.name} of {named[variant]}: {open_text(delta, style, largest)}"


def open_text(delta: Delta, style: Style, largest: float = math.inf) -> str:
    """Of an inconclusive difference: within which margin the two are equivalent, and how many seeds would decide.

    No margin where it is not below `largest`, the largest difference that the metric can have.
    """
    shown = delta.shown_margin or 0.0
    margin = "inconclusive"
    if shown < largest:
        margin += f", but equivalent within {PLUS_MINUS}{style.text(shown, sign=True)[1:]}"
    if delta.seeds_needed is None:
        return f"{margin}; {MOST_SEEDS} seeds of each would not decide, if difference and spread stay as they are"
    return f"{margin}; {delta.seeds_needed} seeds of each would decide, if difference and spread stay as they are"


def seeds_note(seeds: int, comparisons: int, earlier: EarlierSpread | None = None) -> str:
    """The differences that this number of seeds can show, said before a run.

    In standard deviations over seeds; where earlier runs showed one, in the metric's unit too.
    """
    if seeds < 2:
        return f"one seed has no spread: no difference of scores can reach {level_text(LEVEL)}; at least 2 are needed"
    least, likely = least_effect(seeds, comparisons), detectable(seeds, comparisons)
    among = f" among {comparisons} comparisons" if comparisons > 1 else ""
    sentence = (
        f"with {seeds} seeds, a difference{among} is significant from {fixed(least, 1)} standard deviations over seeds "
        f"on, and {fixed(likely, 1)} are found 4 times out of 5"
    )
    if earlier is None:
        return sentence
    shown = [f"{each * earlier.spread:.2g} {earlier.unit}".rstrip() for each in (least, likely)]
    return f"{sentence}: {shown[0]} and {shown[1]} of {earlier.metric}, by the spread of {earlier.where}"


@dataclass(frozen=True)
class EarlierSpread:
    """The standard deviation of a metric over seeds that earlier runs showed, in `unit`; `where` says which."""

    metric: str
    unit: str
    spread: float
    where: str
