"""Losses and other curves of training, a panel for each training objective."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bench.display.curves import BLOCKS, curve_frame
from bench.display.figure import dashes, log_ticks, names, palette, seaborn, stacked, wrapped
from bench.display.legend import line_legend
from bench.display.names import axis_text
from bench.display.seeds import evaluation_notes
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOSS_AXIS = "loss"
"""The axis by which architectures choose a loss, by convention."""


@plot(order=30)
def training_curves(results: Results) -> Iterator[tuple[str, Figure]]:
    """Training curves: the mean over seeds with their range, averaged over blocks of steps.

    Losses of different objectives have panels of their own: their values cannot be compared.
    """
    frame = curve_frame(results)
    if frame.empty:
        return
    frame["objective"] = frame["variant"].map(objectives(results))
    panels = list(dict.fromkeys(zip(frame["curve"], frame["objective"])))
    figure, grid = stacked(len(panels), 2.7, _caption(results, frame, panels))
    for axes, (curve, objective) in zip(grid, panels, strict=True):
        _panel(axes, results, frame[(frame["curve"] == curve) & (frame["objective"] == objective)])
        axes.set_ylabel(curve)
        axes.set_title(wrapped(objective, 46, 46))
    line_legend(figure, results, [*frame["variant"].unique()], evaluation_notes(results))
    yield "training_curves", figure


def _caption(results: Results, frame: pd.DataFrame, panels: Sequence[tuple[str, str]]) -> str:
    curves = ", ".join(dict.fromkeys(curve for curve, _ in panels))
    several = "; a panel for each training objective, since their losses cannot be compared"
    return (
        f"Training curves ({curves}) over steps: mean over the seeds, band from the lowest to the highest seed, each "
        f"training run averaged over {BLOCKS} blocks of steps{several if frame['objective'].nunique() > 1 else ''}"
    )


def objectives(results: Results) -> dict[str, str]:
    """Variant -> a title for its training objective; the same for variants that are trained on the same loss.

    Objectives differ where the digest of the network's own loss, the unit of the loss, or the axis `loss` does. All
    titles are empty where there is only one objective.
    """
    digests = {variant.name: signature.objective for variant, signature in results.signatures.items()}
    units: dict[str, str] = {}
    for (variant, _), evaluation in sorted(results.evaluations.items()):
        units.setdefault(variant, str(evaluation.facts.get("loss_unit") or ""))
    keys = {v: (digests.get(v, ""), units.get(v, ""), _loss(results, v)) for v in results.variants}
    groups: dict[tuple[str, str, str], list[str]] = {}
    for variant, key in keys.items():
        groups.setdefault(key, []).append(variant)
    titles = {key: _title(results, key, group) if len(groups) > 1 else "" for key, group in groups.items()}
    return {variant: titles[key] for variant, key in keys.items()}


def _loss(results: Results, variant: str) -> str:
    return axis_text(results, variant, LOSS_AXIS) if LOSS_AXIS in results.varied else ""


def _title(results: Results, key: tuple[str, str, str], variants: Sequence[str]) -> str:
    """The variants of an objective, by its unit and loss where they state it, else by their names."""
    _, unit, loss = key
    texts = names(results)
    labelled = set(variants) <= results.labels.keys()  # which say it in the ablation's words
    stated = ", ".join(part for part in (f"{LOSS_AXIS}={loss}" if loss and not labelled else "", unit) if part)
    listed = "; ".join(texts[variant] for variant in variants[:2]) + ("; ..." if len(variants) > 2 else "")
    return f"{stated}: {listed}" if stated else listed


def _panel(axes: Axes, results: Results, frame: pd.DataFrame) -> None:
    band: dict[str, Any] = {"errorbar": ("pi", 100), "err_kws": {"alpha": 0.18, "linewidth": 0}}
    who = {"hue": "variant", "palette": palette(results), "style": "variant", "dashes": dashes(results)}
    with seaborn() as sns:
        sns.lineplot(frame, x="step", y="value", ax=axes, linewidth=1.8, **band, **who, legend=False)
    least, greatest = frame["value"].min(), frame["value"].max()
    if least > 0 and greatest / least > 10:
        axes.set_yscale("log")
        log_ticks(axes.yaxis)
