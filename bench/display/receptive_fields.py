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


@dataclass(frozen=True)
class ReceptiveFieldAxis:
    """Sides of receptive fields in px by variant; None is global."""

    sides: Mapping[str, float | None]

    @property
    def widest(self) -> float:
        """Of the receptive fields that are not global; 1 where all are."""
        return max((side for side in self.sides.values() if side is not None), default=1.0)

    def position(self, variant: str) -> float:
        """Of the variant on the axis."""
        side = self.sides[variant]
        return GLOBAL * self.widest if side is None else side

    def fit(self, axes: Axes) -> None:
        """Limits from 0; a tick `global` beyond the sizes where a receptive field is global."""
        end = GLOBAL * self.widest
        if None not in self.sides.values():
            axes.set_xlim(0, self.widest * 1.08)
            return
        axes.set_xlim(0, end * 1.06)
        ticks = [tick for tick in axes.get_xticks() if 0 <= tick < 0.85 * end]
        axes.set_xticks([*ticks, end], [*(f"{tick:g}" for tick in ticks), "global"])


def sides_of(summary: Summary, metric: str, score: str) -> dict[str, float | None]:
    """Side of each variant's receptive field in px, of the variants that have the score; None where it is global."""
    scored = {aggregate.variant for aggregate in summary.measured(score)}
    return {a.variant: _side(a) for a in summary.of(metric) if a.answered and a.variant in scored}


def _side(aggregate: Aggregate) -> float | None:
    """The side of the square from the detail, where it has one: an effective receptive field's value is a radius."""
    side = aggregate.details[0].get("side") if aggregate.details else None
    return aggregate.value if side is None else float(side)
