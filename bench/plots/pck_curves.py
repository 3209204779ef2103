"""How many joints are found, by how near they must be: PCK against its threshold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.display.figure import BASELINE, COLOURS, INK, legend_below, legend_height, names, new, styles, variant_legend
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results
from bench.tasks.keypoints import Floats, decoding_of, errors, has_length, is_annotated

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LENGTHS = {"torso": 0.2, "head": 0.5}
"""What thresholds are fractions of, and the share that PCK and PCKh are read at."""
ALPHAS = np.linspace(0, 0.5, 51)
DECODINGS = {"argmax": "-", "quarter": "--", "dark": "-.", "soft_argmax": ":"}
ASKED = {f"error_{name}" for name in DECODINGS}
"""An ablation that has one of these metrics asks how a place is read off its map."""
SHOWN = 3
"""Variants whose decodings are drawn at most."""


@plot(order=28)
def pck_curves(results: Results) -> Iterator[tuple[str, Figure]]:
    """PCK against its threshold, of each variant; and by decoding, where an ablation compares decodings."""
    told = {length: found for length in LENGTHS if (found := _by_variant(results, length))}
    if not told:
        return
    caption = (
        "Fraction of joints within a part of the person's length from the truth, against that part; a line per variant "
        "(mean over seeds, band: from the lowest to the highest); the upright line is where PCK or PCKh is read"
    )
    wide = 4.1 * len(told) + 2
    figure, panels = new(wide, 3.4 + legend_height(results, wide), caption, 1, len(told))
    panels[0].set_ylabel("fraction of joints found")
    looks, (first, shown) = styles(results), next(iter(told.items()))
    for axes, (length, found) in zip(panels, told.items(), strict=True):
        _panel(axes, length)
        for variant, shares in found.items():
            _line(axes, shares, color=looks[variant]["color"])
    variant_legend(figure, results, [*shown], marker="")
    yield "pck_curves", figure
    if ASKED & {metric for _, metric, _ in results.expected}:
        yield from _decodings(results, first)


def curves(results: Results, variant: str, length: str, decoding: str = "") -> dict[int, Floats]:
    """Seed -> PCK at each of ALPHAS, of the evaluations that know the length and have the decoding."""
    held = {seed: each for (name, seed), each in sorted(results.evaluations.items()) if name == variant}
    found = {seed: curve(each, length, decoding) for seed, each in held.items()}
    return {seed: shares for seed, shares in found.items() if shares is not None}


def curve(evaluation: Evaluation, length: str, decoding: str = "") -> Floats | None:
    """PCK at each of ALPHAS, over annotated joints of people who have the length; None where it cannot be told."""
    chosen = decoding or decoding_of(evaluation) if "truth" in evaluation.units else ""
    if chosen not in evaluation.units or length not in evaluation.units:
        return None
    scale = evaluation.units[length]
    rows = is_annotated(evaluation) & has_length(scale)
    relative = np.sort(errors(evaluation, chosen)[rows] / scale[rows])
    return np.searchsorted(relative, ALPHAS, side="right") / len(relative) if len(relative) else None


def _by_variant(results: Results, length: str, decoding: str = "") -> dict[str, list[Floats]]:
    """The curves, seed by seed, of the variants that have any."""
    found = {variant: [*curves(results, variant, length, decoding).values()] for variant in results.variants}
    return {variant: shares for variant, shares in found.items() if shares}


def _panel(axes: Axes, length: str) -> None:
    axes.axvline(LENGTHS[length], color=INK, linewidth=1, alpha=0.4)
    axes.set_xlim(0, ALPHAS[-1])
    axes.set_ylim(0, 1)
    axes.set_xlabel(f"threshold (fraction of the {length})")


def _line(axes: Axes, shares: list[Floats], **look: Any) -> None:
    axes.plot(ALPHAS, np.mean(shares, axis=0), **look)
    band = {"color": look["color"], "alpha": 0.2, "linewidth": 0}
    axes.fill_between(ALPHAS, np.min(shares, axis=0), np.max(shares, axis=0), **band)


def _decodings(results: Results, length: str) -> Iterator[tuple[str, Figure]]:
    """The curves of one network read in several ways, a panel per variant."""
    from matplotlib.lines import Line2D

    read = {name: _by_variant(results, length, name) for name in DECODINGS}
    shown = [v for v in results.variants if sum(v in found for found in read.values()) > 1][:SHOWN]
    if not shown:
        return
    caption = "PCK against its threshold by how a place is read off its heatmap, a panel per variant, mean over seeds"
    figure, panels = new(3.4 * len(shown) + 0.8, 3.8, caption, 1, len(shown))
    panels[0].set_ylabel("fraction of joints found")
    colours = zip(DECODINGS.items(), (BASELINE, *COLOURS), strict=False)
    looks: dict[str, dict[str, Any]] = {name: {"color": c, "linestyle": style} for (name, style), c in colours}
    for axes, variant in zip(panels, shown, strict=True):
        _panel(axes, length)
        axes.set_title(names(results)[variant], fontsize=9)
        for name in (name for name, found in read.items() if variant in found):
            _line(axes, read[name][variant], **looks[name])
    legend_below(figure, [Line2D([], [], **look) for look in looks.values()], [*looks], columns=4)
    yield "pck_by_decoding", figure
