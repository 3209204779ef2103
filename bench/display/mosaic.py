"""Pictures of generative models in figures: many small ones as one, a panel for each variant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bench.display.figure import LINE, WIDTH, new, titles
from bench.display.pictures import bare
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    Bytes = np.ndarray[Any, Any]

GAP = 1
"""Px between two pictures."""
PAPER = 255


def mosaic(pictures: Bytes) -> Bytes:
    """Bytes (rows, columns, H, W, C) as one picture (., ., 3), a gap of paper between any two."""
    import numpy as np

    rows, columns, height, width, channels = pictures.shape
    whole = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), PAPER, dtype=np.uint8)
    for i in range(rows):
        for j in range(columns):
            top, left = i * (height + GAP), j * (width + GAP)
            whole[top : top + height, left : left + width] = pictures[i, j].repeat(3 // channels, axis=2)
    return whole


def panels(
    results: Results, evaluations: Mapping[str, Evaluation], draw: Callable[[Evaluation], Bytes], caption: str
) -> Figure:
    """A picture for each variant of `evaluations`, up to two in a row; a row is as high as its own pictures."""
    pictures = {variant: draw(evaluation) for variant, evaluation in evaluations.items()}
    texts = titles(results, 23)
    columns = min(len(pictures), 2)
    lines = max(texts[variant].count("\n") for variant in pictures)
    aspects = [picture.shape[0] / picture.shape[1] for picture in pictures.values()]
    tallest = [max(aspects[i : i + columns]) for i in range(0, len(aspects), columns)]
    heights = [WIDTH / columns * aspect for aspect in tallest]
    figure, grid = new(WIDTH, sum(heights) + (0.15 + LINE * (lines + 1)) * len(heights), caption, len(heights), columns)
    if layout := grid[0].get_gridspec():
        layout.set_height_ratios(heights)
    for axes in grid:
        bare(axes)
    for axes, (variant, picture) in zip(grid, pictures.items(), strict=False):
        axes.imshow(picture, interpolation="none")
        axes.set_anchor("N")
        axes.set_title(texts[variant])
    return figure
