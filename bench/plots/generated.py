"""Samples of generative models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.display.mosaic import mosaic, panels
from bench.display.pictures import publishable
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 8


@plot(order=50)
def generated(results: Results) -> Iterator[tuple[str, Figure]]:
    """The first samples of each variant, none left out; only of datasets whose pictures may be shown."""
    evaluations = publishable(results, "generated")
    if evaluations:
        caption = "The first samples of each variant (its first seed), not selected"
        yield "generated", panels(results, evaluations, _grid, caption)


def _grid(evaluation: Evaluation) -> Any:
    samples = evaluation.samples["generated"]
    side = min(SIDE, int(len(samples) ** 0.5))
    return mosaic(samples[: side * side].reshape(side, side, *samples.shape[1:]))
