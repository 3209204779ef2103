"""What each latent changes in a decoded image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from bench.display.mosaic import mosaic, panels
from bench.display.pictures import publishable
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 8
"""Latents that are drawn: one of 64 hardly differs from the next, and a picture of all is higher than a page."""


@plot(order=53)
def traversals(results: Results) -> Iterator[tuple[str, Figure]]:
    """Every latent moved through the range of the prior, the one with the widest posterior means first; only of
    datasets whose pictures may be shown."""
    evaluations = publishable(results, "traversals")
    if evaluations:
        caption = (
            "A row for each latent, the one with the widest posterior means first: the decoded code of one image, with "
            f"this latent moved from -2.5 to 2.5 and the others constant{_cut(evaluations.values())}"
        )
        yield "traversals", panels(results, evaluations, _rows, caption)


def _cut(evaluations: Iterable[Evaluation]) -> str:
    """`; shown are 8 of 16, 8 of 64 latents`; empty where all are."""
    counts = sorted({len(e.samples["traversals"]) for e in evaluations if len(e.samples["traversals"]) > MOST})
    return f"; shown are {', '.join(f'{MOST} of {count}' for count in counts)} latents" if counts else ""


def _rows(evaluation: Evaluation) -> Any:
    variances = evaluation.summaries["code_variances"]
    return mosaic(evaluation.samples["traversals"][(-variances).argsort(kind="stable")[:MOST]])
