"""Axes of receptive fields: sizes in px, and a place of its own for a global one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.analysis.summary import Aggregate, Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GLOBAL = 1.25
"""Position of a global receptive field, as a multiple of the widest that is not global."""
ROOM = 0.06
"""Left and right of the axis, as a fraction of it: half of a marker."""


@dataclass(frozen=True)
class ReceptiveFieldAxis:
    """Sides of receptive fields in px by variant; None is global.

    `reference` is a size that is drawn too, such as that of the least receptive field that contains the cue; 0 for
    none. What is global contains it, and has its place beyond it.
    """

    sides: Mapping[str, float | None]
    reference: float = 0.0

    @property
    def widest(self) -> float:
        """Of the receptive fields that are not global, and of the reference; 1 where there is neither."""
        return max([side for side in self.sides.values() if side is not None] + [self.reference]) or 1.0

    def position(self, variant: str) -> float:
        """Of the variant on the axis."""
        return self.place(self.sides[variant])

    def place(self, side: float | None) -> float:
        """Of a side on the axis."""
        return GLOBAL * self.widest if side is None else side

    def fit(self, axes: Axes) -> None:
        """Limits around whole markers from 0 on; a tick `global` beyond the sizes where a receptive field is global."""
        unbounded = None in self.sides.values()
        end = self.place(None) if unbounded else self.widest
        axes.set_xlim(-ROOM * end, (1 + ROOM) * end)
        ticks = [tick for tick in axes.get_xticks() if 0 <= tick < (0.85 * end if unbounded else (1 + ROOM) * end)]
        names = [f"{tick:g}" for tick in ticks]
        axes.set_xticks([*ticks, end] if unbounded else ticks, [*names, "global"] if unbounded else names)


def sides_of(summary: Summary, metric: str, score: str) -> dict[str, float | None]:
    """Side of each variant's receptive field in px, of the variants that have the score; None where it is global."""
    scored = {aggregate.variant for aggregate in summary.measured(score)}
    return {a.variant: _side(a) for a in summary.of(metric) if a.answered and a.variant in scored}


def _side(aggregate: Aggregate) -> float | None:
    """The side of the square from the detail, where it has one: an effective receptive field's value is a radius."""
    side = aggregate.details[0].get("side") if aggregate.details else None
    return aggregate.value if side is None else float(side)
