"""Markers that would lie on one another, drawn a little apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
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


def dodge(axes: Axes, marks: Sequence[Mark]) -> bool:
    """Shift marks sideways that lie on one another, away from each other; whether there are some. Limits must be final.

    What is drawn keeps its numbers, only its place in the picture changes.
    """
    from matplotlib.transforms import ScaledTranslation

    groups = [group for group in _groups(axes, marks) if len(group) > 1]
    for group in groups:
        for number, (_, _, artists) in enumerate(sorted(group, key=lambda mark: mark[0])):
            inches = (number - (len(group) - 1) / 2) * SHIFT / 72
            move = ScaledTranslation(inches, 0, axes.figure.dpi_scale_trans)
            for artist in artists:
                artist.set(transform=artist.get_transform() + move, gid=APART)
    return bool(groups)


def _groups(axes: Axes, marks: Sequence[Mark]) -> list[list[Mark]]:
    """The marks by place: each with the first other one that is NEAR."""
    axes.autoscale_view()
    groups: dict[tuple[float, float], list[Mark]] = {}
    for mark in marks:
        x, y = (axes.transData.transform(mark[:2]) * 72 / axes.figure.dpi).tolist()
        near = (place for place in groups if math.dist(place, (x, y)) < NEAR)
        groups.setdefault(next(near, (x, y)), []).append(mark)
    return [*groups.values()]


def remark(caption: str, dodged: bool) -> str:
    """The caption, with REMARK where markers were drawn apart."""
    return f"{caption}; {REMARK}" if dodged else caption
