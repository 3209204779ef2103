"""Markers that would lie on one another, drawn a little apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

NEAR = 6.0
"""Points between the middles of two markers at which they lie on one another; each is 7 wide."""
SHIFT = 5.0
"""Points between markers that are drawn apart."""
APART = "apart"
"""The group id of what is drawn apart, by which its numbers are known to be in the units of the axes."""
REMARK = "markers on one another are drawn a little apart"
"""For the caption of a figure in which some are."""

Mark = tuple[float, float, Sequence["Artist"]]
"""The place in the units of the axes, and what is drawn there."""


@dataclass(frozen=True)
class _Group:
    """Marks that are drawn in a row about the middle of their places (x, y), which are in points."""

    marks: tuple[Mark, ...]
    places: tuple[tuple[float, float], ...]

    @property
    def middle(self) -> tuple[float, float]:
        return (fmean(x for x, _ in self.places), fmean(y for _, y in self.places))

    @property
    def half(self) -> float:
        """From the middle of the row to the middle of its last mark."""
        return (len(self.marks) - 1) / 2 * SHIFT

    def is_near(self, other: _Group) -> bool:
        """Whether a mark of one row would lie on one of the other."""
        (x, y), (x_other, y_other) = self.middle, other.middle
        return math.hypot(max(0.0, abs(x - x_other) - self.half - other.half), y - y_other) < NEAR

    def shifts(self) -> Iterator[tuple[Mark, float]]:
        """Each mark, and by how many points it is shifted to its place in the row."""
        in_order = sorted(zip(self.places, self.marks, strict=True), key=lambda each: each[0][0])
        for number, ((x, _), mark) in enumerate(in_order):
            yield mark, self.middle[0] - self.half + number * SHIFT - x


def dodge(axes: Axes, marks: Sequence[Mark]) -> bool:
    """Shift marks sideways that lie on one another, away from each other; whether there are some. Limits must be final.

    What is drawn keeps its numbers, only its place in the picture changes.
    """
    from matplotlib.transforms import ScaledTranslation

    groups = [group for group in _groups(axes, marks) if len(group.marks) > 1]
    for mark, points in (shift for group in groups for shift in group.shifts()):
        move = ScaledTranslation(points / 72, 0, axes.figure.dpi_scale_trans)
        for artist in mark[2]:
            artist.set(transform=artist.get_transform() + move, gid=APART)
    return bool(groups)


def _groups(axes: Axes, marks: Sequence[Mark]) -> list[_Group]:
    """The marks in rows of which none is near another one."""
    axes.autoscale_view()
    groups: list[_Group] = []
    for mark in marks:
        x, y = (axes.transData.transform(mark[:2]) * 72 / axes.figure.dpi).tolist()
        group = _Group((mark,), ((x, y),))
        while near := next((each for each in groups if each.is_near(group)), None):
            groups.remove(near)
            group = _Group((*near.marks, *group.marks), (*near.places, *group.places))
        groups.append(group)
    return groups


def remark(caption: str, dodged: bool) -> str:
    """The caption, with REMARK where markers were drawn apart."""
    return f"{caption}; {REMARK}" if dodged else caption
