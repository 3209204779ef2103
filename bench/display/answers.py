"""The answer to an ablation's question in plain sentences, from the contrasts that the ablation names for it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.analysis.aggregate import Aggregate, Column
from bench.analysis.deltas import Delta, gaps, margin_of
from bench.analysis.leading import cost_column, main_column
from bench.analysis.summary import Summary
from bench.display.figure import names
from bench.display.names import axis_text
from bench.display.numbers import BYTES, MANY_TIMES, fixed, interval_text, shown_unit, style_of
from bench.display.wording import EMPTY, level_text, one_process
from bench.results.results import Results

Pair = tuple[str, str]
BASELINE = " (baseline)"
SETTLED = ("better", "worse", "changed")
ALIKE = ("same", "equivalent", "within noise")
POLAR = re.compile(r"(do|does|is|are|can|will)\b", re.IGNORECASE)
GAINS = re.compile(r"\b(better|sharpen|helps?|improves?|resolves?|rises?|raises?|restores?|corrects?)\b", re.IGNORECASE)
"""Verbs of questions to which a better score says yes."""


@dataclass(frozen=True)
class AnswerText:
    """`sentence` answers the question; `others` are the further contrasts, a sentence each."""

    sentence: str
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Contrast:
    """The difference of two variants by one metric: `one` less `other`."""

    summary: Summary
    column: Column
    one: str
    other: str
    delta: Delta

    def aggregate(self, variant: str) -> Aggregate:
        return self.summary.aggregates[variant, self.column.metric]

    def number(self, variant: str) -> str:
        """The value with its unit."""
        return _number(self.summary, self.column, self.aggregate(variant).value)


def _number(summary: Summary, column: Column, value: float | None) -> str:
    if value is None:
        return EMPTY
    return f"{style_of(summary, column).text(value)} {shown_unit(summary, column)}".rstrip()


def answer_text(summary: Summary) -> AnswerText:
    """What the measurements answer; where they answer nothing, why not."""
    column = main_column(summary)
    if column is None:
        return AnswerText("Not answered: nothing is measured yet.")
    if name := unmeasured(summary):
        return AnswerText(f"Not answered: {name} is not measured.")
    contrasts = _contrasts(summary, column)
    if not contrasts:
        return AnswerText(_alone(summary, column))
    first, *rest = contrasts
    knee = _knee(contrasts)
    opening = _opening(summary.results.question, contrasts)
    others = () if knee else tuple(_sentence(each) for each in rest)
    return AnswerText(f"{opening}{knee or _sentence(first)}", others)


MOST_WORDS = 12
"""Words of a brief answer."""

STANDINGS = ("answered", "no difference", "not settled", "not answered")


@dataclass(frozen=True)
class BriefAnswer:
    """The answer in at most MOST_WORDS words, and the first contrast that it rests on.

    `standing` is one of STANDINGS. `verdict` is that of the contrast, `difference` its text with the interval, `ends`
    the interval itself, `value` the difference in the metric's unit, `margin` that of an equivalence; empty or None
    where there is none.
    """

    text: str
    standing: str
    verdict: str = ""
    difference: str = ""
    value: float | None = None
    ends: tuple[float, float] | None = None
    margin: float | None = None


def brief_answer(summary: Summary) -> BriefAnswer:
    """What the measurements answer, for a row of an index."""
    column = main_column(summary)
    contrasts = _contrasts(summary, column) if column and not unmeasured(summary) else []
    if column is None or not contrasts:
        return BriefAnswer(_shortest([answer_text(summary).sentence.rstrip("."), "Not answered"]), "not answered")
    first, knee = contrasts[0], _knee(contrasts)
    standing = "answered" if knee else _standing(first.delta.verdict)
    start = "" if standing == "no difference" else _opening(summary.results.question, contrasts)
    text = _shortest(_brief_knee(contrasts) if knee else [start + each for each in _brief(first)])
    delta = first.delta
    margin = margin_of(column, summary.of(column.metric))
    change = _change_text(first)
    return BriefAnswer(text, standing, delta.verdict or "", change, delta.difference.value, delta.interval, margin)


def _change_text(each: _Contrast) -> str:
    """`+0.116 [+0.077, +0.155] nats`."""
    style = style_of(each.summary, each.column)
    change = style.text(each.delta.difference.value, sign=True) + interval_text(each.delta.interval, style)
    return f"{change} {shown_unit(each.summary, each.column)}".rstrip()


def _brief_knee(contrasts: Sequence[_Contrast]) -> list[str]:
    name, knee = _capital(contrasts[0].column.name), _both(_rising(contrasts)[-1])[0]
    return [f"{name} gets better up to {knee}", f"Better up to {knee}", "Better up to a point"]


def _shortest(texts: Sequence[str]) -> str:
    """The first that has at most MOST_WORDS words, else the last."""
    return next((text for text in texts if len(text.split()) <= MOST_WORDS), texts[-1])


def _standing(verdict: str | None) -> str:
    if verdict in ("missing", "broken"):
        return "not answered"
    if verdict in ALIKE:
        return "no difference"
    return "answered" if verdict in SETTLED or verdict is None else "not settled"


def _brief(each: _Contrast) -> list[str]:
    """Sentences about a contrast without a full stop, the longest first; the last has a few words."""
    verdict, name, (one, other) = each.delta.verdict, _capital(each.column.name), _both(each)
    if verdict in ("missing", "broken"):
        return [f"Not answered: {_gap(each)}", "Not answered: results are missing"]
    if verdict in ALIKE:
        return [
            f"No difference in {each.column.name} between {one} and {other}",
            f"No difference in {each.column.name}",
            "No difference",
        ]
    if verdict not in SETTLED and verdict is not None:
        return [
            f"Not settled: {each.column.name} with {one} against {other}",
            f"Not settled: {each.column.name}",
            "Not settled",
        ]
    relative = each.delta.difference.relative
    if each.column.kind != "accuracy" and relative is not None and relative >= MANY_TIMES:
        factor = fixed(1 + relative, 0)
        return [f"{_capital(one)}: {factor} times the {each.column.name} of {other}", f"{factor} times as much"]
    word = _direction(each)
    return [f"{name} is {word} with {one} than with {other}", f"{name} is {word} with {one}", f"{name} is {word}", word]


def unmeasured(summary: Summary) -> str:
    """The name of the metric that would answer, where there is one and it was not measured."""
    named = [
        c for c in summary.columns if c.metric == summary.results.main or (c.kind == "accuracy" and not summary.main())
    ]
    return "" if not named or summary.measured(named[0].metric) else named[0].name


def plain_names(results: Results) -> dict[str, str]:
    """The variants' names without the remark that one is the baseline."""
    return {variant: name.removesuffix(BASELINE) for variant, name in names(results).items()}


def _contrasts(summary: Summary, column: Column) -> list[_Contrast]:
    """Those that the ablation names; without any the best variant against the baseline."""
    stated = summary.answers(column.metric) or _best(summary, column)
    return [_Contrast(summary, column, one, other, delta) for (one, other), delta in stated.items()]


def _best(summary: Summary, column: Column) -> Mapping[Pair, Delta]:
    base = summary.results.baseline
    others = [a for a in summary.measured(column.metric) if a.variant != base and summary.delta(a.variant, a.metric)]
    if not others or column.better is None:
        return {}
    sign = 1 if column.better == "higher" else -1
    best = max(others, key=lambda each: sign * (each.value or 0.0))
    delta = summary.delta(best.variant, column.metric)
    return {(best.variant, base): delta} if delta else {}


def _alone(summary: Summary, column: Column) -> str:
    """The baseline's number, where there is nothing to compare it with."""
    values = [a for a in summary.measured(column.metric) if a.value is not None]
    if not values:
        return f"Not answered: {column.name} has no number."
    first = values[0]
    number = _number(summary, column, first.value)
    return (
        f"{_capital(column.name)} of {plain_names(summary.results)[first.variant]}: {number}; nothing to compare with."
    )


def _opening(question: str, contrasts: Sequence[_Contrast]) -> str:
    """`Yes. ` or `No. ` to a question of yes or no about a gain, where all its contrasts are decided alike."""
    clause = re.split(r"[,?]", question)[0]
    if not POLAR.match(clause) or " or " in clause or not GAINS.search(clause):
        return ""
    verdicts = {each.delta.verdict for each in contrasts}
    if verdicts == {"better"}:
        return "Yes. "
    return "No. " if verdicts <= {"worse", *ALIKE} else ""


def _sentence(each: _Contrast) -> str:
    """A contrast in one sentence, by its verdict."""
    verdict = each.delta.verdict
    if verdict in ("missing", "broken"):
        return f"Not settled: {_gap(each)}."
    if verdict in ALIKE:
        return f"{_alike(each)}{_cost(each)}."
    if verdict in SETTLED or verdict is None:
        return f"{_decided(each)}{_cost(each)}."
    first, second = _both(each)
    numbers = f"{each.number(each.one)} with {first} and {each.number(each.other)} with {second}"
    needed = each.delta.seeds_needed
    would = f"; {needed} seeds of each would decide, if difference and spread stay as they are" if needed else ""
    return f"Not settled: {each.column.name} is {numbers} ({_evidence(each)}){_cost(each)}{would}."


def _decided(each: _Contrast) -> str:
    """`mIoU is higher with A than with B: x against y (...)`; a large ratio of a metric without seeds is a factor."""
    first, second = _both(each)
    relative = each.delta.difference.relative
    numbers = f"{each.number(each.one)} against {each.number(each.other)}"
    if each.column.kind != "accuracy" and relative is not None and relative >= MANY_TIMES:
        factor = fixed(1 + relative, 0)
        return f"{_capital(first)} takes {factor} times the {each.column.name} of {second}: {numbers}"
    start = f"{_capital(each.column.name)} is {_direction(each)} with {first} than with {second}: {numbers}"
    start += _alone_text(each.summary, each.column)
    evidence = _evidence(each)
    return f"{start} ({evidence})" if evidence else start


def _alone_text(summary: Summary, column: Column) -> str:
    """That a cost was measured in one process each, so that how processes differ is not part of what is said."""
    return " (one process each)" if one_process(summary, column) else ""


def _direction(each: _Contrast) -> str:
    """`higher`; where lower is better, what that means too."""
    word = "higher" if each.delta.difference.value > 0 else "lower"
    if each.delta.difference.value == 0:
        return "no different"
    if each.column.better == "lower":
        return f"{word} ({'better' if word == 'lower' else 'worse'})"
    return word


def _alike(each: _Contrast) -> str:
    first, second = _both(each)
    margin = margin_of(each.column, each.summary.of(each.column.metric))
    within = f" larger than \N{PLUS-MINUS SIGN}{margin:g}" if each.delta.verdict == "equivalent" and margin else ""
    numbers = f"{each.number(each.one)} against {each.number(each.other)}"
    evidence = f" ({_evidence(each)})" if _evidence(each) else ""
    return f"No difference{within} in {each.column.name} between {first} and {second}: {numbers}{evidence}"


def _gap(each: _Contrast) -> str:
    failed = [name for name, who in zip(_both(each), (each.one, each.other)) if each.aggregate(who).errors]
    if failed:
        return f"a seed of {' and of '.join(failed)} failed"
    return f"{gaps(each.summary.of(each.column.metric))} results of {each.column.name} are missing"


def _both(each: _Contrast) -> tuple[str, str]:
    short = plain_names(each.summary.results)
    return short[each.one], short[each.other]


def _evidence(each: _Contrast) -> str:
    """`+0.116, 95 % CI [+0.070, +0.162], 3 seeds`; for a metric without seeds nothing."""
    aggregates = each.aggregate(each.one), each.aggregate(each.other)
    if not any(aggregate.seeded for aggregate in aggregates):
        return ""
    style = style_of(each.summary, each.column)
    interval = interval_text(each.delta.interval, style)
    parts = [style.text(each.delta.difference.value, sign=True)]
    parts += [f"{level_text(each.delta.level)} CI{interval}"] if interval else []
    return ", ".join([*parts, _seeds([aggregate.count for aggregate in aggregates])])


def _seeds(counts: Sequence[int]) -> str:
    """`3 seeds`, `2 and 3 seeds`, `one seed`."""
    if set(counts) == {1}:
        return "one seed"
    return f"{' and '.join(str(count) for count in dict.fromkeys(counts))} seeds"


def _cost(each: _Contrast) -> str:
    """What it costs, as the end of a sentence; nothing where no cost was measured."""
    summary, column = each.summary, cost_column(each.summary)
    pair = [summary.aggregates.get((variant, column.metric)) for variant in (each.one, each.other)] if column else []
    values = [aggregate.value for aggregate in pair if aggregate and aggregate.value is not None]
    if column is None or len(values) < 2 or not values[1]:
        return ""
    delta = summary.difference(each.one, each.other, column.metric)
    return _cost_words(summary, column, (values[0], values[1]), delta)


def _cost_words(summary: Summary, column: Column, values: tuple[float, float], delta: Delta | None) -> str:
    """A difference within the noise is none; one whose noise was not tested is said as two numbers."""
    ratio, name, alone = values[0] / values[1], column.name, _alone_text(summary, column)
    if values[0] == values[1] or (delta and delta.verdict and delta.verdict not in ("better", "worse", "changed")):
        return f", at {'no measurable difference in' if values[0] != values[1] else 'the same'} {name}"
    if ratio >= 1 + MANY_TIMES:
        return f", at {fixed(ratio, 0)} times the {name}"
    if column.kind == "speed" and (delta is None or delta.verdict is None):
        numbers = f"{_number(summary, column, values[0])} against {_number(summary, column, values[1])}"
        return f"; {name} {numbers}, whose noise was not measured"
    percent = 100 * abs(ratio - 1)
    digits = 0 if percent >= 10 else 1
    if not round(percent, digits):
        return f", at nearly the same {name}"
    less = "less" if column.kind == "speed" or column.unit in BYTES else "fewer"
    return f", at {fixed(percent, digits)} % {'more' if ratio > 1 else less} {name}{alone}"


def _knee(contrasts: Sequence[_Contrast]) -> str:
    """Where a metric stops getting better along one axis of numbers; empty where the contrasts are no such chain."""
    steps = [each for each, _ in zip(contrasts, _rising(contrasts))]
    if not steps or len(steps) == len(contrasts) or not _is_chain(contrasts):
        return ""
    first, top, last = steps[0], steps[-1], contrasts[-1]
    beyond = contrasts[len(steps) :]
    if any(each.delta.verdict == "better" for each in beyond):
        return ""
    knee, end, name = _both(top)[0], _both(last)[0], _capital(first.column.name)
    gain = f"{first.number(first.other)} with {_both(first)[1]} to {top.number(top.one)} ({_evidence(top)})"
    return f"{name} gets better up to {knee}: from {gain}; {_plateau(beyond)} up to {end}."


def _rising(contrasts: Sequence[_Contrast]) -> list[_Contrast]:
    """The contrasts before the first that is not better."""
    stop = next((i for i, each in enumerate(contrasts) if each.delta.verdict != "better"), len(contrasts))
    return list(contrasts[:stop])


def _is_chain(contrasts: Sequence[_Contrast]) -> bool:
    """Whether each contrast goes on where the one before ended, towards greater numbers of the only axis."""
    results = contrasts[0].summary.results
    if len(results.varied) != 1 or any(a.one != b.other for a, b in itertools.pairwise(contrasts)):
        return False
    texts = [axis_text(results, v, results.varied[0]) for v in (contrasts[0].other, *(c.one for c in contrasts))]
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return False
    return numbers == sorted(numbers)


def _plateau(beyond: Sequence[_Contrast]) -> str:
    verdicts = {each.delta.verdict for each in beyond}
    evidence = "; ".join(_evidence(each) for each in beyond)
    if verdicts <= set(ALIKE):
        return f"there is no further difference ({evidence})"
    return f"{'it gets worse' if verdicts == {'worse'} else 'no further gain is settled'} ({evidence})"


def _capital(text: str) -> str:
    """With a capital where the first word is plain; mIoU stays mIoU."""
    first = text.split(" ")[0]
    return text[:1].upper() + text[1:] if first.islower() else text
