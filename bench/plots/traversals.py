"""What each latent changes in a decoded image."""

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


@plot(order=53)
def traversals(results: Results) -> Iterator[tuple[str, Figure]]:
    """Every latent moved through the range of the prior, the one with the widest posterior means first; only of
    datasets whose pictures may be shown."""
    evaluations = publishable(results, "traversals")
    if evaluations:
        caption = (
            "A row for every latent, the one with the widest posterior means first: the decoded code of one image, "
            "with this latent moved from -2.5 to 2.5 and the others constant"
        )
        yield "traversals", panels(results, evaluations, _rows, caption)


def _rows(evaluation: Evaluation) -> Any:
    variances = evaluation.summaries["code_variances"]
    return mosaic(evaluation.samples["traversals"][(-variances).argsort(kind="stable")])
