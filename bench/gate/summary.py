"""The checks of a gate as a few lines: one for each headline number that changed, over all variants it changed in."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bench.display.numbers import MINUS, counted, decimals_for, fixed, scale_of
from bench.gate.expectations import Check

K = TypeVar("K")
G = TypeVar("G")

OPERATORS = ("op_counts", "module_operators")
GRAPH = ("graph_hash", *OPERATORS)
"""Metrics that change together with the graph: one line says what came and went."""
ORDER = ("broken", "missing", "new", "renamed", "worse", "changed", "inconclusive", "better")
MOST_NAMES = 3
MOST_OPERATORS = 6


@dataclass(frozen=True)
class Line:
    """One change, and the variants that it happened in."""

    ablation: str
    verdict: str
    text: str
    variants: tuple[str, ...]

    def __str__(self) -> str:
        where = f"  ({_listed(self.variants)})" if self.variants else ""
        return f"{self.verdict:8} {self.ablation}: {self.text}{where}"


def lines(checks: Sequence[Check], before: str = "the expectations") -> list[Line]:
    """A line for each ablation, verdict and metric that is not as expected, the gravest first.

    `before` is what the checks compare with: the expectations, or a revision.
    """
    short = _short_names(checks)
    every = _lines(_by(checks, lambda c: c.ablation), short, before)
    return sorted(every, key=lambda line: ORDER.index(line.verdict))


def _lines(ablations: Mapping[str, list[Check]], short: Mapping[tuple[str, str], str], before: str) -> Iterator[Line]:
    for ablation, rows in ablations.items():
        whole = _whole(rows)
        changed = [c for c in rows if c.verdict != "same" and (c.variant, c.verdict) not in whole]
        yield from _of_variants(ablation, whole, short, before)
        for group in _by(changed, _kind).values():
            variants = tuple(dict.fromkeys(short[ablation, c.variant] for c in group))
            yield Line(ablation, _gravest(group), _text(group, before), tuple(filter(None, variants)))


def _whole(checks: Sequence[Check]) -> set[tuple[str, str]]:
    """(variant, verdict) of the variants all of whose numbers are missing, or new."""
    verdicts = {variant: {c.verdict for c in rows} for variant, rows in _by(checks, lambda c: c.variant).items()}
    single = ((variant, next(iter(each))) for variant, each in verdicts.items() if variant and len(each) == 1)
    return {(variant, verdict) for variant, verdict in single if verdict in ("missing", "new")}


def _of_variants(
    ablation: str, whole: Collection[tuple[str, str]], short: Mapping[tuple[str, str], str], before: str
) -> Iterator[Line]:
    for verdict in ("missing", "new"):
        names = sorted(short[ablation, variant] for variant, what in whole if what == verdict)
        if names:
            why = f"in {before} only" if verdict == "missing" else f"not in {before}"
            yield Line(ablation, verdict, f"{counted(len(names), 'variant')} {why}", tuple(names))


def _kind(check: Check) -> tuple[str, ...]:
    """What one line is about: an error, the renamed variants, the graph, or a metric with one verdict."""
    if check.error:
        return check.verdict, check.error
    if check.metric.startswith("claim "):
        return (check.metric,)
    root = check.metric.split("/", 1)[0]
    if root in GRAPH and check.verdict not in ("missing", "new"):
        return ("graph",)
    return (root,) if check.verdict not in ("missing", "new") else (root, check.verdict)


def _gravest(group: Sequence[Check]) -> str:
    """The gravest verdict of the number itself; of its parts where only those changed."""
    own = [c for c in group if "/" not in c.metric]
    if _kind(group[0]) == ("graph",):
        return "changed"
    return min((c.verdict for c in own or group), key=ORDER.index)


def _text(group: Sequence[Check], before: str) -> str:
    first, kind = group[0], _kind(group[0])
    if first.error:
        return first.error
    if first.verdict == "renamed":
        return f"variant renamed, the graph is the same: {first.expected} -> {first.measured}{_more(len(group) - 1)}"
    if first.verdict == "missing" and not first.metric:
        return "there is no such ablation any more"
    if kind == ("graph",):
        return f"graph {graph_change(group)}"
    if first.verdict in ("missing", "new"):
        where = "not measured" if first.verdict == "missing" else f"not in {before}"
        parts = {c.metric for c in group}
        return f"{kind[0] if kind[0] in parts else _listed(sorted(parts))} {where}"
    return _number_text(kind[0], group)


def _number_text(metric: str, group: Sequence[Check]) -> str:
    own = [c for c in group if "/" not in c.metric]
    if own:
        changes = list(dict.fromkeys(change_text(c) for c in own))
        return f"{metric} {changes[0]}{_others(len(changes) - 1)}"
    rows = sorted(group, key=_is_path)
    changes = list(dict.fromkeys(change_text(c) for c in rows if c.metric == rows[0].metric))
    names = {c.metric for c in rows}
    more = f" and {counted(len(names) - 1, 'more part')}" if names - {rows[0].metric} else ""
    return f"{rows[0].metric} {changes[0]}{more}{_others(len(changes) - 1)}"


def _is_path(check: Check) -> bool:
    """Sorts the paths of a receptive field before the other parts of its detail."""
    return "/paths/" not in check.metric


def change_text(check: Check) -> str:
    """`+3.2 % (401.4 M -> 414.2 M)`; the two texts of what is no number."""
    try:
        before, now = float(check.expected or ""), float(check.measured or "")
    except ValueError:
        return f"{check.expected or 'nothing'} -> {check.measured or 'nothing'}"
    both = " -> ".join(_amounts(before, now))
    if before == 0:
        return f"({both})"
    percent = (now - before) / abs(before) * 100
    return f"{fixed(percent, max(1, min(6, decimals_for(percent, 2))), sign=True)} % ({both})".replace(MINUS, "-")


def _amounts(before: float, now: float) -> tuple[str, str]:
    """Both in one unit, with enough digits to differ; whole numbers below 100,000 as they are."""
    scale = scale_of([before, now], "")
    if scale.factor == 1.0 and before.is_integer() and now.is_integer():
        return f"{before:.12g}", f"{now:.12g}"
    for digits in range(4, 17):
        texts = [f"{value / scale.factor:.{digits}g} {scale.unit}".rstrip() for value in (before, now)]
        if texts[0] != texts[1]:
            break
    return texts[0], texts[1]


def graph_change(group: Sequence[Check]) -> str:
    """Which operators came and went in which module: of the variant with the first change, `+2 relu in layers.1`."""
    diffs = {c.variant: _diff(c.expected, c.measured) for c in group if c.metric == "module_operators/modules"}
    if not diffs:
        return _counts(group) or "changed, with the same operators or without a list of them in the expectations"
    texts = list(dict.fromkeys(_said(diff) or "changed, with the same operators" for diff in diffs.values()))
    return texts[0] + _others(len(texts) - 1)


def operators(text: str | None) -> dict[tuple[str, str], int]:
    """(module, operator) -> executions, from the text of `module_operators`."""
    modules = (part.partition(": ") for part in (text or "").strip("'\"").split("; ") if part)
    named = ((module, word.split(" ")) for module, _, words in modules for word in words.split(", "))
    return {(module, name): int(count[0]) if count else 1 for module, (name, *count) in named}


def _diff(expected: str | None, measured: str | None) -> dict[tuple[str, str], int]:
    before, now = operators(expected), operators(measured)
    changes = {key: now.get(key, 0) - before.get(key, 0) for key in dict.fromkeys((*before, *now))}
    return {key: change for key, change in changes.items() if change}


def _said(diff: Mapping[tuple[str, str], int]) -> str:
    modules = _by(diff, lambda key: key[0])
    said = [f"{', '.join(f'{diff[key]:+d} {key[1]}' for key in keys)} in {module}" for module, keys in modules.items()]
    return "; ".join(said[:MOST_OPERATORS]) + _more(len(said) - MOST_OPERATORS, " modules")


def _counts(group: Sequence[Check]) -> str:
    """The changes of the numbers of operators, where the expectations have them without their modules."""
    counts = [c for c in group if c.metric.startswith("op_counts/") and c.variant == group[0].variant]
    return ", ".join(f"{int(c.measured or 0) - int(c.expected or 0):+d} {c.metric.split('/')[1]}" for c in counts)


def _short_names(checks: Iterable[Check]) -> dict[tuple[str, str], str]:
    """Each variant by the values in which those of its ablation differ."""
    names: dict[tuple[str, str], str] = {}
    for ablation, rows in _by(checks, lambda c: c.ablation).items():
        split = {variant: _axes(variant) for variant in dict.fromkeys(c.variant for c in rows)}
        common = set.intersection(*(set(axes) for axes in split.values())) if len(split) > 1 else set()
        for variant, axes in split.items():
            own = [axis for axis in axes if axis not in common]
            names[ablation, variant] = ", ".join(own) or variant
    return names


def _axes(variant: str) -> list[str]:
    """`net(a=1,b=[2,3])` -> `net`, `a=1`, `b=[2,3]`."""
    name, _, values = variant.partition("(")
    return [name, *filter(None, re.split(r",(?=[\w.]+=)", values.removesuffix(")")))]


def _by(items: Iterable[K], key: Callable[[K], G]) -> dict[G, list[K]]:
    groups: dict[G, list[K]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _listed(names: Sequence[str]) -> str:
    return "; ".join(names[:MOST_NAMES]) + _more(len(names) - MOST_NAMES)


def _others(count: int) -> str:
    """That the other variants of the line have other changes."""
    return f"; in other variants {count} other change{'s' if count > 1 else ''}" if count > 0 else ""


def _more(count: int, what: str = "") -> str:
    return f" and {count} more{what}" if count > 0 else ""
