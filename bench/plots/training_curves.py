"""Losses and other curves of training; losses that cannot be compared have panels of their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.display.curves import BLOCKS, LIKELIHOOD, curve_frame, peaks_above, remark_on_peaks, runs_apart
from bench.display.figure import dashes, in_order, line_looks, log_ticks, names, palette, seaborn, stacked, wrapped
from bench.display.legend import line_legend
from bench.display.names import axis_text
from bench.display.pictures import first_evaluations
from bench.display.seeds import evaluation_notes
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOSS_AXIS = "loss"
"""The axis by which architectures choose a loss, by convention."""
TASK_UNITS: Mapping[str, str] = {"segmentation": "cross-entropy per pixel"}
"""Of tasks whose own loss means the same for every network; that of poses depends on the form of the output."""
ALL_BUT_PEAKS, HEADROOM = 0.99, 1.5
"""An axis ends at most at HEADROOM times the quantile ALL_BUT_PEAKS of the values."""
HIGH, LOW = 2.7, 1.9
"""Inches of a panel, and of each of more than three."""
Key = tuple[str, ...]


@dataclass(frozen=True)
class Remarks:
    """What the caption says about a panel: runs that went another way, and peaks that are cut."""

    apart: tuple[str, ...]
    cut: tuple[str, ...]


@plot(order=30)
def training_curves(results: Results) -> Iterator[tuple[str, Figure]]:
    """Training curves: the mean over seeds with their range, averaged over blocks of steps.

    Losses whose values cannot be compared have panels of their own.
    """
    frame = curve_frame(results)
    if frame.empty:
        return
    order = {variant: place for place, variant in enumerate(in_order(results))}
    frame = frame.sort_values("variant", key=lambda column: column.map(order), kind="stable")
    frame["objective"] = frame["variant"].map(objectives(results))
    panels = list(dict.fromkeys(zip(frame["curve"], frame["objective"])))
    figure, grid = stacked(len(panels), HIGH if len(panels) < 4 else LOW, "")
    remarks = []
    for axes, (curve, objective) in zip(grid, panels, strict=True):
        rows = frame[(frame["curve"] == curve) & (frame["objective"] == objective)]
        remarks.append(_panel(axes, results, rows))
        axes.set_ylabel(curve)
        axes.set_title(wrapped(objective, 46, 46))
    figure.set_label(_caption(frame, panels, remarks))
    line_legend(figure, results, [*frame["variant"].unique()], evaluation_notes(results))
    yield "training_curves", figure


def _caption(frame: pd.DataFrame, panels: Sequence[tuple[str, str]], remarks: Sequence[Remarks]) -> str:
    curves = ", ".join(dict.fromkeys(curve for curve, _ in panels))
    several = "; losses that cannot be compared have panels of their own" if frame["objective"].nunique() > 1 else ""
    apart = "; ".join(text for each in remarks for text in each.apart)
    peaks = remark_on_peaks([text for each in remarks for text in each.cut])
    runs = f"; thin lines, in neither mean nor band: {apart}" if apart else ""
    return (
        f"Training curves ({curves}) over steps: mean over the seeds, band from the lowest to the highest seed, each "
        f"training run averaged over {BLOCKS} blocks of steps{several}{runs}{peaks}"
    )


def objectives(results: Results) -> dict[str, str]:
    """Variant -> a title for its training loss; the same for variants whose losses can be compared.

    Likelihoods in one unit can be compared, and so can a task's own loss where it means the same for every network.
    Others can where the digest of the network's own loss, the axis `loss`, the architecture and the kinds of outputs
    are equal. All titles are empty where all losses can be compared.
    """
    digests = {variant.name: signature.objective for variant, signature in results.signatures.items()}
    firsts = first_evaluations(results)
    groups: dict[Key, list[str]] = {}
    for variant in in_order(results):
        key = _key(results, variant, digests.get(variant, ""), firsts.get(variant))
        groups.setdefault(key, []).append(variant)
    titles = _titles(results, groups)
    return {variant: titles[key] for key, group in groups.items() for variant in group}


def _key(results: Results, variant: str, digest: str, evaluation: Evaluation | None) -> Key:
    """What losses that can be compared have in common; its first part is the unit, empty where there is none."""
    unit = str(evaluation.facts.get("loss_unit") or "") if evaluation else ""
    if unit in LIKELIHOOD:
        return (unit,)
    loss = axis_text(results, variant, LOSS_AXIS) if LOSS_AXIS in results.varied else ""
    own = TASK_UNITS.get(evaluation.task, "") if evaluation and not digest else ""
    return (own, loss) if own else (unit, loss, variant.partition("(")[0], digest, *_outputs(evaluation))


def _outputs(evaluation: Evaluation | None) -> list[str]:
    """What is stored of a network's outputs: other names for coordinates than for maps, and one for each stage."""
    return sorted({*evaluation.summaries, *evaluation.samples}) if evaluation else []


def _titles(results: Results, groups: Mapping[Key, Sequence[str]]) -> Mapping[Key, str]:
    """The unit and the loss of each group where they state which one it is, else the names of its variants."""
    if len(groups) < 2:
        return dict.fromkeys(groups, "")
    stated = {key: ", ".join(_stated(key, set(group) <= results.labels.keys())) for key, group in groups.items()}
    counts = Counter(stated.values())
    texts = names(results)
    listed = {key: "; ".join(texts[variant] for variant in group) for key, group in groups.items()}
    return {
        key: text if text and counts[text] == 1 else ": ".join(part for part in (text, listed[key]) if part)
        for key, text in stated.items()
    }


def _stated(key: Key, labelled: bool) -> list[str]:
    """The loss, unless labels say it in the ablation's words, and the unit."""
    unit, loss = (*key, "")[:2]
    return [part for part in (f"{LOSS_AXIS}={loss}" if loss and not labelled else "", unit) if part]


def _panel(axes: Axes, results: Results, frame: pd.DataFrame) -> Remarks:
    """Mean and band of each variant, and thin lines of runs that went another way."""
    apart = sorted(runs_apart(frame))
    single = frame.set_index(["variant", "seed"]).index.isin(apart)
    usual = frame[~single]
    band: dict[str, Any] = {"errorbar": ("pi", 100), "err_kws": {"alpha": 0.18, "linewidth": 0}}
    who = {"hue": "variant", "palette": palette(results), "style": "variant", "dashes": dashes(results)}
    with seaborn() as sns:
        sns.lineplot(usual, x="step", y="value", ax=axes, linewidth=1.8, **band, **who, legend=False)
    cut = _scale(axes, results, usual)
    looks = line_looks(results)
    for variant, seed in apart:
        run = frame[(frame["variant"] == variant) & (frame["seed"] == seed)]
        axes.plot(run["step"], run["value"], **looks[variant], linewidth=0.8, scaley=False)
    return Remarks(tuple(_apart(results, frame, *run) for run in apart), tuple(cut))


def _scale(axes: Axes, results: Results, frame: pd.DataFrame) -> list[str]:
    """Logarithmic where the shown values differ tenfold; peaks that would flatten the rest are cut, and returned."""
    least, greatest = frame["value"].min(), frame["value"].max()
    top = HEADROOM * float(frame["value"].quantile(ALL_BUT_PEAKS))
    cut = least > 0 and greatest > top
    if least > 0 and min(top, greatest) / least > 10:
        axes.set_yscale("log")
        log_ticks(axes.yaxis)
    if not cut:
        return []
    axes.set_ylim(0.9 * least if axes.get_yscale() == "log" else least - 0.05 * (top - least), top)
    return peaks_above(results, frame, top)


def _apart(results: Results, frame: pd.DataFrame, variant: str, seed: int) -> str:
    """`seed 1 of MADE, which ends at 0.83 (median of its variant 0.19)`."""
    own = frame[frame["variant"] == variant]
    ends = own.sort_values("step").groupby("seed")["value"].agg(lambda values: values.iloc[-1])
    end, middle = f"{ends[seed]:.3g}", f"{ends.median():.3g}"
    return f"seed {seed} of {names(results)[variant]}, which ends at {end} (median of its variant: {middle})"
