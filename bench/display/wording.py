"""What was inferred, in words: what stands under tables and in reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.analysis.deltas import Delta, gaps, margin_of
from bench.analysis.findings import Finding, Step
from bench.analysis.front import fronts
from bench.analysis.summary import Column, Summary
from bench.display.numbers import DELTA, MINUS, Style, fixed, interval_text, style_of
from bench.stats.inference import LEVEL, least_effect, seeds_for_ranks

EMPTY = "\N{EN DASH}"


@dataclass(frozen=True)
class ClaimTold:
    """A finding in words; `numbers`, `difference` and `basis` have an entry for each comparison of the claim."""

    answer: str
    says: str
    source: str
    numbers: tuple[str, ...]
    differences: tuple[str, ...]
    basis: tuple[str, ...]
    reason: str


def claims_told(summary: Summary) -> list[ClaimTold]:
    """Every claim of the source with what the runs say to it."""
    return [_told(summary, finding) for finding in summary.findings]


def _told(summary: Summary, finding: Finding) -> ClaimTold:
    styles = [style_of(summary, summary.column(step.metric)) for step in finding.steps]
    both = list(zip(finding.steps, styles, strict=True))
    return ClaimTold(
        answer=finding.answer,
        says=finding.statement.says,
        source=finding.statement.source,
        numbers=tuple(_numbers(step, style) for step, style in both),
        differences=tuple(_difference(step, style) for step, style in both),
        basis=tuple(_basis(step) for step in finding.steps),
        reason=finding.reason,
    )


def _numbers(step: Step, style: Style) -> str:
    left, right = (_side(*side, style) for side in zip((step.left, step.right), step.added, strict=True))
    return f"{left} against {right} {style.scale.unit}".rstrip()


def _side(value: float, added: float, style: Style) -> str:
    """What was measured, and what the claim adds to it: `0.302 + 0.100`."""
    change = f" {'+' if added > 0 else MINUS} {style.text(abs(added))}" if added else ""
    return style.text(value - added) + change


def _difference(step: Step, style: Style) -> str:
    return style.text(step.difference, sign=True) + interval_text(step.interval, style)


def _basis(step: Step) -> str:
    return f"{level_text(step.level)} interval from {step.basis}" if step.interval else step.basis


def level_text(level: float) -> str:
    """`95 %`, `98.33 %`."""
    return f"{100 * level:.4g} %"


def claim_text(told: ClaimTold) -> str:
    """A claim and its answer in one line."""
    source = f" ({told.source})" if told.source else ""
    parts = zip(told.numbers, told.differences, told.basis, strict=True)
    evidence = "; ".join(f"{numbers}, difference {change}, {basis}" for numbers, change, basis in parts)
    return f"{told.answer}: {told.says}{source}: {evidence or told.reason}"


@dataclass(frozen=True)
class FrontTable:
    """Where each variant stands: `heads` are the costs, `rows` the variant's name and a standing for each of them."""

    score: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def front_table(summary: Summary, names: Mapping[str, str]) -> FrontTable | None:
    """The Pareto fronts of the main score against each cost and all together; None where there are none."""
    found = fronts(summary)
    if not found:
        return None
    heads = tuple(each.costs[0].metric if len(each.costs) == 1 else "all of them" for each in found)
    stand = {v: tuple(each.standings.get(v, EMPTY) for each in found) for v in summary.results.variants}
    return FrontTable(found[0].score.metric, heads, tuple((names[v], told) for v, told in stand.items()))


def inference_notes(summary: Summary) -> Iterator[str]:
    """What the intervals and verdicts of this table are, or why it has none."""
    scores = [column for column in summary.columns if column.kind == "accuracy"]
    inferred = [column for column in scores if any(d.interval for d in _deltas(summary, column))]
    if inferred:
        yield _intervals(summary, inferred)
    for gap in sorted({gaps(summary.of(column.metric)) for column in scores} - {0}):
        names = ", ".join(c.metric for c in scores if gaps(summary.of(c.metric)) == gap)
        yield f"{names}: no intervals and no verdicts, since {gap} results are missing: they need the whole grid"
    broken = [c for c in scores if any(d.verdict == "broken" for d in _deltas(summary, c))]
    if broken:
        yield f"no verdict where a seed failed: {', '.join(c.metric for c in broken)}"
    single = [c for c in scores if any(d.verdict == "inconclusive" and not d.interval for d in _deltas(summary, c))]
    if single:
        yield f"inconclusive: {', '.join(c.metric for c in single)} of one seed, which has no interval"


def _deltas(summary: Summary, column: Column) -> list[Delta]:
    return [delta for (_, metric), delta in summary.deltas.items() if metric == column.metric]


def _intervals(summary: Summary, inferred: list[Column]) -> str:
    found = [delta for column in inferred for delta in _deltas(summary, column) if delta.known and delta.interval]
    basis = " or ".join(dict.fromkeys(delta.known.basis for delta in found if delta.known))
    margins = {margin for column in inferred if (margin := margin_of(column, summary.of(column.metric)))}
    alike = f"; equivalent: shares within \N{PLUS-MINUS SIGN}{min(margins):g} (two one-sided tests)" if margins else ""
    family = f"{level_text(LEVEL)} for all verdicts of a metric together (Holm)"
    return f"[low, high] after {DELTA}: interval of the difference from {basis}, {family}{alike}"


def seeds_note(seeds: int, comparisons: int) -> str:
    """What so many seeds can tell at all, said before a run."""
    if seeds < 2:
        return f"one seed has no spread: no difference of scores can reach {level_text(LEVEL)}; at least 2 are needed"
    first, alone = (fixed(least_effect(seeds, count), 1) for count in (comparisons, 1))
    family = f" ({alone} for one comparison alone)" if comparisons > 1 else ""
    among = f" among {comparisons} comparisons" if comparisons > 1 else ""
    begins = f"with {seeds} seeds a difference{among} counts from {first} standard deviations of its seeds on{family}"
    ranks = seeds_for_ranks(comparisons)
    return begins + (f"; a sign test would need {ranks} seeds" if seeds < ranks else "")
