"""Accuracy against MACs over all ablations that share task, data, input shape and metric."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.analysis.summary import Summary, summarise
from bench.display.answers import plain_names
from bench.display.figure import COLOURS, INK, MARKERS, log_ticks, new, seaborn, svg, theme
from bench.display.legend import legend_below
from bench.display.numbers import number_text, scale_of, style_of
from bench.report.figures import Figure
from bench.report.index import task_of
from bench.results.conditions import differences, missing_on_one_side
from bench.results.results import Results
from bench.stats.inference import pareto

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

COST = "macs"
REMARKS = ("licence", "source")
"""What the provenance says of a dataset that is no setting of it."""


@dataclass(frozen=True)
class Point:
    """A variant of one or more ablations with its score and its MACs; `recipe` is the letter of its recipe."""

    ablations: tuple[str, ...]
    name: str
    variant: str
    macs: float
    score: float
    text: str
    recipe: str


@dataclass(frozen=True)
class Recipe:
    """What a recipe has and others of the group have not, under a letter, and the ablations that follow it."""

    letter: str
    text: str
    ablations: tuple[str, ...]


@dataclass(frozen=True)
class Frontier:
    """Points that may be compared, and those on the front by increasing MACs; no `recipes` where all have the same."""

    task: str
    data: str
    metric: str
    points: tuple[Point, ...]
    front: tuple[Point, ...]
    recipes: tuple[Recipe, ...]
    figure: Figure

    @property
    def ablations(self) -> tuple[str, ...]:
        """The names of the ablations that have a point, in order."""
        return tuple(dict.fromkeys(name for point in self.points for name in point.ablations))


def settings_of(results: Results) -> dict[str, Any]:
    """What two ablations must share before their scores may be compared: task, dataset and shape of the input."""
    dataset = {name: value for name, value in results.provenance.get("dataset", {}).items() if name not in REMARKS}
    return {"task": task_of(results), "dataset": dataset, "shape": results.provenance.get("workload", {}).get("shape")}


def recipe_of(results: Results) -> Mapping[str, Any]:
    """How the variants were trained, except for what varies."""
    recipe: Mapping[str, Any] = results.provenance.get("recipe", {})
    return recipe


def frontiers(all_results: Iterable[Results]) -> list[Frontier]:
    """One for each group of two or more ablations whose scores may be compared."""
    groups: dict[str, list[Results]] = {}
    for results in all_results:
        score = summarise(results).main()
        if score is not None and score.better is not None:
            groups.setdefault(json.dumps([settings_of(results), score.metric], sort_keys=True), []).append(results)
    drawn = [_frontier(group) for _, group in sorted(groups.items()) if len(group) > 1]
    return [each for each in drawn if each is not None]


def _frontier(group: Sequence[Results]) -> Frontier | None:
    recipes, letters = _recipes(group)
    points = _merged([point for results in group for point in _points(summarise(results), recipes[results.name])])
    if len({name for point in points for name in point.ablations}) < 2:
        return None
    summary = summarise(group[0])
    score = summary.main()
    if score is None:
        return None
    places = {i: (point.score, point.macs) for i, point in enumerate(points)}
    chosen = pareto(places, ["higher" if score.better == "higher" else "lower", "lower"])
    front = tuple(sorted((points[i] for i in chosen), key=lambda point: (point.macs, point.name)))
    settings = settings_of(group[0])
    shape = " x ".join(map(str, settings["shape"] or ()))
    data = f"{settings['dataset'].get('name', '')}, input {shape}"
    figure = _figure(points, front, score.name, data)
    return Frontier(settings["task"], data, score.name, points, front, letters, figure)


def _recipes(group: Sequence[Results]) -> tuple[dict[str, str], tuple[Recipe, ...]]:
    """Ablation -> the letter of its recipe, and the recipes; no letters where all ablations have the same."""
    recipes = {results.name: recipe_of(results) for results in group}
    keys = sorted({key for recipe in recipes.values() for key in recipe})
    differing = [k for k in keys if len({json.dumps(recipe.get(k), sort_keys=True) for recipe in recipes.values()}) > 1]
    texts = {n: ", ".join(f"{k} {recipe.get(k, 'not stated')}" for k in differing) for n, recipe in recipes.items()}
    letters = {text: _letter(i) for i, text in enumerate(dict.fromkeys(texts.values()))} if differing else {}
    named = [Recipe(letter, text, tuple(n for n in texts if texts[n] == text)) for text, letter in letters.items()]
    return {name: letters.get(text, "") for name, text in texts.items()}, tuple(named)


def _letter(number: int) -> str:
    """A to Z, then A1, B1 and so on."""
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[number % 26] + (str(number // 26) if number >= 26 else "")


def _points(summary: Summary, recipe: str) -> Iterator[Point]:
    score, short = summary.main(), plain_names(summary.results)
    for variant in summary.results.variants if score else ():
        pair = [summary.aggregates.get((variant, metric)) for metric in (score.metric if score else "", COST)]
        if score and all(each is not None and each.value is not None for each in pair):
            values = [float(each.value) for each in pair if each is not None and each.value is not None]
            text = number_text(pair[0], style_of(summary, score)) if pair[0] else ""
            yield Point((summary.results.name,), short[variant], variant, values[1], values[0], text, recipe)


def _merged(points: Sequence[Point]) -> tuple[Point, ...]:
    """A variant that several ablations share, with equal numbers and recipe, is one point."""
    groups: dict[tuple[object, ...], list[Point]] = {}
    for point in points:
        groups.setdefault((point.variant, point.macs, point.score, point.recipe), []).append(point)
    merged = [(each[0], tuple(dict.fromkeys(a for point in each for a in point.ablations))) for each in groups.values()]
    counts = Counter(first.name for first, _ in merged)
    return tuple(
        Point(
            ablations,
            first.name if counts[first.name] == 1 else f"{first.name} ({', '.join(ablations)})",
            first.variant,
            first.macs,
            first.score,
            first.text,
            first.recipe,
        )
        for first, ablations in merged
    )


def macs_text(value: float) -> str:
    """`402 MMACs`."""
    scale = scale_of([value], "MACs")
    return f"{value / scale.factor:.3g} {scale.unit}"


def _figure(points: Sequence[Point], front: Sequence[Point], metric: str, data: str) -> Figure:
    """A scatter plot, a marker for each recipe; a line joins the front."""
    caption = f"{metric} against MACs on {data}: each variant of each ablation; the line joins the Pareto front"
    name = "frontier-" + "".join(sign if sign.isalnum() else "-" for sign in f"{metric}-{data}")
    with theme():
        figure, (axes,) = new(3.2, 2.8, caption)
        _scatter(figure, axes, points)
        axes.plot([p.macs / 1e6 for p in front], [p.score for p in front], color=INK, linewidth=1, zorder=1)
        axes.set(xlabel="MACs (M)", ylabel=metric)
        axes.set_xscale("log")
        log_ticks(axes.xaxis)
        axes.tick_params(labelsize=9)
        element = svg(figure, name)
    return Figure(name, caption, element)


def _scatter(figure: MatplotlibFigure, axes: Axes, points: Sequence[Point]) -> None:
    letters = sorted({point.recipe for point in points})
    looks: dict[str, dict[str, Any]] = {
        letter: {"color": COLOURS[i % 7], "marker": MARKERS[i % 8]} for i, letter in enumerate(letters)
    }
    with seaborn() as sns:
        sns.scatterplot(
            x=[point.macs / 1e6 for point in points],
            y=[point.score for point in points],
            hue=[point.recipe for point in points],
            style=[point.recipe for point in points],
            palette={letter: look["color"] for letter, look in looks.items()},
            markers={letter: look["marker"] for letter, look in looks.items()},
            legend=False,
            ax=axes,
        )
    if len(letters) > 1:
        handles = [axes.plot([], [], linestyle="none", **looks[letter])[0] for letter in letters]
        legend_below(figure, handles, [f"recipe {letter}" for letter in letters])


def differing_settings(one: Results, other: Results) -> list[str]:
    """Each setting of data or recipe in which two ablations differ, as `dataset.name: "camvid", not "voc"`."""
    first, second = ({**settings_of(each), "recipe": dict(recipe_of(each))} for each in (one, other))
    return [*differences(first, second), *missing_on_one_side(first, second)]
