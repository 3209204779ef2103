"""The way from one code to another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.display.mosaic import mosaic, panels, shown
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@plot(order=52)
def interpolations(results: Results) -> Iterator[tuple[str, Figure]]:
    """Decoded codes on straight lines between those of two images; only of data that may be shown."""
    found = shown(results, "interpolations")
    if found:
        text = "Expected images at codes on a straight line between those of two images of the evaluation split"
        yield "interpolations", panels(results, found, lambda e: mosaic(e.samples["interpolations"]), text)
