"""Curves over training steps: averaged over blocks of steps, as rows of a tidy frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bench.display.figure import names
from bench.results.results import Results

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

BLOCKS = 60
NOT_SHOWN = ("step", "lr")
LIKELIHOOD = ("bits/dim", "nats")
"""Units of losses that are a likelihood or a bound on it: they mean the same for all networks."""
APART = 2.0
"""A run whose loss ends above so many times the median of its variant's runs went another way than they did."""


def curve_frame(results: Results) -> pd.DataFrame:
    """A row (variant, seed, curve, step, value) for each block of steps, of curves with at least two blocks."""
    import pandas as pd

    return pd.DataFrame(list(_rows(results)), columns=["variant", "seed", "curve", "step", "value"])


def _rows(results: Results) -> Iterator[dict[str, Any]]:
    for variant, seed in sorted(results.evaluations, key=lambda pair: (results.variants.index(pair[0]), pair[1])):
        curves = results.evaluations[variant, seed].curves
        for name in sorted(curves.keys() - set(NOT_SHOWN)) if len(curves.get("step", ())) > 1 else ():
            points = zip(thinned(curves["step"]), thinned(curves[name]), strict=True)
            shared = {"variant": variant, "seed": seed, "curve": name}
            yield from ({**shared, "step": step, "value": value} for step, value in points)


def runs_apart(frame: pd.DataFrame) -> set[tuple[str, int]]:
    """(variant, seed) of the runs of one curve that end far above those of their variant (APART), or at no number.

    Of curves with a positive median only; of two runs none is apart, since nobody knows which.
    """
    ends = frame.sort_values("step").groupby(["variant", "seed"])["value"].agg(lambda values: values.iloc[-1])
    medians = ends.groupby("variant").transform("median")
    counts = ends.groupby("variant").transform("size")
    return {*ends[(counts > 2) & (medians > 0) & ~(ends <= APART * medians)].index.tolist()}


def peaks_above(results: Results, frame: pd.DataFrame, top: float) -> list[str]:
    """`MADE up to 6.1` for each variant with values above the end of the axis, for the caption."""
    peaks = frame[frame["value"] > top].groupby("variant", sort=False)["value"].max()
    return [f"{names(results)[str(variant)]} up to {peak:.3g}" for variant, peak in peaks.items()]


def remark_on_peaks(peaks: Sequence[str]) -> str:
    """What the caption says about values above the axis; empty where there are none."""
    return f"; peaks above the axis: {'; '.join(peaks)}" if peaks else ""


def thinned(values: np.ndarray[Any, Any], blocks: int = BLOCKS) -> list[float]:
    """Means of consecutive blocks of values (N,), at most `blocks` of them."""
    import numpy as np

    parts = np.array_split(np.asarray(values, dtype=float), min(blocks, len(values)))
    return [float(part.mean()) for part in parts]
