"""A bisection in words: a line for each step, and the commit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from bench.display.numbers import counted
from bench.gate.bisection import Bisection, Change, Step

REST = 0.03
"""A log ratio that is left to other commits, from which on this is said."""

Named = Callable[[str], str]
"""The full name of a commit -> its short name with its subject."""


def step_line(step: Step, named: Named) -> str:
    """`changed       1a2b3c4d5e Wider by default: +20.1 % [+19.0, +21.3]; 3 commits left`."""
    sure = f", changed with {step.probability:.0%}" if step.verdict == "inconclusive" else ""
    return f"{step.verdict:13} {named(step.commit)}: {step.text}{sure}; {counted(step.left, 'commit')} left"


def whole_line(change: Change, name: str) -> str:
    """What lies between GOOD and BAD."""
    return f"{change.verdict:13} BAD against GOOD, {name}: {change.text}"


def lines(outcome: Bisection, named: Named, authored: Callable[[str], str]) -> Iterator[str]:
    """The commit with its date, its change and how sure that is; else why none is named."""
    if outcome.verdict == "no change":
        yield f"GOOD and BAD do not differ in {outcome.metric}: {_text(outcome.whole)}; there is no commit to find"
        return
    if not outcome.candidates:
        more = "; give a longer --budget" if outcome.verdict == "inconclusive" else ""
        yield f"{outcome.verdict}: {_text(outcome.whole)}{more}"
        return
    yield _head(outcome)
    yield from (f"  {named(commit)}, {authored(commit)}" for commit in outcome.candidates)
    yield f"  {outcome.metric} of {outcome.variant}: {_change(outcome, named)}"
    yield f"  from GOOD to BAD: {_text(outcome.whole)}{_rest(outcome)}"
    yield f"  {outcome.sure:.1%} sure"
    yield from (f"  or, with {probability:.1%}: {named(commit)}" for commit, probability in outcome.others)
    if outcome.verdict == "inconclusive":
        yield "  a longer --budget, or another --tolerance, would make it surer"


def _head(outcome: Bisection) -> str:
    if len(outcome.candidates) == 1:
        return f"{'first' if outcome.verdict == 'found' else 'probably the first'} commit with the change:"
    return "one of these commits has the change; those between do not run, or the time was up:"


def _change(outcome: Bisection, named: Named) -> str:
    if outcome.own is None:
        return "not compared with the commit before, since the time was up"
    note = ""
    if outcome.whole is not None and outcome.own.verdict != outcome.whole.verdict:
        note = "; by itself it is within the tolerance, which commits before used up"
    return f"{outcome.own.text} against {named(outcome.before)}{note}"


def _rest(outcome: Bisection) -> str:
    """That later commits have a change too, where that of the commit is not all of it."""
    ratios = [change.ratio if change else None for change in (outcome.whole, outcome.own)]
    whole, own = (math.log(ratio) if ratio and ratio > 0 else None for ratio in ratios)
    if whole is None or own is None or abs(whole - own) < REST:
        return ""
    return f"; other commits have a change too: bench bisect {outcome.candidates[-1][:10]} {outcome.bad[:10]} ..."


def _text(change: Change | None) -> str:
    return change.text if change else ""
