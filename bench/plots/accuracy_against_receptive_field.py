"""The main metric against the receptive field, with the best possible score where it is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.analysis.bounds import bound, by_field, chance, optimum
from bench.analysis.summary import Column, Summary, summarise
from bench.display.dodging import Mark, dodge, remark
from bench.display.examples import with_receptive_fields
from bench.display.figure import BASELINE, INK, in_order, names, stacked, styles
from bench.display.legend import legend_below
from bench.display.metric_names import axis_label, best_possible, display_name
from bench.display.receptive_fields import ReceptiveFieldAxis, sides_of
from bench.display.seeds import error_bar, scaled, scaled_value, score_notes
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

THEORETICAL = "receptive_field"
LABELS = {
    THEORETICAL: "receptive field (px, side)",
    "effective_receptive_field": "effective receptive field at initialisation\n(px, side of the square with 95 %)",
}
LINES: Mapping[str, dict[str, Any]] = {
    "best score": {"color": INK, "linestyle": ":", "linewidth": 1.6, "zorder": 1},
    "best constant prediction": {"color": BASELINE, "linestyle": "--", "linewidth": 1.2, "zorder": 1},
    "least receptive field that contains the cue": {"color": INK, "linestyle": "-.", "linewidth": 1.0, "alpha": 0.6},
}
BAND: Mapping[str, Any] = {"color": BASELINE, "alpha": 0.25, "linewidth": 0, "label": "chance, 95 % interval"}
BEST, CONSTANT, DISTANCE = LINES


@plot(order=25)
def accuracy_against_receptive_field(results: Results) -> Iterator[tuple[str, Figure]]:
    """The main metric against the receptive field, theoretical and effective, with what is known of the dataset.

    Nothing where all variants have the same receptive field.
    """
    summary = summarise(results)
    main = summary.main()
    sides = {name: sides_of(summary, name, main.metric) for name in LABELS} if main else {}
    shown = [name for name in LABELS if sides.get(name)]
    if main is None or len({*sides[THEORETICAL].values()}) < 2:
        return
    figure, panels = stacked(len(shown), 2.8, _caption(results, main))
    dodged = False
    for axes, name in zip(panels, shown, strict=True):
        axes.sharey(panels[0]) if axes is not panels[0] else None
        scale = ReceptiveFieldAxis(sides[name], _cue(results))
        marks = _panel(axes, summary, main, scale)
        _reference(axes, summary, main, scale, name == THEORETICAL)
        axes.set_xlabel(LABELS[name])
        axes.set_ylabel(axis_label(summary, main))
        dodged |= dodge(axes, marks)
    if any(axes.patches or _styles(axes) & {look["linestyle"] for look in LINES.values()} for axes in panels):
        figure.set_label(f"{figure.get_label()}; lines and band: what the dataset allows, known before any training")
    figure.set_label(remark(str(figure.get_label()), dodged))
    _legend(figure, panels, summary, main, [*sides[THEORETICAL]])
    yield "accuracy_against_receptive_field", figure


def _caption(results: Results, main: Column) -> str:
    return (
        f"{display_name(results, main.metric)} against the receptive field, a marker per variant (mean, bars: sd over "
        "seeds)"
    )


def _panel(axes: Axes, summary: Summary, main: Column, scale: ReceptiveFieldAxis) -> list[Mark]:
    looks, marks = styles(summary.results), list[Mark]()
    for aggregate in summary.measured(main.metric):
        if aggregate.variant in scale.sides:
            look = {**looks[aggregate.variant], "linestyle": "none", "markersize": 7, "capsize": 3, "zorder": 3}
            bar = error_bar(summary, main, aggregate)
            score = scaled_value(summary, main, aggregate.value)
            place = (scale.position(aggregate.variant), score)
            marks.append((*place, axes.errorbar(*place, yerr=bar, **look).get_children()))
    scale.fit(axes)
    return marks


def _reference(axes: Axes, summary: Summary, main: Column, scale: ReceptiveFieldAxis, theoretical: bool) -> None:
    """Lines known without training: best possible score, chance, least receptive field that contains the cue."""
    results = summary.results
    known_best = optimum(results, next((v for v in results.variants if optimum(results, v)), results.baseline))
    if scale.reference:
        axes.axvline(scale.reference, **LINES[DISTANCE])
    curve = by_field(known_best, main.metric) if theoretical else {}
    if curve:
        sizes, best = [*curve, axes.get_xlim()[1]], [*curve.values(), max(curve.values())]
        axes.plot(sizes, scaled(summary, main, best), **LINES[BEST], drawstyle="steps-post")
    else:
        _bounds(axes, summary, main, scale)
    _chance(axes, summary, main, chance(known_best, main.metric))


def _cue(results: Results) -> int:
    """Side in px of the least receptive field that contains the cue of a dataset that states its distance, else 0."""
    distance = results.provenance.get("dataset", {}).get("distance")
    return 2 * distance + 1 if isinstance(distance, int) else 0


def _bounds(axes: Axes, summary: Summary, main: Column, scale: ReceptiveFieldAxis) -> None:
    """The best possible score: a line where it is the same for all variants, else a short one at each variant."""
    values = {v: best.value for v in scale.sides if (best := bound(summary, v, main.metric)) is not None}
    bounds = dict(zip(values, scaled(summary, main, [*values.values()]), strict=True))
    if len({*bounds.values()}) == 1:
        axes.axhline(next(iter(bounds.values())), **LINES[BEST])
        return
    half = 0.03 * axes.get_xlim()[1]
    for variant, level in bounds.items():
        place = scale.position(variant)
        axes.plot([place - half, place + half], [level, level], **LINES[BEST])


def _chance(axes: Axes, summary: Summary, main: Column, interval: tuple[float, float] | None) -> None:
    """A band for scores of guessing, and a line for the best constant prediction, where they are known."""
    constant = constant_prediction(summary.results, main.metric)
    if interval:
        axes.axhspan(*scaled(summary, main, interval), **BAND)
    if constant is not None:
        axes.axhline(scaled_value(summary, main, constant), **LINES[CONSTANT])


def constant_prediction(results: Results, metric: str) -> float | None:
    """The best score of one class for every pixel, from counts of the labels; None for other metrics."""
    counts = next((_counts(e) for _, e in sorted(results.evaluations.items()) if "class_pixels" in e.summaries), None)
    if counts is None:
        return None
    largest, classes = max(counts) / sum(counts), sum(count > 0 for count in counts)
    scores = {"pixel_accuracy": largest, "mean_accuracy": 1 / classes, "miou": largest / classes}
    return scores.get(metric)


def _counts(evaluation: Evaluation) -> list[float]:
    """Labelled pixels of each class in the evaluation split."""
    counts: list[float] = evaluation.summaries["class_pixels"].tolist()
    return counts


def _styles(axes: Axes) -> set[str]:
    return {str(line.get_linestyle()) for line in axes.lines}


def _legend(figure: Figure, panels: Sequence[Axes], summary: Summary, main: Column, shown: Sequence[str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    results, notes = summary.results, score_notes(summary, [main.metric])
    looks, texts = styles(results), names(results)
    texts = {v: f"{text} ({notes[v]})" if v in notes else text for v, text in texts.items()}
    patterns = set().union(*(_styles(axes) for axes in panels))
    variants = [variant for variant in in_order(results) if variant in shown]
    handles: dict[str, Any] = {texts[v]: Line2D([], [], **looks[v], linestyle="none", markersize=7) for v in variants}
    best = {BEST: best_possible(filter(None, (bound(summary, variant, main.metric) for variant in variants)))}
    drawn = {best.get(name, name): look for name, look in LINES.items() if look["linestyle"] in patterns}
    handles |= {name: Line2D([], [], **look) for name, look in drawn.items()}
    handles |= {str(BAND["label"]): Patch(**BAND)} if any(axes.patches for axes in panels) else {}
    legend_below(figure, [*handles.values()], [*handles], columns=2)


def example(results: Results) -> Results:
    """The results with different receptive fields, for tests of the figure."""
    return with_receptive_fields(results)
