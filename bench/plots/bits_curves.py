"""How the bits per dimension of generative models fall in training, and how low they can."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.display.figure import BASELINE, legend_height, new, styles, variant_legend
from bench.plots.training_curves import thinned
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


UNITS = ("bits/dim", "nats")
"""Of losses that are a likelihood or a bound; other losses can't be drawn against an entropy."""
HEADROOM = 1.5
"""How far above the last nine tenths the axis ends: the fall of the first steps would flatten the rest."""


@plot(order=31)
def bits_curves(results: Results) -> Iterator[tuple[str, Figure]]:
    """Training bits per dimension of networks whose loss is a bound or a likelihood, with the data's entropy."""
    held = {key: e for key, e in sorted(results.evaluations.items()) if e.facts.get("loss_unit") in UNITS}
    if not held:
        return
    text = "Bits per dimension of training batches over steps, a line for each seed, averaged over blocks of steps"
    figure, (axes,) = new(8.2, 3.4 + legend_height(results), text)
    looks, late = styles(results), []
    for (variant, _), evaluation in held.items():
        late += _line(axes, evaluation, looks[variant]["color"])
    axes.set_ylim(top=max(late) * HEADROOM)
    _floor(axes, next(iter(held.values())))
    axes.set_xlabel("step")
    axes.set_ylabel("bits/dim")
    drawn = {variant for variant, _ in held}
    variant_legend(figure, results, [v for v in results.variants if v in drawn], marker="", linewidth=1.8)
    yield "bits_curves", figure


def _line(axes: Axes, evaluation: Evaluation, colour: Any) -> list[float]:
    """Draws a seed's curve; what it comes to in the last nine tenths."""
    nats = evaluation.facts["loss_unit"] == "nats"
    factor = 1 / (math.log(2) * evaluation.facts["dims"]) if nats else 1.0
    values = [factor * value for value in thinned(evaluation.curves["loss"])]
    axes.plot(thinned(evaluation.curves["step"]), values, color=colour, linewidth=1.4)
    return values[len(values) // 10 :]


def _floor(axes: Axes, evaluation: Evaluation) -> None:
    """A line at the entropy, where it is known."""
    entropy = evaluation.facts.get("optimum", {}).get("bits_per_dim")
    if entropy is None:
        return
    low, high = axes.get_ylim()
    axes.set_ylim(bottom=min(low, entropy - 0.08 * (high - entropy)))
    axes.axhline(entropy, color=BASELINE, linestyle="--", linewidth=1.2)
    axes.annotate(
        f"entropy {entropy:.4f}", (1, entropy), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=9
    )
