"""Pictures of generative models in figures: many small ones as one, a panel for each variant."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bench.display.figure import names, new
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Bytes = np.ndarray[Any, Any]

WIDTH = 8.2
GAP = 1
"""Px between two pictures."""
PAPER = 255


def first_evaluations(results: Results) -> dict[str, Evaluation]:
    """Of each variant, that of its first seed, in the ablation's order."""
    seeds: dict[str, int] = {}
    for variant, seed in sorted(results.evaluations):
        seeds.setdefault(variant, seed)
    return {v: results.evaluations[v, seeds[v]] for v in results.variants if v in seeds}


def shown(results: Results, part: str) -> dict[str, Evaluation]:
    """The first evaluations that hold `part` among their samples, of data whose pictures may be shown."""
    found = first_evaluations(results)
    return {v: e for v, e in found.items() if e.facts.get("publishable") is True and part in e.samples}


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


def titles(results: Results, width: int = 30) -> dict[str, str]:
    """The variants' short names in lines of so many characters at most, however long their words are."""
    return {v: textwrap.fill(name, width, break_on_hyphens=False) for v, name in names(results).items()}


def bare(axes: Axes) -> None:
    """Without ticks and frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def panels(results: Results, found: Mapping[str, Evaluation], draw: Callable[[Evaluation], Bytes], text: str) -> Figure:
    """A picture for each variant of `found`, up to three beside one another, all at the same scale."""
    pictures, told = {variant: draw(evaluation) for variant, evaluation in found.items()}, titles(results)
    columns = min(len(pictures), 3)
    rows = -(-len(pictures) // columns)
    aspect = max(p.shape[0] / p.shape[1] for p in pictures.values())
    lines = max(told[variant].count("\n") for variant in pictures)
    height = (WIDTH / max(columns, 2) * aspect + 0.35 + 0.17 * lines) * rows
    figure, axes = new(WIDTH if columns > 1 else WIDTH / 2, height, text, rows, columns)
    for panel in axes:
        bare(panel)
    for panel, (variant, picture) in zip(axes, pictures.items(), strict=False):
        panel.imshow(picture, interpolation="none")
        panel.set_title(told[variant])
    return figure
