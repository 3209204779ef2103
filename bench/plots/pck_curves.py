"""PCK against its threshold: the fraction of joints within a distance from the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bench.display.figure import COLOURS, DASHES, INK, dashes, palette, seaborn, stacked, titles
from bench.display.legend import legend_below, line_legend
from bench.display.seeds import evaluation_notes
from bench.registry import plot
from bench.results.measurement import Evaluation
from bench.results.results import Results
from bench.tasks import keypoints
from bench.tasks.keypoints import ALPHAS, DECODING_NAMES, LENGTHS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COMPARING = {f"error_{name}" for name in DECODING_NAMES}
"""An ablation with one of these metrics compares ways to read a position off a heatmap."""
SHOWN = 3
"""Variants whose decodings are drawn at most."""


@plot(order=28)
def pck_curves(results: Results) -> Iterator[tuple[str, Figure]]:
    """PCK against its threshold, of each variant; and by decoding, where an ablation compares decodings."""
    frames = {length: frame for length in LENGTHS if not (frame := curve_frame(results, length)).empty}
    if not frames:
        return
    caption = (
        "Fraction of joints within a distance from the truth, against the distance as a fraction of the person's "
        f"{' or '.join(frames)}; a line per variant (mean over the seeds, band: from the lowest to the highest); "
        "vertical line: the threshold of PCK@0.2 or PCKh@0.5"
    )
    figure, panels = stacked(len(frames), 2.7, caption)
    look = {"hue": "variant", "style": "variant", "palette": palette(results), "dashes": dashes(results)}
    for axes, (length, frame) in zip(panels, frames.items(), strict=True):
        _panel(axes, length, frame, look)
    variants = {variant for frame in frames.values() for variant in frame["variant"]}
    line_legend(figure, results, [*variants], evaluation_notes(results))
    yield "pck_curves", figure
    if COMPARING & {metric for _, metric, _ in results.expected}:
        yield from _decodings(results, next(iter(frames)))


def curve_frame(results: Results, length: str, decoding: str = "") -> pd.DataFrame:
    """A row (variant, seed, alpha, fraction) for each threshold, of the evaluations with this length and decoding."""
    import pandas as pd

    rows = []
    for (variant, seed), evaluation in sorted(results.evaluations.items()):
        fractions = curve(evaluation, length, decoding)
        points = () if fractions is None else zip(ALPHAS.tolist(), fractions.tolist(), strict=True)
        rows += [{"variant": variant, "seed": seed, "alpha": alpha, "fraction": f} for alpha, f in points]
    return pd.DataFrame(rows, columns=["variant", "seed", "alpha", "fraction"])


def curve(evaluation: Evaluation, length: str, decoding: str = "") -> keypoints.Floats | None:
    """PCK at each of ALPHAS; by default of the decoding that accuracy is read from. None where it is not known."""
    names = (decoding,) if decoding else (keypoints.REGRESSED, keypoints.DECODING)
    arrays = (evaluation.summaries.get(f"pck:{length}:{name}") for name in names)
    return next((values for values in arrays if values is not None), None)


def _panel(axes: Axes, length: str, frame: pd.DataFrame, look: Mapping[str, Any]) -> None:
    band: dict[str, Any] = {"errorbar": ("pi", 100), "err_kws": {"alpha": 0.18, "linewidth": 0}}
    with seaborn() as sns:
        sns.lineplot(frame, x="alpha", y="fraction", ax=axes, linewidth=1.8, **band, **look, legend=False)
    axes.axvline(LENGTHS[length], color=INK, linewidth=1, alpha=0.4)
    axes.set_xlim(0, ALPHAS[-1])
    axes.set_ylim(0, 1)
    axes.set_ylabel("fraction of joints")
    axes.set_xlabel(f"threshold (fraction of the {length})")


def _decodings(results: Results, length: str) -> Iterator[tuple[str, Figure]]:
    """The curves of one network by decoding, a panel per variant."""
    import pandas as pd

    frames = [curve_frame(results, length, name).assign(decoding=name) for name in DECODING_NAMES]
    frame = pd.concat([each for each in frames if not each.empty])
    counts = frame.groupby("variant")["decoding"].nunique()
    shown = [variant for variant in results.variants if counts.get(variant, 0) > 1][:SHOWN]
    if not shown:
        return
    caption = "PCK against its threshold by decoding of the heatmap, a panel per variant, mean over the seeds"
    figure, panels = stacked(len(shown), 2.7, caption)
    texts, notes = titles(results), evaluation_notes(results)
    for axes, variant in zip(panels, shown, strict=True):
        _panel(axes, length, frame[frame["variant"] == variant], _decoding_look())
        axes.set_title(f"{texts[variant]}\n({notes[variant]})" if variant in notes else texts[variant])
    _legend(figure, [name for name in DECODING_NAMES if name in set(frame["decoding"])])
    yield "pck_by_decoding", figure


def _decoding_look() -> dict[str, Any]:
    colours = dict(zip(DECODING_NAMES, COLOURS))
    return {"hue": "decoding", "style": "decoding", "palette": colours, "dashes": dict(zip(DECODING_NAMES, DASHES))}


def _legend(figure: Figure, shown: list[str]) -> None:
    from matplotlib.lines import Line2D

    looks = {name: (colour, dash) for name, colour, dash in zip(DECODING_NAMES, COLOURS, DASHES)}
    patterns: dict[str, Any] = {name: (0, dash) if dash else "-" for name, (_, dash) in looks.items()}
    handles = [Line2D([], [], color=looks[name][0], linestyle=patterns[name]) for name in shown]
    legend_below(figure, handles, shown)
