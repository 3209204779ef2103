"""Generalised distance transforms: the best score within reach of each place, less what the way there costs.

Felzenszwalb & Huttenlocher 2012 (Theory of Computing 8). For scores f on a grid and a spring of curvature a at rest
at an offset m, the transform is D(i) = max over x of f(x) - a (x - i - m)^2, per axis, one axis after the other.
The soft transform has log-sum-exp in place of the maximum: the sum over places in place of the best.

Both come within a limited reach, |x - i| <= reach, as a maximum over shifted maps: it takes time in proportion to
the cells, and every operator of it is plain. Without limit the maximum is found by `envelope`, also in proportion to
the cells: parabolas are put on a stack from left to right, and what a new one hides is taken off. All rows of a batch
go through it together, so each takes as many turns as the longest may need: 2n - 2 of them, in each of which a row
either puts its next parabola on or takes one off. Which parabola is on top depends on the data, so a recording of
it tells costs exactly and receptive fields as upper bounds.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Line = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Transform of the last axis: scores (..., n), curvature and offset, each (..., 1) or so, -> (..., n)."""


def transformed(scores: Tensor, curvature: Tensor, offset: Tensor, reach: int | None = None) -> Tensor:
    """D of maps (N, E, h, w), by the curvature and the offset in cells (E, 2), x then y. `reach` None is no limit."""
    return _both_axes(scores, curvature, offset, envelope if reach is None else _within(reach, torch.amax))


def softly_transformed(scores: Tensor, curvature: Tensor, offset: Tensor, reach: int | None = None) -> Tensor:
    """The soft D, as `transformed`. Without limit it compares all cells of a line with all."""
    if reach is None:
        reach = max(scores.shape[-2:]) - 1
    return _both_axes(scores, curvature, offset, _within(reach, torch.logsumexp))


def _both_axes(scores: Tensor, curvature: Tensor, offset: Tensor, line: Line) -> Tensor:
    (a_x, a_y), (m_x, m_y) = (values[:, None, None, :].unbind(-1) for values in (curvature, offset))
    rows = line(scores, a_x, m_x)
    return line(rows.transpose(-2, -1), a_y, m_y).transpose(-2, -1)


def _within(reach: int, best: Callable[..., Tensor]) -> Line:
    def line(scores: Tensor, curvature: Tensor, offset: Tensor) -> Tensor:
        reached = min(reach, scores.shape[-1] - 1)
        way = torch.arange(-reached, reached + 1, device=scores.device, dtype=scores.dtype)
        shifted = F.pad(scores, (reached, reached), value=-torch.inf).unfold(-1, 2 * reached + 1, 1)
        return best(shifted - (curvature * (way - offset) ** 2)[..., None, :], dim=-1)

    return line


def envelope(scores: Tensor, curvature: Tensor, offset: Tensor) -> Tensor:
    """D of the last axis (..., n), without limit, in time O(n) a row; curvature above 0."""
    rows, columns = scores.reshape(-1, scores.shape[-1]), scores.shape[-1]
    a, m = (values.expand(*scores.shape[:-1], 1).reshape(-1, 1) for values in (curvature, offset))
    places = torch.arange(columns, device=scores.device, dtype=scores.dtype) + m
    with torch.no_grad():
        best = _at(places, *_stacked(rows, a))
    return (rows.gather(1, best) - a * (places - best) ** 2).view(scores.shape)


def _stacked(scores: Tensor, curvature: Tensor) -> tuple[Tensor, Tensor]:
    """(places of the parabolas on the envelope, from where on each is the highest), both (R, n + 1).

    Behind the envelope's end the places are meaningless, and the beginnings infinite. The last column is scratch.
    """
    count, columns = scores.shape
    tops = torch.zeros(count, columns + 1, dtype=torch.long, device=scores.device)
    begins = torch.full((count, columns + 1), torch.inf, dtype=scores.dtype, device=scores.device)
    begins[:, :1] = -torch.inf
    level = torch.zeros(count, 1, dtype=torch.long, device=scores.device)
    place = torch.ones_like(level)
    heights = scores - curvature * torch.arange(columns, device=scores.device, dtype=scores.dtype) ** 2
    for _ in range(2 * columns - 2):
        new, top = place.clamp(max=columns - 1), tops.gather(1, level)
        waiting = place < columns
        crossing = (heights.gather(1, top) - heights.gather(1, new)) / (2 * curvature * (new - top).clamp(min=1))
        hidden = waiting & (crossing <= begins.gather(1, level))
        added = waiting & ~hidden
        # A row that takes one off clears its beginning; one that has nothing left to do writes into the scratch.
        where = torch.where(hidden, level, torch.where(added, level + 1, columns))
        begins = begins.scatter(1, where, torch.where(added, crossing, torch.inf))
        level = level + added.long() - hidden.long()
        tops = tops.scatter(1, torch.where(added, level, columns), new)
        place = place + added.long()
    return tops, begins


def _at(places: Tensor, tops: Tensor, begins: Tensor) -> Tensor:
    """The parabola that is highest at each of the places (R, n), which lie one apart."""
    columns = places.shape[1]
    first = (begins[:, 1:columns] - places[:, :1]).ceil().clamp(min=0, max=columns).long()
    counts = torch.zeros(len(places), columns + 1, dtype=torch.long, device=places.device)
    counts = counts.scatter_add(1, first, torch.ones_like(first))
    return tops.gather(1, counts[:, :columns].cumsum(1))
