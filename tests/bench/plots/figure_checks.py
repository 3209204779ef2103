"""What tests of figures share: drawing a plot by its name, and reading texts, boxes and lines of a figure."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from made_up import axes_of
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from bench.display.figure import theme
from bench.registry.catalogue import declarations, live
from bench.results.measurement import Evaluation
from bench.results.results import Results


def drawn(name: str, results: Results) -> dict[str, Figure]:
    """Figures by their names, of the registered plot `name`."""
    with theme():
        return dict(live(declarations().plots.get(name)).call(results))


def exemplified(name: str, results: Results) -> Results:
    """The results with what the module of the plot adds to them by its own `example`, where it has one."""
    module = importlib.import_module(declarations().plots.get(name).module)
    return getattr(module, "example", lambda same: same)(results)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def row_names(figure: Figure) -> list[str]:
    """What the rows of the first axes are, from the top; their names are drawn above them."""
    axis = figure.axes[0].yaxis
    return axis.get_major_formatter().format_ticks([*axis.get_ticklocs()])


def visible_texts(figure: Figure) -> list[Text]:
    """Texts that are drawn; labels of ticks outside of the view are not."""
    axes = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    ticks = [(tick, sorted(axis.get_view_interval())) for axis in axes for tick in axis.get_major_ticks()]
    hidden = {id(tick.label1) for tick, (low, high) in ticks if not low <= tick.get_loc() <= high}
    return [t for t in figure.findobj(Text) if t.get_text() and t.get_visible() and id(t) not in hidden]


def check_labels(figure: Figure) -> None:
    """No text and no legend leaves the figure, and no level or upright text lies on another."""
    figure.draw_without_rendering()
    shown = visible_texts(figure)
    for text in shown:
        check_inside(figure, text, repr(text.get_text()))
    for legend in figure.legends:
        check_inside(figure, legend, "the legend")
    boxes = [(t.get_text(), Text.get_window_extent(t)) for t in shown if t.get_rotation() % 90 == 0]
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        assert min(overlap(a, b)) < 1.5, f"{one!r} lies on {other!r}"


def overlap(a: Bbox, b: Bbox) -> tuple[float, float]:
    """Width and height of what two boxes share; negative where they are apart."""
    return min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)


def check_inside(figure: Figure, artist: Artist, name: str) -> None:
    box, (width, height) = artist.get_window_extent(), figure.bbox.size
    assert min(box.x0, box.y0, width - box.x1, height - box.y1) > -1, f"{name} leaves the figure"


def curves(figure: Figure) -> Iterator[Line2D]:
    """Lines through more than ten points."""
    for axes in figure.axes:
        yield from (line for line in axes.lines if len(line.get_xdata()) > 10 and line.get_linestyle() != "None")


def renamed(results: Results, names: Mapping[str, str]) -> Results:
    """The results with other names of variants."""
    return dataclasses.replace(
        results,
        baseline=names[results.baseline],
        variants=tuple(names[variant] for variant in results.variants),
        axes=axes_of(*names.values()),
        frame=results.frame.assign(variant=results.frame["variant"].map(names)),
        evaluations={(names[variant], seed): e for (variant, seed), e in results.evaluations.items()},
        expected=tuple((names[variant], metric, seed) for variant, metric, seed in results.expected),
        claims=(),
    )


def with_facts(results: Results, **facts: Any) -> Results:
    """The results with further facts in every evaluation."""
    evaluations = {k: dataclasses.replace(e, facts={**e.facts, **facts}) for k, e in results.evaluations.items()}
    return dataclasses.replace(results, evaluations=evaluations)


def with_other_images(results: Results, variant: str, *parts: str) -> Results:
    """The results where one variant has other samples `parts` than the others: those of the others, upside down."""

    def own(evaluation: Evaluation) -> Evaluation:
        others = {part: np.ascontiguousarray(evaluation.samples[part][:, ::-1]) for part in parts}
        return dataclasses.replace(evaluation, samples={**evaluation.samples, **others})

    evaluations = {key: own(e) if key[0] == variant else e for key, e in results.evaluations.items()}
    return dataclasses.replace(results, evaluations=evaluations)
