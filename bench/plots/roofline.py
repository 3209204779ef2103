"""FLOP/s of each variant against the machine's measured ceilings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bench.analysis.summary import Summary, summarise
from bench.display.examples import with_metric
from bench.display.figure import INK, WIDTH, log_ticks, markers, new, palette, seaborn
from bench.display.legend import variant_legend
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
    """Arithmetic intensity against achieved FLOP/s, with the ceilings of copies and matrix products.

    Nothing with fewer than two variants: one point shows no difference.
    """
    points = measured(summarise(results))
    if len(points) < 2:
        return
    caption = (
        "Achieved FLOP/s against FLOPs per byte, a marker per variant; line: the machine's measured ceilings, of "
        "copies (rising) and of matrix products (level)"
    )
    figure, (axes,) = new(WIDTH, 3.0, caption)
    _markers(axes, results, points)
    _ceilings(axes, points)
    axes.set_xlabel("FLOPs per byte moved")
    axes.set_ylabel("GFLOP/s")
    variant_legend(figure, results, [*points])
    yield "roofline", figure


def measured(summary: Summary) -> Points:
    """The detail of each variant whose roofline was measured, in the order of the variants."""
    aggregates = (aggregate for aggregate in summary.of("roofline") if aggregate.samples and aggregate.details)
    return {each.variant: each.details[0] for each in aggregates if each.details[0].get("intensity")}


def _markers(axes: Axes, results: Results, points: Points) -> None:
    frame = {
        "variant": [*points],
        "intensity": [detail["intensity"] for detail in points.values()],
        "speed": [detail["achieved_flops_per_s"] / GIGA for detail in points.values()],
    }
    who = {"hue": "variant", "palette": palette(results), "style": "variant", "markers": markers(results)}
    with seaborn() as sns:
        sns.scatterplot(frame, x="intensity", y="speed", ax=axes, s=50, linewidth=0, **who, legend=False)


def _ceilings(axes: Axes, points: Points) -> None:
    """The two lines, from the medians of the ceilings that were measured with each variant."""
    peak = median([detail["peak_flops_per_s"] for detail in points.values()]) / GIGA
    bandwidth = median([detail["peak_bytes_per_s"] for detail in points.values()]) / GIGA
    ridge = peak / bandwidth
    places = [ridge, *(detail["intensity"] for detail in points.values())]
    low, high = min(places) / 3, max(places) * 3
    axes.plot([low, ridge, high], [low * bandwidth, peak, peak], color=INK, linewidth=1.2)
    axes.set_xscale("log")
    axes.set_yscale("log")
    log_ticks(axes.xaxis)
    log_ticks(axes.yaxis)
    axes.set_title(f"matrix products {peak:.3g} GFLOP/s, copies {bandwidth:.3g} GB/s")


def example(results: Results) -> Results:
    """The results with a made-up roofline of every variant, for tests of the figure: 100 GFLOP/s, 10 GB/s."""
    details = [
        {"intensity": 20.0 * 1.3**i, "achieved_flops_per_s": 6e10 / (1 + i / 9)} for i in range(len(results.variants))
    ]
    ceilings = {"peak_flops_per_s": 1e11, "peak_bytes_per_s": 1e10}
    declared = {"unit": "", "better": "higher", "kind": "speed", "exact": False, "value": 0.6}
    return with_metric(results, "roofline", [{**detail, **ceilings} for detail in details], **declared)
