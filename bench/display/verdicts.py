"""How verdicts look in figures: a colour and a shape each, so that neither is needed alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bench.analysis.deltas import Delta
from bench.display.figure import BASELINE, COLOURS, INK


@dataclass(frozen=True)
class VerdictLook:
    """Colour and marker of a difference; `filled` where it is decided."""

    colour: str
    marker: str
    filled: bool
    word: str

    @property
    def marks(self) -> dict[str, Any]:
        """As `Axes.plot` and `Line2D` take them."""
        face = self.colour if self.filled else "none"
        return {"color": self.colour, "marker": self.marker, "markerfacecolor": face, "markeredgewidth": 1.5}


BASE = VerdictLook(BASELINE, "o", True, "baseline")
LOOKS = {
    "better": VerdictLook(COLOURS[0], "^", True, "better"),
    "worse": VerdictLook(COLOURS[1], "v", True, "worse"),
    "changed": VerdictLook(COLOURS[2], "D", True, "changed"),
    "equivalent": VerdictLook(BASELINE, "s", True, "equivalent"),
    "same": VerdictLook(BASELINE, "s", True, "same"),
    "inconclusive": VerdictLook(INK, "o", False, "inconclusive"),
    "within noise": VerdictLook(INK, "s", False, "within noise"),
}
UNTESTED = VerdictLook(INK, "X", False, "not tested")


def look_of_verdict(delta: Delta | None) -> VerdictLook:
    """The look of a difference; of one without a verdict that it is not tested."""
    return LOOKS.get(delta.verdict or "", UNTESTED) if delta else UNTESTED


def legend_entries(looks: Iterable[VerdictLook]) -> dict[str, Any]:
    """Word -> handle of a legend, each once."""
    from matplotlib.lines import Line2D

    return {look.word: Line2D([], [], linestyle="none", markersize=6, **look.marks) for look in looks}
