"""Where accuracy steps up: the main metric against how far a network sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bench.analysis.bounds import by_field, chance, optimum
from bench.analysis.summary import Aggregate, Column, Summary, summarise
from bench.display.figure import BASELINE, INK, legend_below, names, new, styles
from bench.display.numbers import heading
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Fields = Mapping[str, float | None]
"""Variant -> px a side; None: global."""

WORDS = {
    "receptive_field": "receptive field (px a side)",
    "effective_receptive_field": "side of the square that holds 95 % of\nthe effective field at initialisation (px)",
}
LINES: Mapping[str, dict[str, Any]] = {
    "best possible (known)": {"color": INK, "linestyle": ":", "linewidth": 1.6, "zorder": 1},
    "best answer without looking": {"color": BASELINE, "linestyle": "--", "linewidth": 1.2, "zorder": 1},
    "reaches the distance that must be seen": {"color": INK, "linestyle": "-.", "linewidth": 1.0, "alpha": 0.6},
}
BAND: Mapping[str, Any] = {"color": BASELINE, "alpha": 0.25, "linewidth": 0, "label": "chance, 95 % interval"}
BEST, CONSTANT, DISTANCE = LINES
CHARACTER, LINE = 0.085, 0.2
"""Inches that a letter and a line of the legend take at most."""
HEIGHT = 3.8
"""Inches without the legend."""
GLOBAL = 1.25
"""Where a global field stands, in multiples of the widest that is not."""


@plot(order=25)
def accuracy_against_receptive_field(results: Results) -> Iterator[tuple[str, Figure]]:
    """The main metric against the receptive field, theoretical and effective, with what is known of the dataset."""
    summary = summarise(results)
    main, fields = summary.main(), {name: fields_of(summary, name) for name in WORDS}
    shown = [name for name in WORDS if fields[name]]
    if main is None or len(set(fields["receptive_field"].values())) < 2:
        return
    caption = (
        f"{main.metric} against the receptive field, a marker per variant (mean, bars: sd over seeds); "
        "lines and band: what is known before any training, on the left the best possible for a field of that size"
    )
    figure, panels = new(4.4 * len(shown) + 1.6, HEIGHT, caption, 1, len(shown))
    for axes, name in zip(panels, shown, strict=True):
        axes.sharey(panels[0]) if axes is not panels[0] else None
        _panel(axes, summary, main, fields[name])
        _known(axes, results, main, theoretical=name == "receptive_field")
        axes.set_xlabel(WORDS[name])
        axes.set_ylabel(heading(summary, main) if axes is panels[0] else "")
        axes.tick_params(labelleft=axes is panels[0])
    _legend(figure, panels, results, [v for v in results.variants if v in fields["receptive_field"]])
    yield "accuracy_against_receptive_field", figure


def fields_of(summary: Summary, metric: str) -> dict[str, float | None]:
    """Side of each variant's field in px, of those that have a score; None where it is global."""
    main = summary.main()
    scored = {aggregate.variant for aggregate in summary.measured(main.metric)} if main else set()
    return {
        aggregate.variant: _side(aggregate)
        for aggregate in summary.of(metric)
        if aggregate.answered and aggregate.variant in scored
    }


def _side(aggregate: Aggregate) -> float | None:
    """The side of the square where the detail tells it: an effective field's own number is a radius."""
    told = aggregate.details[0].get("side") if aggregate.details else None
    return aggregate.value if told is None else float(told)


def _panel(axes: Axes, summary: Summary, main: Column, fields: Fields) -> None:
    looks, known = styles(summary.results), [size for size in fields.values() if size is not None]
    end = GLOBAL * max(known, default=1.0)
    for aggregate in summary.measured(main.metric):
        if aggregate.variant in fields:
            size = fields[aggregate.variant]
            look = {**looks[aggregate.variant], "linestyle": "none", "markersize": 7, "capsize": 3, "zorder": 3}
            axes.errorbar(end if size is None else size, aggregate.value or 0.0, yerr=aggregate.spread, **look)
    axes.set_xlim(0, max(known, default=1.0) * 1.08)
    if None in fields.values():
        _global_tick(axes, end)


def _global_tick(axes: Axes, place: float) -> None:
    """A place of its own beyond the axis, with its name."""
    axes.set_xlim(0, place * 1.06)
    ticks = [tick for tick in axes.get_xticks() if 0 <= tick < 0.87 * place]
    axes.set_xticks([*ticks, place], [*(f"{tick:g}" for tick in ticks), "global"])


def _known(axes: Axes, results: Results, main: Column, theoretical: bool) -> None:
    """The lines that no training has a part in: chance, the best possible, the distance that must be seen."""
    told = optimum(results, next((v for v in results.variants if optimum(results, v)), results.baseline))
    distance = results.provenance.get("dataset", {}).get("distance")
    if isinstance(distance, int):
        axes.axvline(2 * distance + 1, **LINES[DISTANCE])
        axes.set_xlim(right=max(axes.get_xlim()[1], 2 * distance + 4))
    curve = by_field(told, main.metric) if theoretical else {}
    if curve:
        sizes, best = [*curve, axes.get_xlim()[1]], [*curve.values(), max(curve.values())]
        axes.plot(sizes, best, **LINES[BEST], drawstyle="steps-post")
    elif main.metric in told:
        axes.axhline(told[main.metric], **LINES[BEST])
    _chance(axes, chance(told, main.metric), constant_answer(results, main.metric))


def _chance(axes: Axes, interval: tuple[float, float] | None, constant: float | None) -> None:
    if interval:
        axes.axhspan(*interval, **BAND)
    if constant is not None:
        axes.axhline(constant, **LINES[CONSTANT])


def constant_answer(results: Results, metric: str) -> float | None:
    """The best score of one class for every pixel, from the truth's counts; None for what is not a count of pixels."""
    truth = next((_truth(e) for _, e in sorted(results.evaluations.items()) if "confusion" in e.units), None)
    if truth is None:
        return None
    largest, there = max(truth) / sum(truth), sum(count > 0 for count in truth)
    scores = {"pixel_accuracy": largest, "mean_accuracy": 1 / there, "miou": largest / there}
    return scores.get(metric)


def _truth(evaluation: Evaluation) -> list[float]:
    """Labelled pixels of each class in the evaluation split."""
    counts: list[float] = evaluation.units["confusion"].sum(axis=(0, 2)).tolist()
    return counts


def _legend(figure: Figure, panels: list[Axes], results: Results, variants: list[str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    looks, texts = styles(results), names(results)
    drawn = {line.get_linestyle() for axes in panels for line in axes.lines}
    handles: dict[str, Any] = {texts[v]: Line2D([], [], **looks[v], linestyle="none", markersize=7) for v in variants}
    handles |= {name: Line2D([], [], **look) for name, look in LINES.items() if look["linestyle"] in drawn}
    handles |= {str(BAND["label"]): Patch(**BAND)} if any(axes.patches for axes in panels) else {}
    columns = 2 if max(map(len, handles)) * CHARACTER * 2 < figure.get_figwidth() - 1.2 else 1
    figure.set_figheight(HEIGHT + LINE * -(-len(handles) // columns))
    legend_below(figure, [*handles.values()], [*handles], columns)
