"""Two revisions: which variants came, went, changed or were renamed, and which of them are to be timed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from bench.analysis.verdict import Verdict
from bench.gate.expectations import GRAVITY, Check, compared, parts
from bench.gate.paired import EXIT as EXIT_OF_DECISION
from bench.gate.paired import Comparison
from bench.results.measurement import Measurement
from bench.results.turns import WHOLE

EXIT: Mapping[Verdict, int] = {
    "same": 0,
    "changed": 0,
    "new": 0,
    "renamed": 0,
    "better": 5,
    "worse": 1,
    "missing": 4,
    "broken": 4,
}
"""A changed number without a better direction (a graph, a receptive field) is said and is no regression by itself;
`bench gate` without a revision holds it against what was accepted."""


class Described(Protocol):
    """What is read of a network of one revision. `code` is equal where two revisions have the same code of it."""

    @property
    def code(self) -> str: ...
    @property
    def static(self) -> tuple[Measurement, ...]: ...
    @property
    def broken(self) -> str: ...
    @property
    def graph(self) -> str: ...


Networks = Mapping[str, Mapping[str, Described]]
"""Ablation -> name of a variant -> its network in one revision."""


@dataclass(frozen=True)
class Match:
    """A variant of an ablation in both revisions, by its name in each; None where it lacks."""

    ablation: str
    before: str | None
    after: str | None

    def of(self, before: Networks, after: Networks) -> tuple[Described | None, Described | None]:
        """The network in each revision."""
        olds, news = before.get(self.ablation, {}), after.get(self.ablation, {})
        return olds.get(self.before or WHOLE), news.get(self.after or WHOLE)

    @property
    def name(self) -> str:
        """How it is called now."""
        return f"{self.ablation}: {self.after or self.before or 'every variant'}"


@dataclass(frozen=True)
class Against:
    """The outcome: what the numbers say, what was timed, and what was not.

    `untimed` are (name, why) of each variant that was not timed.
    """

    revision: str
    checks: tuple[Check, ...]
    comparisons: tuple[Comparison, ...]
    unchanged: int = 0
    untimed: tuple[tuple[str, str], ...] = ()

    @property
    def exit_code(self) -> int:
        """The gravest: 4 broken or missing, 1 regression, 3 inconclusive, 5 win, 0 pass."""
        codes = {EXIT[check.verdict] for check in self.checks}
        codes |= {EXIT_OF_DECISION[each.verdict] for each in self.comparisons}
        return next((code for code in GRAVITY if code in codes), 0)


def matched(before: Networks, after: Networks) -> list[Match]:
    """Every variant of either revision: by ablation and name, then, where a name lacks, by the same graph."""
    ablations = list(dict.fromkeys((*after, *before)))
    return [match for name in ablations for match in _matched(name, before.get(name, {}), after.get(name, {}))]


def _matched(ablation: str, before: Mapping[str, Described], after: Mapping[str, Described]) -> Iterator[Match]:
    if WHOLE in before or WHOLE in after:
        yield Match(ablation, WHOLE, WHOLE)
        return
    gone = {name: network for name, network in before.items() if name not in after}
    for name, network in after.items():
        old = name if name in before else _renamed(network, gone)
        gone.pop(old or "", None)
        yield Match(ablation, old, name)
    yield from (Match(ablation, name, None) for name in gone)


def _renamed(network: Described, gone: Mapping[str, Described]) -> str | None:
    """The name that a network had: of those that are gone, the first with the same graph."""
    return next((name for name, old in gone.items() if network.graph and old.graph == network.graph), None)


def checks_of(match: Match, befores: Networks, afters: Networks) -> list[Check]:
    """What became of a variant and of its numbers; a network that did not run before has no verdict."""
    ablation, name = match.ablation, match.after or match.before or ""
    before, after = match.of(befores, afters)
    if before is not None and before.broken and match.before == WHOLE:
        return []
    if after is None:
        return [Check(ablation, name, "", "missing", match.before, None)]
    if before is None:
        return [Check(ablation, name, "", "broken" if after.broken else "new", None, match.after, after.broken or None)]
    if after.broken and not before.broken:
        return [Check(ablation, name, "", "broken", None, None, after.broken)]
    renamed = [Check(ablation, name, "", "renamed", match.before, match.after)] if match.before != match.after else []
    return renamed + _numbers(match, before, after)


def _numbers(match: Match, before: Described, after: Described) -> list[Check]:
    """The checks of the numbers that differ, of the metrics that both revisions have."""
    old, new = ({m.metric: m for m in network.static if not m.error} for network in (before, after))
    both = [name for name in new if name in old]
    expected = {(match.after or "", part): value for name in both for (_, part), value in parts(old[name])}
    return [row for row in compared(match.ablation, expected, [new[name] for name in both]) if row.verdict != "same"]


def to_time(matches: Iterable[Match], before: Networks, after: Networks) -> tuple[list[Match], int]:
    """(variants whose code differs and that run in both revisions, the number of variants whose code is the same)."""
    pairs = [(match, *match.of(before, after)) for match in matches]
    both = [(match, old, new) for match, old, new in pairs if old is not None and new is not None]
    differing = [m for m, old, new in both if old.code != new.code and not old.broken and not new.broken]
    return differing, sum(old.code == new.code and not old.broken for _, old, new in both)


def by_code(matches: Iterable[Match], before: Networks, after: Networks) -> list[list[Match]]:
    """Groups of variants that have the same code in each revision: a variant that several ablations have is one."""
    groups: dict[tuple[str, str], list[Match]] = {}
    for match in matches:
        old, new = match.of(before, after)
        assert old is not None
        assert new is not None
        groups.setdefault((old.code, new.code), []).append(match)
    return list(groups.values())


def for_each(comparisons: Iterable[Comparison], groups: Iterable[Sequence[Match]]) -> list[Comparison]:
    """Each comparison under the names of all variants of its group, whose first was timed."""
    names = {group[0].name: [match.name for match in group] for group in groups}
    return [replace(each, name=name) for each in comparisons for name in names[each.name]]


def untimed(matches: Iterable[Match], before: Networks, after: Networks) -> list[tuple[str, str]]:
    """(name, why) of each variant that is not timed; one that is new or missing has no other side."""
    reasons = ((match, _why(*match.of(before, after))) for match in matches)
    return [(match.name, why) for match, why in reasons if why]


def _why(before: Described | None, after: Described | None) -> str:
    if (before is not None and before.broken) or (after is not None and after.broken):
        return "broken, before or now"
    if before is None or after is None:
        return "in one revision only"
    if before.code == after.code:
        return "with the same code in both revisions"
    return ""
