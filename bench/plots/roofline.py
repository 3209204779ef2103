"""How near each variant comes to the machine's ceilings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bench.analysis.summary import Summary, summarise
from bench.display.figure import INK, legend_height, log_ticks, new, styles, variant_legend
from bench.registry import plot
from bench.results.results import Results
from bench.stats.descriptive import median

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GIGA = 1e9
Points = Mapping[str, Mapping[str, Any]]


@plot(order=65)
def roofline(results: Results) -> Iterator[tuple[str, Figure]]:
    """Arithmetic intensity against FLOP/s achieved, below the ceilings of copies and matrix products."""
    summary = summarise(results)
    points = measured(summary)
    if not points:
        return
    caption = "FLOP/s achieved against FLOPs per byte, a marker per variant; lines: the machine's measured ceilings"
    figure, (axes,) = new(6.4, 4.0 + legend_height(results, 6.4), caption)
    looks = styles(results)
    for variant, told in points.items():
        axes.plot(told["intensity"], told["achieved_flops_per_s"] / GIGA, **looks[variant], linestyle="none")
    _ceilings(axes, points)
    axes.set_xlabel("FLOPs per byte moved")
    axes.set_ylabel("GFLOP/s")
    variant_legend(figure, results, [*points], linestyle="none", markersize=7)
    yield "roofline", figure


def measured(summary: Summary) -> Points:
    """The detail of each variant whose roofline was measured, in the order of the variants."""
    aggregates = (aggregate for aggregate in summary.of("roofline") if aggregate.samples and aggregate.details)
    return {
        aggregate.variant: aggregate.details[0] for aggregate in aggregates if aggregate.details[0].get("intensity")
    }


def _ceilings(axes: Axes, points: Points) -> None:
    """The two lines, from the medians of what was measured beside each variant."""
    peak = median([told["peak_flops_per_s"] for told in points.values()]) / GIGA
    bandwidth = median([told["peak_bytes_per_s"] for told in points.values()]) / GIGA
    ridge = peak / bandwidth
    places = [ridge, *(told["intensity"] for told in points.values())]
    low, high = min(places) / 3, max(places) * 3
    axes.plot([low, ridge, high], [low * bandwidth, peak, peak], color=INK, linewidth=1.2)
    axes.set_xscale("log")
    axes.set_yscale("log")
    log_ticks(axes.xaxis)
    log_ticks(axes.yaxis)
    axes.set_title(f"products {peak:.3g} GFLOP/s, copies {bandwidth:.3g} GB/s")
