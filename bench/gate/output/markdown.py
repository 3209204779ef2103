"""The summary of a gate in Markdown: for the summary of a CI step and for the body of a comment on a pull request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bench.gate.output.outcome import Judgement, Outcome
from bench.report.render import markdown_code
from bench.report.table import markdown_text

ROWS = 15
"""The longest table. Two tables with their heads and the notes are fewer than 60 lines."""

NAMES = 5
"""How many of the variants that were skipped for one reason are named."""

MARK = {0: "✅", 1: "❌", 3: "⚠️", 4: "💥", 5: "🚀"}


def markdown(outcome: Outcome) -> str:
    """The verdict, what changed, the timings with their intervals, and what was skipped and why: under 60 lines."""
    return "\n".join([*_lines(outcome), ""])


def _lines(outcome: Outcome) -> Iterator[str]:
    against = f" against `{outcome.revision}`" if outcome.revision else ""
    yield f"## {MARK[outcome.exit_code]} bench gate: {outcome.verdict}"
    yield ""
    yield f"Exit code {outcome.exit_code}{against}. {outcome.counts or 'Nothing changed'}."
    numbers = [each for each in outcome.changed if each.timing is None]
    timings = [each for each in outcome.changed if each.timing] + [
        each for each in outcome.judgements if each.timing and each.verdict == "pass"
    ]
    yield from _table("Numbers that changed", ("verdict", "variant", "metric", "change"), numbers, _number)
    head = ("verdict", "variant", "metric", "change [interval]", "rounds", "smallest detectable slowdown")
    yield from _table("Timings", head, timings, _timing)
    yield from _skipped(outcome)
    yield from _next(outcome)


def _table(
    title: str, head: Sequence[str], rows: Sequence[Judgement], cells: Callable[[Judgement], Sequence[str]]
) -> Iterator[str]:
    if not rows:
        return
    yield from ("", f"### {title}", "", _row(head), _row(["---"] * len(head)))
    yield from (_row(cells(row)) for row in rows[:ROWS])
    if more := len(rows) - ROWS:
        yield from ("", f"and {more} more") if more > 0 else ()


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(row: Judgement) -> tuple[str, ...]:
    name = f"{row.ablation}: {row.variant}" if row.variant else row.ablation
    return row.verdict, markdown_code(name), markdown_text(row.metric), _short(row.text)


def _timing(row: Judgement) -> tuple[str, ...]:
    timing = row.timing
    seen = timing.smallest_detectable if timing else None
    rounds = str(timing.rounds if timing else 0)
    if timing and timing.left_out:
        rounds = f"{rounds}, {timing.left_out} left out"
    return (*_number(row), rounds, "unknown" if seen is None else f"{100 * seen:.1f} %")


def _short(text: str, most: int = 160) -> str:
    line = " ".join(text.split())
    return markdown_text(line if len(line) <= most else f"{line[:most]} …")


def _skipped(outcome: Outcome) -> Iterator[str]:
    reasons = dict.fromkeys(why for *_, why in outcome.skipped)
    if reasons:
        yield from ("", "### Not timed", "")
    for reason in reasons:
        names = [f"{ablation}: {variant}" for ablation, variant, why in outcome.skipped if why == reason]
        more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
        yield f"- {len(names)} {markdown_text(reason)}: {', '.join(map(markdown_code, names[:NAMES]))}{more}"


def _next(outcome: Outcome) -> Iterator[str]:
    """What to do about it."""
    for hint in outcome.hints:
        yield from ("", f"{hint.purpose[:1].upper()}{hint.purpose[1:]}: {markdown_code(hint.command)}")
