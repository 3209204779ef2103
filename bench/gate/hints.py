"""The commands that help after a gate: for what is broken, what changed, and what has no expectations."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.gate.expectations import Check, own_folder
from bench.registry.builtin import own_names
from bench.registry.project import project
from bench.spec.ablation import load


@dataclass(frozen=True)
class Hint:
    """What to do, and the command that does it, as it can be pasted."""

    purpose: str
    command: str

    def __str__(self) -> str:
        return f"{self.purpose}: {self.command}"


def hints(
    checks: Sequence[Check], names: Sequence[str], plugins: Sequence[str] = (), settings: Sequence[str] = ()
) -> Iterator[Hint]:
    """The hints of a gate of these ablations (`names` as a person wrote them; empty: all with expectations)."""
    named = {Path(name).stem: name for name in names}
    options = _options("--plugin", [each for each in plugins if each not in project().plugins])
    broken = {check.ablation for check in checks if check.verdict == "broken"}
    if first := next((check for check in checks if check.verdict == "broken"), None):
        target = named.get(first.ablation, first.ablation)
        yield Hint("to see where", f"{_debugging(first, target, plugins, settings)}{options} --debug")
    changed = dict.fromkeys(
        c.ablation for c in checks if c.verdict != "same" and c.ablation not in broken and c.variant
    )
    if changed:
        targets = " ".join(shlex.quote(str(named.get(name, name))) for name in changed)
        yield Hint("to accept what is right", f"bench accept {targets}{options}{_options('--set', settings)}")
    if gone := [check.ablation for check in checks if check.verdict == "missing" and not check.variant]:
        yield Hint("to accept that an ablation is gone", _removal(gone))
    if not names and (unchecked := _without_expectations(checks)):
        yield Hint("to check ablations without expectations too", f"bench accept {' '.join(unchecked)}{options}")


def _options(name: str, values: Sequence[str]) -> str:
    return "".join(f" {name} {shlex.quote(value)}" for value in values)


def _removal(names: Sequence[str]) -> str:
    return f"rm {' '.join(shlex.quote(str(own_folder() / f'{name}.csv')) for name in names)}"


def _without_expectations(checks: Sequence[Check]) -> list[str]:
    """The project's ablations that no check is of."""
    checked = {check.ablation for check in checks}
    lacking = [name for name in own_names() if name not in checked and not (own_folder() / f"{name}.csv").is_file()]
    return [shlex.quote(name) for name in lacking]


def _debugging(check: Check, target: str, plugins: Sequence[str], settings: Sequence[str]) -> str:
    """The command that shows the traceback: of a network by itself on the ablation's input, or of reading it."""
    if not check.variant:
        return f"bench plan {shlex.quote(target)}"
    name, _, axes = check.variant.partition("(")
    words = [axis for axis in re.split(r",(?=[\w.]+=)", axes.removesuffix(")")) if "." not in axis.partition("=")[0]]
    network = " ".join(shlex.quote(word) for word in (name, *filter(None, words)))
    shape = _shape(check.variant, target, plugins, settings)
    return f"bench measure {network}{shape} --metrics {check.metric.split('/')[0]}"


def _shape(variant: str, target: str, plugins: Sequence[str], settings: Sequence[str]) -> str:
    """The input that the ablation has for a variant, as an option; empty for one that the ablation has no more."""
    ablation = load(target, settings, plugins)
    works = [ablation.workload_of(each) for each in ablation.variants if each.name == variant]
    return f" --shape {','.join(map(str, works[0].shape))}" if works else ""
