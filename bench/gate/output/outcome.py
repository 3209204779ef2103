"""The outcome of a gate as all formats show it: one judgement for each variant and metric, and what was skipped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from bench.analysis.verdict import Verdict
from bench.gate.against import EXIT as EXIT_AGAINST
from bench.gate.against import Against
from bench.gate.expectations import EXIT, GRAVITY, Check
from bench.gate.hints import Hint
from bench.gate.paired import Comparison
from bench.gate.paired_text import change, interval, what_would_decide
from bench.gate.summary import OPERATORS, graph_change

WORDS: Mapping[int, str] = {0: "pass", 1: "regression", 3: "inconclusive", 4: "broken or missing", 5: "unexpected win"}
"""Exit code of the gate -> its verdict."""


@dataclass(frozen=True)
class Judgement:
    """What became of one metric of a variant; `metric` is empty where it is about the variant itself.

    `code` is the exit code that this alone would give. `seconds` were spent on its timing, 0 for a number.
    """

    ablation: str
    variant: str
    metric: str
    verdict: str
    text: str
    code: int
    timing: Comparison | None = None

    @property
    def name(self) -> str:
        """Ablation, variant and metric in one line."""
        return ": ".join(filter(None, (self.ablation, ", ".join(filter(None, (self.variant, self.metric))))))

    @property
    def seconds(self) -> float:
        return self.timing.seconds if self.timing else 0.0


@dataclass(frozen=True)
class Outcome:
    """Everything that was judged. `skipped` are (ablation, variant, why it was not timed).

    `hints` are commands that help.
    """

    judgements: tuple[Judgement, ...]
    exit_code: int
    revision: str = ""
    skipped: tuple[tuple[str, str, str], ...] = field(default=())
    hints: tuple[Hint, ...] = ()

    @property
    def verdict(self) -> str:
        return WORDS[self.exit_code]

    @property
    def changed(self) -> list[Judgement]:
        """What is to be said, the gravest first: all but numbers that are as expected and timings that pass."""
        rows = [each for each in self.judgements if each.verdict not in ("same", "pass")]
        return sorted(rows, key=lambda each: GRAVITY.index(each.code))

    @property
    def counts(self) -> str:
        """`2 regression, 40 same`."""
        verdicts = [each.verdict for each in (*self.changed, *self.judgements)]
        return ", ".join(f"{sum(e.verdict == v for e in self.judgements)} {v}" for v in dict.fromkeys(verdicts))


def outcome_of_checks(checks: Sequence[Check], exit_code: int, hints: Sequence[Hint] = ()) -> Outcome:
    """Of numbers that were held against expectations."""
    return Outcome(tuple(_judgements(checks, EXIT)), exit_code, hints=tuple(hints))


def outcome_against(result: Against) -> Outcome:
    """Of two revisions."""
    timings = [_timing(each) for each in result.comparisons]
    skipped = tuple((*_parted(name), why) for name, why in result.untimed)
    return Outcome((*_judgements(result.checks, EXIT_AGAINST), *timings), result.exit_code, result.revision, skipped)


def _judgements(checks: Iterable[Check], codes: Mapping[Verdict, int]) -> Iterator[Judgement]:
    """One for each variant and metric: of a metric and the parts of its detail, the first of the gravest."""
    for (ablation, variant, metric), group in groupby(checks, key=lambda c: (c.ablation, c.variant, _metric(c))):
        rows = list(group)
        first = min(rows, key=lambda c: (GRAVITY.index(codes.get(c.verdict, 1)), c.verdict == "same", "/" in c.metric))
        yield Judgement(ablation, variant, metric, first.verdict, _text(first, rows), codes.get(first.verdict, 1))


def _metric(check: Check) -> str:
    return check.metric.split("/", 1)[0]


def _text(first: Check, rows: Sequence[Check]) -> str:
    """The change of a number, and how many others of its detail changed with it; of a graph what came and went."""
    if first.error or not first.metric or first.verdict not in ("worse", "better", "changed"):
        return change_text(first)
    if _metric(first) == "graph_hash":
        return "another graph"
    if _metric(first) in OPERATORS:
        return f"{'' if '/' in first.metric else f'{change_text(first)}: '}{graph_change(rows)}"
    others = sum(check.verdict != "same" for check in rows) - 1
    part = f"{first.metric.split('/', 1)[1]}: " if "/" in first.metric else ""
    return f"{part}{change_text(first)}{f' and {others} more of its detail' if others > 0 else ''}"


def change_text(check: Check) -> str:
    """`100 -> 120 (+20.0 %)`; the error of what is broken."""
    if check.error:
        return check.error
    if check.verdict == "same":
        return check.measured or ""
    return f"{check.expected or 'nothing'} -> {check.measured or 'nothing'}{_percentage(check)}"


def _percentage(check: Check) -> str:
    try:
        before, now = float(check.expected or ""), float(check.measured or "")
    except ValueError:
        return ""
    return f" ({change(now / before)})" if before > 0 else ""


def _timing(comparison: Comparison) -> Judgement:
    ablation, variant = _parted(comparison.name)
    text = comparison.error or interval(comparison)
    if comparison.verdict == "inconclusive":
        text = f"{text}; {what_would_decide(comparison)}"
    return Judgement(
        ablation, variant, comparison.metric, comparison.verdict, text, comparison.exit_code, timing=comparison
    )


def _parted(name: str) -> tuple[str, str]:
    ablation, _, variant = name.partition(": ")
    return ablation, variant
