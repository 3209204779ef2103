"""The best possible score on a synthetic dataset, known before any network is trained: for all, or a kind of network.

A dataset tells it as `optimum` of its examples: `miou` is the best of all, `miou@8` that of outputs of stride 8,
`pixel_accuracy@field25` that of outputs that see a square of 25 px about their pixel, and from `@chance_from` to
`@chance_to` lies the 95 % interval of what sees nothing that tells the classes apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.analysis.summary import Summary
from bench.results.measurement import Evaluation
from bench.results.results import Results

FIELD = "field"


@dataclass(frozen=True)
class Bound:
    """The best possible score of a variant, and what of it makes it so; empty where it holds for every network."""

    value: float
    because: str = ""


def optimum(results: Results, variant: str) -> Mapping[str, float]:
    """What the dataset that the variant was evaluated on tells; empty where it tells nothing."""
    told = [evaluation.facts.get("optimum", {}) for (name, _), evaluation in _ordered(results) if name == variant]
    return told[0] if told else {}


def bound(summary: Summary, variant: str, metric: str) -> Bound | None:
    """The least of what is known to bound this variant; None where nothing is known.

    Its output stride and its receptive field count where they were measured; the field only of an output for
    every pixel, whose field stands about its pixel.
    """
    told = optimum(summary.results, variant)
    stride, field = (_measured(summary, variant, name) for name in ("output_stride", "receptive_field"))
    found = [Bound(told[metric])] if metric in told else []
    if stride is not None and f"{metric}@{stride:g}" in told:
        found.append(Bound(told[f"{metric}@{stride:g}"], f"stride {stride:g}"))
    seen = by_field(told, metric)
    if seen and field is not None and stride in (None, 1):
        wide_enough = [best for size, best in seen.items() if size >= field]
        found += [Bound(best, f"field of {field:g} px") for best in wide_enough[:1]]
    return min(reversed(found), key=lambda each: each.value, default=None)


def by_field(told: Mapping[str, float], metric: str) -> dict[int, float]:
    """The best score for each size of a square field that the dataset tells, in px, the smallest first."""
    start = f"{metric}@{FIELD}"
    return dict(sorted((int(name.removeprefix(start)), best) for name, best in told.items() if name.startswith(start)))


def chance(told: Mapping[str, float], metric: str) -> tuple[float, float] | None:
    """The 95 % interval of what sees nothing that tells the classes apart; None where it is not told."""
    ends = [told.get(f"{metric}@chance_{end}") for end in ("from", "to")]
    return None if ends[0] is None or ends[1] is None else (ends[0], ends[1])


def _ordered(results: Results) -> list[tuple[tuple[str, int], Evaluation]]:
    return sorted(results.evaluations.items(), key=lambda item: item[0])


def _measured(summary: Summary, variant: str, metric: str) -> float | None:
    aggregate = summary.aggregates.get((variant, metric))
    return None if aggregate is None else aggregate.value
