"""What generative models draw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.display.mosaic import mosaic, panels, shown
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE = 8


@plot(order=50)
def generated(results: Results) -> Iterator[tuple[str, Figure]]:
    """The first samples of each variant, none left out; only of data whose pictures may be shown."""
    found = shown(results, "generated")
    if found:
        yield "generated", panels(results, found, _grid, "The first samples of each variant (its first seed), unchosen")


def _grid(evaluation: Evaluation) -> Any:
    drawn = evaluation.samples["generated"]
    side = min(SIDE, int(len(drawn) ** 0.5))
    return mosaic(drawn[: side * side].reshape(side, side, *drawn.shape[1:]))
