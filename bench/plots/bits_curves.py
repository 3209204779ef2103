"""Bits per dimension of generative models over training steps, with the entropy of the data where it is known."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bench.display.curves import BLOCKS, LIKELIHOOD, curve_frame, peaks_above, remark_on_peaks
from bench.display.figure import BASELINE, WIDTH, dashes, new, palette, seaborn
from bench.display.legend import line_legend
from bench.display.seeds import evaluation_notes
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Evaluations = Mapping[tuple[str, int], Evaluation]

HEADROOM = 1.5
"""Upper limit of the axis, as a multiple of the last nine tenths: the first steps would flatten the rest."""
ENTROPY: Mapping[str, Any] = {"color": BASELINE, "linestyle": (0, (6, 3)), "linewidth": 1.2}


@plot(order=31)
def bits_curves(results: Results) -> Iterator[tuple[str, Figure]]:
    """Training bits per dimension of networks whose loss is a bound or a likelihood, with the data's entropy."""
    evaluations = {key: e for key, e in sorted(results.evaluations.items()) if e.facts.get("loss_unit") in LIKELIHOOD}
    frame = _frame(results, evaluations)
    if frame.empty:
        return
    caption = (
        f"Bits per dimension of training batches over steps, a line per seed, averaged over {BLOCKS} blocks of steps"
    )
    figure, (axes,) = new(WIDTH, 2.8, caption)
    _lines(axes, results, frame)
    entropy = next(iter(evaluations.values())).facts.get("optimum", {}).get("bits_per_dim")
    low, high = _limits(frame, entropy)
    axes.set_ylim(low, high)
    figure.set_label(caption + remark_on_peaks(peaks_above(results, frame, high)))
    axes.set_xlabel("step")
    axes.set_ylabel("bits/dim")
    lines = {} if entropy is None else {f"entropy of the data, {entropy:.4f}": ENTROPY}
    if lines:
        axes.axhline(entropy, **ENTROPY)
    line_legend(figure, results, [*frame["variant"].unique()], evaluation_notes(results), lines)
    yield "bits_curves", figure


def _limits(frame: pd.DataFrame, entropy: float | None) -> tuple[float, float]:
    """From below the least of all values and the entropy to HEADROOM times the greatest of the last nine tenths."""
    late = frame[frame.groupby(["variant", "seed"])["step"].rank(pct=True) > 0.1]
    values = [*frame["value"], *([] if entropy is None else [entropy])]
    low, high = min(values), late["value"].max() * HEADROOM
    return low - 0.08 * (high - low), high


def _frame(results: Results, evaluations: Evaluations) -> pd.DataFrame:
    """The losses of these evaluations in bits per dimension."""
    frame = curve_frame(results)
    factors = {key: _factor(evaluation) for key, evaluation in evaluations.items()}
    keys = list(zip(frame["variant"], frame["seed"], strict=True))
    frame["value"] *= [factors.get(key, math.nan) for key in keys]
    return frame[(frame["curve"] == "loss") & frame["value"].notna()]


def _factor(evaluation: Evaluation) -> float:
    """From the unit of the loss to bits per dimension."""
    nats = evaluation.facts["loss_unit"] == "nats"
    return 1 / (math.log(2) * evaluation.facts["dims"]) if nats else 1.0


def _lines(axes: Axes, results: Results, frame: pd.DataFrame) -> None:
    seeds = {"units": "seed", "estimator": None, "legend": False, "linewidth": 1.4}
    who = {"hue": "variant", "palette": palette(results), "style": "variant", "dashes": dashes(results)}
    with seaborn() as sns:
        sns.lineplot(frame, x="step", y="value", ax=axes, **seeds, **who)
