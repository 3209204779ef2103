"""Pictures in figures: axes without ticks, three channels, and the evaluations whose pictures may be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bench.display.figure import LINE, WIDTH, in_order, new, wrapped
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Bytes = np.ndarray[Any, Any]

FREE = 0.08
"""Inches that stay free above panels, and between them and a legend."""
NAME = 44
"""Characters of a line above a row."""
OTHER_IMAGES = "; variants with other images stand below rows of their own images and ground truth"
"""In the caption of a figure of several groups (`by_samples`)."""


def first_evaluations(results: Results) -> dict[str, Evaluation]:
    """The evaluation of each variant's first seed, in the order of figures."""
    seeds: dict[str, int] = {}
    for variant, seed in sorted(results.evaluations):
        seeds.setdefault(variant, seed)
    return {v: results.evaluations[v, seeds[v]] for v in in_order(results) if v in seeds}


def publishable(results: Results, *parts: str) -> dict[str, Evaluation]:
    """The first evaluations whose samples have all `parts`, of datasets whose pictures may be shown."""
    return {
        variant: evaluation
        for variant, evaluation in first_evaluations(results).items()
        if evaluation.facts.get("publishable") is True and evaluation.samples.keys() >= set(parts)
    }


def by_samples(evaluations: Mapping[str, Evaluation], *parts: str) -> list[dict[str, Evaluation]]:
    """The evaluations in groups whose samples are equal in all `parts`, in the order of their first variants.

    Variants of other input sizes or datasets are evaluated on other pictures: their predictions belong to these.
    """
    groups: dict[tuple[Any, ...], dict[str, Evaluation]] = {}
    for variant, evaluation in evaluations.items():
        arrays = [evaluation.samples[part] for part in parts]
        key = tuple((array.shape, array.tobytes()) for array in arrays)
        groups.setdefault(key, {})[variant] = evaluation
    return [*groups.values()]


def in_colour(image: Bytes) -> Bytes:
    """Bytes (H, W, C) of one or three channels as (H, W, 3)."""
    return image.repeat(3 // image.shape[2], axis=2)


def show_picture(axes: Axes, image: Bytes) -> None:
    """A picture (H, W, C), with the axes limited to it, without ticks and frame."""
    axes.imshow(in_colour(image), interpolation="none")
    axes.set_xlim(-0.5, image.shape[1] - 0.5)
    axes.set_ylim(image.shape[0] - 0.5, -0.5)
    bare(axes)


def bare(axes: Axes) -> None:
    """Without ticks, grid and frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def fit_height(figure: Figure) -> None:
    """Take the height off that compressed panels leave free above them and above the legend; after all is drawn."""
    figure.draw_without_rendering()
    boxes = [box for axes in figure.axes if (box := axes.get_tightbbox()) is not None]
    below = max((legend.get_window_extent().y1 for legend in figure.legends), default=0.0)
    free = figure.bbox.height - max(box.y1 for box in boxes) + min(box.y0 for box in boxes) - below
    figure.set_figheight(figure.get_figheight() - max(0.0, free / figure.dpi - 2 * FREE))


def row_name(axes: Axes, text: str) -> None:
    """A name above a row of pictures, which starts at its left one."""
    axes.set_title(text, loc="left", pad=3)


def picture_rows(
    names: Sequence[str], columns: int, shape: tuple[int, int], caption: str, below: float = 0.0
) -> tuple[Figure, list[list[Axes]]]:
    """A figure with a row of `columns` pictures of `shape` (height, width) px for each name, and the axes by row.

    The names stand above the rows. `below` is the height in inches of texts below each row.
    """
    texts = [wrapped(" ".join(name.split("\n")), NAME, NAME) for name in names]
    lines = max(text.count("\n") + 1 for text in texts)
    height = (WIDTH / columns - 0.05) * shape[0] / shape[1] + LINE * lines + 0.12 + below
    figure, grid = new(WIDTH, height * len(names), caption, len(names), columns)
    rows = [grid[i * columns : (i + 1) * columns] for i in range(len(names))]
    for row, name in zip(rows, texts, strict=True):
        row_name(row[0], name)
    return figure, rows
