"""The best possible score on a synthetic dataset, known before any network is trained: for all, or a kind of network.

A dataset gives it as `optimum` of its examples: `miou` is the best of all, `miou@8` that of outputs of stride 8,
`pixel_accuracy@field25` that of outputs whose receptive field is a square of 25 px about their pixel, and from
`@chance_from` to `@chance_to` is the 95 % interval of a network without access to what tells the classes apart.
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
    """The best possible score of a variant, and the property that limits it; empty where it holds for every network."""

    value: float
    because: str = ""


def optimum(results: Results, variant: str) -> Mapping[str, float]:
    """The known optima of the dataset that the variant was evaluated on; empty where none is known."""
    facts = [evaluation.facts.get("optimum", {}) for (name, _), evaluation in _ordered(results) if name == variant]
    return facts[0] if facts else {}


def bound(summary: Summary, variant: str, metric: str) -> Bound | None:
    """The lowest known bound of this variant; None where nothing is known.

    Its output stride and its receptive field count where they were measured; the receptive field only of an output for
    every pixel, whose receptive field is centred at its pixel.
    """
    optima = optimum(summary.results, variant)
    stride, size = (_measured(summary, variant, name) for name in ("output_stride", "receptive_field"))
    bounds = [Bound(optima[metric])] if metric in optima else []
    if stride is not None and f"{metric}@{stride:g}" in optima:
        bounds.append(Bound(optima[f"{metric}@{stride:g}"], f"stride {stride:g}"))
    by_size = by_field(optima, metric)
    if by_size and size is not None and stride in (None, 1):
        wide_enough = [best for side, best in by_size.items() if side >= size]
        bounds += [Bound(best, f"receptive field of {size:g} px") for best in wide_enough[:1]]
    return min(reversed(bounds), key=lambda each: each.value, default=None)


def by_field(optima: Mapping[str, float], metric: str) -> dict[int, float]:
    """The best score for each known size of a square receptive field, in px, the smallest first."""
    start = f"{metric}@{FIELD}"
    return dict(
        sorted((int(name.removeprefix(start)), best) for name, best in optima.items() if name.startswith(start))
    )


def chance(optima: Mapping[str, float], metric: str) -> tuple[float, float] | None:
    """The 95 % interval of a network without access to what tells the classes apart; None where it is not known."""
    low, high = (optima.get(f"{metric}@chance_{end}") for end in ("from", "to"))
    return None if low is None or high is None else (low, high)


def _ordered(results: Results) -> list[tuple[tuple[str, int], Evaluation]]:
    return sorted(results.evaluations.items(), key=lambda item: item[0])


def _measured(summary: Summary, variant: str, metric: str) -> float | None:
    aggregate = summary.aggregates.get((variant, metric))
    return None if aggregate is None else aggregate.value
