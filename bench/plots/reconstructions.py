"""What autoencoders make of images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.display.mosaic import mosaic, panels, shown
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@plot(order=51)
def reconstructions(results: Results) -> Iterator[tuple[str, Figure]]:
    """Images of the evaluation split above what the mean code decodes to; only of data that may be shown."""
    found = shown(results, "reconstructions")
    if found:
        text = "Images of the evaluation split, and below each the expected image at its posterior's mean"
        yield "reconstructions", panels(results, found, _pairs, text)


def _pairs(evaluation: Evaluation) -> Any:
    import numpy as np

    return mosaic(np.stack([evaluation.samples["originals"], evaluation.samples["reconstructions"]]))
