"""Decoded interpolations between the codes of two images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.display.mosaic import mosaic, panels
from bench.display.pictures import publishable
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@plot(order=52)
def interpolations(results: Results) -> Iterator[tuple[str, Figure]]:
    """Decoded codes on straight lines between those of two images; only of datasets whose pictures may be shown."""
    evaluations = publishable(results, "interpolations")
    if evaluations:
        caption = "Expected images at codes on a straight line between the codes of two images of the evaluation split"
        yield "interpolations", panels(results, evaluations, lambda e: mosaic(e.samples["interpolations"]), caption)
