"""Which joints are found, and which are not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bench.analysis.summary import Summary, summarise
from bench.display.figure import legend_height, new, styles, variant_legend
from bench.display.numbers import heading
from bench.registry import plot
from bench.results.results import Results
from bench.stats.descriptive import mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = ("pck", "pckh")


@plot(order=41)
def joints(results: Results) -> Iterator[tuple[str, Figure]]:
    """PCK joint by joint, a line per variant, mean over the seeds."""
    summary = summarise(results)
    for column in summary.columns:
        values = {v: by_joint(summary, v, column.metric) for v in results.variants}
        values = {variant: found for variant, found in values.items() if found}
        if column.metric not in METRICS or not values:
            continue
        names = list(dict.fromkeys(name for found in values.values() for name in found))
        caption = f"{column.metric} of each joint, a line per variant, mean over the seeds"
        wide = max(6.0, 2.0 + 0.45 * len(names))
        figure, (axes,) = new(wide, 4.2 + legend_height(results, wide), caption)
        looks = styles(results)
        for variant, found in values.items():
            places = [i for i, name in enumerate(names) if name in found]
            axes.plot(places, [found[names[i]] for i in places], **looks[variant], linewidth=1.4, markersize=5)
        axes.set_xticks(range(len(names)), [n.replace("_", " ") for n in names], rotation=45, ha="right")
        axes.set_ylabel(heading(summary, column))
        axes.set_ylim(-0.03, 1.03)
        variant_legend(figure, results, [*values], linewidth=1.4)
        yield f"joints_{column.metric}", figure


def by_joint(summary: Summary, variant: str, metric: str) -> dict[str, float]:
    """Joint -> the mean over the seeds, of the seeds that have the joint."""
    aggregate = summary.aggregates.get((variant, metric))
    details = [detail.get("per_class", {}) for detail in aggregate.details] if aggregate else []
    names = dict.fromkeys(name for detail in details for name in detail)
    return {name: mean([float(d[name]) for d in details if name in d]) for name in names}
