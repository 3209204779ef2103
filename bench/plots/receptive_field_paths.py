"""Receptive field of the whole network and of its named paths."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.analysis.summary import Aggregate, summarise
from bench.display.figure import COLOURS, MARKERS, in_order, rows_figure, variant_rows
from bench.display.legend import legend_below
from bench.display.metric_names import axis_label
from bench.display.receptive_fields import ReceptiveFieldAxis
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METRIC = "receptive_field"
WHOLE = "whole network"
Sizes = Mapping[str, float | None]
"""Path -> side of its receptive field in px; None is global."""


@plot(order=60)
def receptive_field_paths(results: Results) -> Iterator[tuple[str, Figure]]:
    """The receptive field of the whole network and of each named path; nothing where all variants have the same."""
    summary = summarise(results)
    sizes = {each.variant: path_sizes(each) for each in summary.of(METRIC) if each.answered}
    if not _differ(sizes):
        return
    paths = [WHOLE, *_narrower(sizes)]
    ordered = {v: {path: own[path] for path in paths if path in own} for v, own in sizes.items()}
    status = {each.variant: each.status for each in summary.of(METRIC)}
    rows = variant_rows(results, {v: _words(ordered[v]) if v in ordered else text for v, text in status.items()})
    figure, axes = rows_figure(rows, _caption(paths, sizes))
    scale = ReceptiveFieldAxis({f"{v} {path}": size for v, own in ordered.items() for path, size in own.items()})
    for variant, own in ordered.items():
        _row(axes, in_order(results).index(variant), {path: scale.place(size) for path, size in own.items()}, paths)
    rows.label(axes)
    scale.fit(axes)
    axes.set_xlabel(axis_label(summary, summary.column(METRIC)))
    _legend(figure, axes, paths)
    yield "receptive_field_paths", figure


def _differ(sizes: Mapping[str, Sizes]) -> bool:
    """Whether variants differ in their sizes; of a single variant whether its paths do."""
    if len(sizes) == 1:
        return len({size for each in sizes.values() for size in each.values()}) > 1
    return len({tuple(sorted(each.items())) for each in sizes.values()}) > 1


def _narrower(sizes: Mapping[str, Sizes]) -> list[str]:
    """The paths from the widest to the narrowest, without those that are as wide as the whole network everywhere."""
    names = {path for each in sizes.values() for path in each if each[path] != each[WHOLE]}
    return sorted(names, key=lambda path: _order(path, sizes))


def _caption(paths: Sequence[str], sizes: Mapping[str, Sizes]) -> str:
    named = " and of each named path" if len(paths) > 1 else ""
    same = sorted({path for each in sizes.values() for path in each} - {*paths})
    left_out = f"; {', '.join(same)}: as wide as the whole network" if same else ""
    return f"Receptive field of the whole network{named}, side in input px{left_out}"


def path_sizes(aggregate: Aggregate) -> dict[str, float | None]:
    """Path -> side in px along its longest axis; None is global."""
    paths: Mapping[str, Any] = aggregate.details[0].get("paths", {}) if aggregate.details else {}
    return {WHOLE: aggregate.value, **{path: _longest(size) for path, size in paths.items()}}


def _longest(size: Any) -> float | None:
    if isinstance(size, (list, tuple)):
        return None if None in size else float(max(size))
    return None if size is None else float(size)


def _order(path: str, sizes: Mapping[str, Sizes]) -> tuple[float, str]:
    """From the widest to the narrowest path; a global one is the widest."""
    own = [each[path] for each in sizes.values() if path in each]
    return -max(math.inf if size is None else size for size in own), path


def _words(sizes: Sizes) -> str:
    """`404`, or `whole network 404 · pool4 100` where there are paths."""
    texts = {path: "global" if size is None else f"{size:g}" for path, size in sizes.items()}
    return " · ".join(f"{path} {text}" for path, text in texts.items()) if len(texts) > 1 else texts[WHOLE]


def _row(axes: Axes, row: int, places: Mapping[str, float], paths: Sequence[str]) -> None:
    axes.plot([min(places.values()), max(places.values())], [row, row], color=COLOURS[0], alpha=0.3, zorder=1)
    for path, place in places.items():
        axes.plot(place, row, label=path, zorder=2, linestyle="none", **_look(paths.index(path)))


def _look(i: int) -> dict[str, Any]:
    """An open circle for the whole network, so that a path of the same size is visible inside it."""
    if i == 0:
        return {"color": COLOURS[0], "marker": "o", "markersize": 12, "fillstyle": "none", "markeredgewidth": 1.8}
    return {"color": COLOURS[i % 7], "marker": MARKERS[i % 8], "markersize": 7}


def _legend(figure: Figure, axes: Axes, paths: Sequence[str]) -> None:
    handles, texts = axes.get_legend_handles_labels()
    unique = dict(zip(texts, handles, strict=True))
    shown = [path for path in paths if path in unique]
    legend_below(figure, [unique[path] for path in shown], shown)
