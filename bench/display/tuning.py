"""What a search over the recipe gave each variant, and what it cost, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.display.wording import EMPTY
from bench.results.tuned import Tuned, Tuning


def search_words(tuning: Tuning) -> str:
    """How the recipes were searched."""
    over = "; ".join(f"{name}: {', '.join(values)}" for name, values in tuning.over.items())
    sampled = f" of {tuning.combinations:,}" if tuning.recipes < tuning.combinations else ""
    several = f" with {len(tuning.seeds)} seeds each" if len(tuning.seeds) > 1 else ""
    length = f", {tuning.length}" if tuning.length else ""
    return (
        f"every variant tried the same {tuning.recipes:,}{sampled} recipes ({over}){several}{length}, and has the best "
        f"by {tuning.display_name} on {tuning.on:.4g} of the training split, which these runs were not trained on"
    )


def cost_words(tuning: Tuning) -> str:
    """What the search cost in all."""
    runs, failed, seconds = (
        sum(getattr(each, part) for each in tuning.by_variant.values()) for part in ("runs", "failed", "seconds")
    )
    lost = f", {failed} of them failed" if failed else ""
    missing = sum(each.missing for each in tuning.by_variant.values())
    rest = f"; {missing} are not made" if missing else ""
    return f"the search took {runs} training runs{lost}, {seconds:,.0f} s{rest}"


def choice_words(tuning: Tuning, tuned: Tuned) -> str:
    """What the search gave one variant."""
    if tuned.chosen:
        values = ", ".join(f"{name}={text}" for name, text in tuned.texts.items())
        lost = f", {tuned.failed} failed" if tuned.failed else ""
        score = f"{tuning.display_name} {tuned.score:.4g} on what is held back"
        return f"{values}: the best of {tuned.runs} search runs ({score}{lost})"
    if tuned.missing:
        return f"waits for the search: {tuned.runs} of {tuned.runs + tuned.missing} search runs are made"
    return f"no recipe: each of those that the search tried has a failed run ({tuned.failed} of {tuned.runs})"


def edge_words(tuning: Tuning, labels: Mapping[str, str]) -> Iterator[str]:
    """Where the best value is at an end of those tried, where a wider search can have a better one."""
    for name in tuning.names:
        for edge in ("largest", "smallest"):
            at = [labels[v] for v, each in tuning.by_variant.items() if each.edges.get(name) == edge]
            if at:
                which = ", ".join(at)
                yield f"the best {name} is the {edge} that was tried, for {which}: widen the search"


def without_choice(tuning: Tuning, labels: Mapping[str, str]) -> Iterator[str]:
    """The variants that the search has no recipe for, and why."""
    for variant, each in tuning.by_variant.items():
        if not each.chosen:
            yield f"{labels[variant]}: {choice_words(tuning, each)}"


def tuning_notes(tuning: Tuning | None, labels: Mapping[str, str]) -> list[str]:
    """The sentences under a table; none without a search."""
    if tuning is None:
        return []
    words = [search_words(tuning), cost_words(tuning)]
    return [*words, *without_choice(tuning, labels), *edge_words(tuning, labels)]


@dataclass(frozen=True)
class TuningTable:
    """What a page says of a search: how it was made and what it cost, and a row for each variant."""

    words: tuple[str, ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tuning_table(tuning: Tuning | None, labels: Mapping[str, str]) -> TuningTable | None:
    """The section of a page; None without a search."""
    if tuning is None:
        return None
    heads = ("variant", *tuning.names, f"{tuning.display_name}, held back", "runs", "failed", "seconds")
    rows = tuple(_row(tuning, labels[variant], each) for variant, each in tuning.by_variant.items())
    return TuningTable(tuple(tuning_notes(tuning, labels)), heads, rows)


def _row(tuning: Tuning, label: str, each: Tuned) -> tuple[str, ...]:
    """Label, the chosen values, the score on what is held back, runs, failed runs, seconds."""
    score = EMPTY if each.score is None else f"{each.score:.4g}"
    runs = f"{each.runs} of {each.runs + each.missing}" if each.missing else str(each.runs)
    chosen = (each.texts.get(name, EMPTY) for name in tuning.names)
    return (label, *chosen, score, runs, str(each.failed), f"{each.seconds:,.1f}")


def tuning_objects(tuning: Tuning | None) -> Iterator[dict[str, Any]]:
    """An object for each variant, with exact numbers, for JSON."""
    for variant, each in tuning.by_variant.items() if tuning else ():
        yield {
            "variant": variant,
            "metric": tuning.metric if tuning else None,
            "value": each.score,
            "unit": None,
            "better": None,
            "samples": [],
            "error": None,
            "status": "search",
            "chosen": dict(each.chosen),
            "edges": dict(each.edges),
            "runs": each.runs,
            "failed": each.failed,
            "not_measured": each.missing,
            "seconds": each.seconds,
        }
