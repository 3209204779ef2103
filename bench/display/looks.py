"""What the looks at adaptive seeds gave, in words: how many were taken, and why each variant got no more seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.analysis.looks import Ending, Looks
from bench.analysis.summary import Summary

SHOWN = 3
"""So many comparisons of a variant are named; of more, their number is."""


def taken_words(looks: Looks) -> str:
    """How many looks were taken, and what they cost."""
    *first, last = map(str, looks.sizes)
    made, most = sum(looks.counts.values()), looks.sizes[-1] * len(looks.counts)
    taken = f"{looks.taken} look{' was' if looks.taken == 1 else 's were'} taken"
    waits = ", and the scores of the next are not all there" if looks.waits else ""
    return (
        f"adaptive seeds: {looks.sizes[0]} to {last} of each variant, looks at {', '.join(first)} and {last}; "
        f"{taken}{waits}; {made} of at most {most} training runs"
    )


RULE = (
    "verdicts and intervals of scores are those of the look that decided, from the seeds up to it; the 5 % are spent "
    "over all looks (O'Brien & Fleming), so that an interval of an early look is wide"
)


def stop_words(looks: Looks, variant: str, labels: Mapping[str, str]) -> str:
    """Why a variant has the seeds that it has."""
    endings = looks.of(variant)
    inconclusive = [ending for ending in endings if ending.is_open]
    if looks.waits and (inconclusive or not looks.taken):
        return f"goes on: scores of its {looks.counts[variant]} seeds are missing"
    if inconclusive:
        return f"has the most seeds; inconclusive: {_listed(looks, inconclusive, variant, labels)}"
    if not endings:
        return "no comparison asks for more"
    return f"decided: {_listed(looks, endings, variant, labels)}"


def _listed(looks: Looks, endings: list[Ending], variant: str, labels: Mapping[str, str]) -> str:
    if len(endings) > SHOWN:
        last = max(ending.look.number for ending in endings)
        return f"{len(endings)} comparisons, the last at look {last + 1} of {len(looks.sizes)}"
    return "; ".join(_ending(ending, variant, labels) for ending in endings)


def _ending(ending: Ending, variant: str, labels: Mapping[str, str]) -> str:
    """`against FCN-32s better (look 1 of 4, 3 seeds)`."""
    at = f"(look {ending.look.number + 1} of {len(ending.look.sizes)}, {ending.look.size} seeds)"
    if ending.claim:
        return f"claim {ending.claim} {ending.verdict} {at}"
    one, other = ending.variants
    if variant == one:
        return f"against {labels[other]} {ending.verdict} {at}"
    return f"{labels[one]} against it {ending.verdict} {at}"


def look_notes(summary: Summary, labels: Mapping[str, str]) -> list[str]:
    """The sentences under a table; none where the seeds are fixed."""
    looks = summary.looks
    if looks is None:
        return []
    rows = [f"{labels[v]}: {count} seeds, {stop_words(looks, v, labels)}" for v, count in looks.counts.items()]
    return [taken_words(looks), RULE, *rows]


@dataclass(frozen=True)
class LookTable:
    """What a page says of adaptive seeds: the looks, and a row for each variant."""

    words: tuple[str, ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def look_table(summary: Summary, labels: Mapping[str, str]) -> LookTable | None:
    """The section of a page; None where the seeds are fixed."""
    looks = summary.looks
    if looks is None:
        return None
    rows = ((labels[v], str(count), stop_words(looks, v, labels)) for v, count in looks.counts.items())
    return LookTable((taken_words(looks), RULE), ("variant", "seeds", "why no more"), tuple(rows))


def look_objects(summary: Summary) -> Iterator[dict[str, Any]]:
    """An object for each variant, for JSON."""
    looks = summary.looks
    if looks is None:
        return
    names = {variant: variant for variant in looks.counts}
    for variant, count in looks.counts.items():
        yield {
            "variant": variant,
            "metric": None,
            "value": count,
            "unit": None,
            "better": None,
            "samples": [],
            "error": None,
            "status": "seeds",
            "looks": list(looks.sizes),
            "taken": looks.taken,
            "comparisons": [_object(ending) for ending in looks.of(variant)],
            "because": stop_words(looks, variant, names),
        }


def _object(ending: Ending) -> dict[str, Any]:
    return {
        "metric": ending.metric,
        "variants": list(ending.variants),
        "claim": ending.claim or None,
        "verdict": ending.verdict,
        "look": ending.look.number + 1,
        "seeds": ending.look.size,
    }
