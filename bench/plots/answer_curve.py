"""The main metric against the one numeric axis, with the best possible score where it is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.analysis.bounds import bound
from bench.analysis.summary import Aggregate, Column, Summary
from bench.display.answers import plain_names
from bench.display.dodging import Mark, dodge, remark
from bench.display.figure import COLOURS, INK, SMALLEST, WIDTH, log_ticks, new, seaborn
from bench.display.legend import legend_below
from bench.display.metric_names import axis_label, best_possible, display_name
from bench.display.placing import label_points
from bench.display.seeds import error_bar, scaled_value, sd_interval, seeds_text
from bench.display.shape import Curve, curve_of
from bench.display.verdicts import BASE, VerdictLook, legend_entries, look_of_verdict

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

LOGARITHMIC = 8
"""The least ratio of the largest to the smallest number of a logarithmic axis."""
APART = 0.07
"""The least distance of two numbers on the axis, as a fraction of it, at which both have a tick."""
BEST: dict[str, Any] = {"color": INK, "linestyle": ":", "linewidth": 1.6}


def draw(summary: Summary, column: Column) -> Figure | None:
    """The mean of each variant in numeric order, with the sd over its seeds, by its verdict."""
    curve = curve_of(summary, column)
    if curve is None:
        return None
    figure, (axes,) = new(WIDTH, 2.9, _caption(summary, column, curve))
    frame = _frame(summary, column, curve.numbers)
    with seaborn() as sns:
        bars = {"errorbar": sd_interval, "err_style": "bars", "err_kws": {"capsize": 3, "elinewidth": 1.4}}
        sns.lineplot(frame, x="axis", y="score", ax=axes, color=COLOURS[0], linewidth=1.2, alpha=0.7, **bars)
    looks = {variant: _look(summary, column, variant) for variant in _places(curve)}
    marks = [_mark(axes, summary, column, v, looks[v], curve) for v in looks]
    bounded = _optimum(axes, summary, column, curve)
    scale_axis(axes.xaxis, [*_places(curve).values()], _labels(summary, curve))
    axes.margins(x=0.1, y=0.12)
    figure.set_label(remark(str(figure.get_label()), dodge(axes, marks)))
    axes.set_xlabel(f"{curve.axis}, side in px" if curve.axis.endswith(".shape") else curve.axis)
    axes.set_ylabel(axis_label(summary, column))
    _legend(figure, looks, bounded)
    points = {v: (x, _score(summary, column, v)) for v, x in _places(curve).items()}
    label_points(axes, points, {v: plain_names(summary.results)[v] for v in curve.others}, SMALLEST)
    return figure


def _places(curve: Curve) -> dict[str, float]:
    return {**curve.numbers, **curve.others}


def _labels(summary: Summary, curve: Curve) -> dict[float, str]:
    """What the ablation calls each place, a word on a line; empty where it has not a label for each."""
    labels = summary.results.labels
    named = {x: "\n".join(labels[variant].split()) for variant, x in curve.numbers.items() if variant in labels}
    return named if {*named} == {*_places(curve).values()} else {}


def _frame(summary: Summary, column: Column, numbers: Mapping[str, float]) -> pd.DataFrame:
    """A row (axis, score) for each seed of the variants on the curve."""
    import pandas as pd

    rows = [
        {"axis": x, "score": scaled_value(summary, column, value)}
        for variant, x in numbers.items()
        for value in summary.aggregates[variant, column.metric].by_seed.values()
    ]
    return pd.DataFrame(rows)


def _look(summary: Summary, column: Column, variant: str) -> VerdictLook:
    is_base = variant == summary.results.baseline
    return BASE if is_base else look_of_verdict(summary.delta(variant, column.metric))


def _mark(axes: Axes, summary: Summary, column: Column, variant: str, look: VerdictLook, curve: Curve) -> Mark:
    """The mean by its verdict, with its bar unless the curve draws it; and of how many seeds, where some lack."""
    aggregate, x = summary.aggregates[variant, column.metric], _places(curve)[variant]
    y = scaled_value(summary, column, aggregate.value)
    drawn: list[Artist] = [*axes.plot([x], [y], markersize=7, linestyle="none", zorder=4, **look.marks)]
    if variant in curve.others:
        drawn += _bar(axes, summary, column, variant, x)
    if note := _seeds(aggregate):
        axes.annotate(note, (x, y), (5, 5), textcoords="offset points", fontsize=SMALLEST)
    return x, y, drawn


def _seeds(aggregate: Aggregate) -> str:
    expected = len(aggregate.seeded) + len(aggregate.errors) + len(aggregate.missing)
    return seeds_text(aggregate.count, expected) if aggregate.status == "partial" else ""


def _score(summary: Summary, column: Column, variant: str) -> float:
    return scaled_value(summary, column, summary.aggregates[variant, column.metric].value)


def _bar(axes: Axes, summary: Summary, column: Column, variant: str, x: float) -> list[Artist]:
    """The sd of a variant that is not on the curve."""
    bar = error_bar(summary, column, summary.aggregates[variant, column.metric])
    look: dict[str, Any] = {"color": INK, "capsize": 3, "linestyle": "none"}
    return [*axes.errorbar([x], [_score(summary, column, variant)], yerr=bar, **look).get_children()]


def _optimum(axes: Axes, summary: Summary, column: Column, curve: Curve) -> str:
    """The best possible score of each variant on the curve, by its own bound; its name, empty where none is known."""
    bests = {v: best for v in curve.numbers if (best := bound(summary, v, column.metric)) is not None}
    places = [curve.numbers[variant] for variant in bests]
    single = "_" if len(places) == 1 else ""  # which a line cannot show
    axes.plot(places, [scaled_value(summary, column, best.value) for best in bests.values()], **BEST, marker=single)
    return best_possible(bests.values()) if bests else ""


def scale_axis(axis: Axis, values: list[float], labels: Mapping[float, str] | None = None) -> None:
    """A tick at every number, logarithmic where they differ much; fewer ticks where they would lie on each other.

    A tick says what `labels` has for its number, where there is room for that.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = min(values), max(values)
    logarithmic = low > 0 and high / low >= LOGARITHMIC
    if logarithmic:
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})  # type: ignore[attr-defined]
        log_ticks(axis)
    plain = {value: f"{value:.6g}" for value in values}
    shown = next((each for each in (labels or {}, plain) if _apart(each, logarithmic)), {})
    if shown:
        axis.set_major_locator(FixedLocator(sorted(shown)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: shown.get(value, f"{value:.6g}")))
        axis.set_minor_locator(NullLocator())


def _apart(texts: Mapping[float, str], logarithmic: bool) -> bool:
    """Whether there are texts, and each has room at its number."""
    import numpy as np

    values = sorted(texts)
    places = np.log(values) if logarithmic else np.array(values)
    widest = max((len(line) for text in texts.values() for line in text.split("\n")), default=0)
    gaps = np.diff(places) / max(places[-1] - places[0], 1e-300) if values else places
    return len(values) == 1 or bool(len(values) and gaps.min() >= APART * widest / 2)


def _caption(summary: Summary, column: Column, curve: Curve) -> str:
    name = display_name(summary.results, column.metric)
    spread = any(each.spread for each in summary.of(column.metric))
    tested = any(delta.interval for (_, metric), delta in summary.deltas.items() if metric == column.metric)
    parts = [
        f"{name} against {curve.axis}: mean of each variant",
        "bars: sd over seeds" if spread else "",
        "shape and colour: verdict on the difference from the baseline" if tested else "",
    ]
    return "; ".join(part for part in parts if part)


def _legend(figure: Figure, looks: Mapping[str, VerdictLook], bounded: str) -> None:
    from matplotlib.lines import Line2D

    entries = legend_entries(looks.values())
    best = {bounded: Line2D([], [], **BEST)} if bounded else {}
    legend_below(figure, [*entries.values(), *best.values()], [*entries, *best], columns=4)
