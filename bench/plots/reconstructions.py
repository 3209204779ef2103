"""Images and their reconstructions by autoencoders."""

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


@plot(order=51)
def reconstructions(results: Results) -> Iterator[tuple[str, Figure]]:
    """Images of the evaluation split above their reconstructions; only of datasets whose pictures may be shown."""
    evaluations = publishable(results, "originals", "reconstructions")
    if evaluations:
        caption = "Images of the evaluation split, and below each the expected image at the mean of its posterior"
        yield "reconstructions", panels(results, evaluations, _pairs, caption)


def _pairs(evaluation: Evaluation) -> Any:
    import numpy as np

    return mosaic(np.stack([evaluation.samples["originals"], evaluation.samples["reconstructions"]]))
