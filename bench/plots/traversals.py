"""What each latent is good for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.display.mosaic import mosaic, panels, shown
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@plot(order=53)
def traversals(results: Results) -> Iterator[tuple[str, Figure]]:
    """Every latent moved through the prior's range, the busiest first; only of data that may be shown."""
    found = shown(results, "traversals")
    if found:
        text = (
            "A row for every latent, that of the widest posterior means first: the code of one image with this "
            "latent moved from -2.5 to 2.5, the others held"
        )
        yield "traversals", panels(results, found, _rows, text)


def _rows(evaluation: Evaluation) -> Any:
    busy = evaluation.units["code_mean"].var(axis=0)
    return mosaic(evaluation.samples["traversals"][(-busy).argsort(kind="stable")])
