"""How training went."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bench.display.figure import legend_height, log_ticks, new, styles, variant_legend
from bench.registry import plot
from bench.results.results import Results

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLOCKS = 60
NOT_SHOWN = ("step", "lr")


@plot(order=30)
def training_curves(results: Results) -> Iterator[tuple[str, Figure]]:
    """Training curves: the mean over seeds with their range, averaged over blocks of steps."""
    import pandas as pd

    frame = pd.DataFrame(_rows(results))
    if frame.empty:
        return
    names = list(dict.fromkeys(frame["curve"]))
    shown = [variant for variant in results.variants if variant in set(frame["variant"])]
    caption = (
        f"{', '.join(names)} over training steps: mean over the seeds, band from the least to the greatest "
        f"of them, after averaging each run over {BLOCKS} blocks of steps"
    )
    figure, panels = new(8.2, 3.2 * len(names) + legend_height(results), caption, rows=len(names))
    for axes, name in zip(panels, names, strict=True):
        _panel(axes, results, frame[frame["curve"] == name])
        axes.set_ylabel(name)
    variant_legend(figure, results, shown, marker="", linewidth=1.8)
    yield "training_curves", figure


def _rows(results: Results) -> Iterator[dict[str, Any]]:
    for variant, seed in sorted(results.evaluations, key=lambda pair: (results.variants.index(pair[0]), pair[1])):
        curves = results.evaluations[variant, seed].curves
        for name in sorted(curves.keys() - set(NOT_SHOWN)) if "step" in curves else ():
            points = zip(thinned(curves["step"]), thinned(curves[name]), strict=True)
            yield from ({"variant": variant, "curve": name, "step": step, "value": value} for step, value in points)


def thinned(values: np.ndarray[Any, Any], blocks: int = BLOCKS) -> list[float]:
    """Means of consecutive blocks, at most so many."""
    import numpy as np

    parts = np.array_split(np.asarray(values, dtype=float), min(blocks, len(values)))
    return [float(part.mean()) for part in parts]


def _panel(axes: Axes, results: Results, frame: pd.DataFrame) -> None:
    import seaborn as sns

    colours = {variant: look["color"] for variant, look in styles(results).items()}
    band: dict[str, Any] = {"errorbar": ("pi", 100), "err_kws": {"alpha": 0.18, "linewidth": 0}}
    who = {"hue": "variant", "hue_order": results.variants, "palette": colours, "legend": False}
    sns.lineplot(frame, x="step", y="value", ax=axes, linewidth=1.8, **band, **who)
    least, greatest = frame["value"].min(), frame["value"].max()
    if least > 0 and greatest / least > 10:
        axes.set_yscale("log")
        log_ticks(axes.yaxis)
