"""The blind spot of an autoregressive network: what it misses of the pixels before.

Of all pixels before the one that is predicted, and within the rectangle that its receptive field spans, the share
that the field does not hold. Stacks of masked convolutions have one (van den Oord et al. 2016, arXiv:1606.05328);
it is read from the receptive field, so from the masks themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.hardware.subject import Subject
from bench.metrics.receptive_field import Field, receptive_field
from bench.registry import metric
from bench.results.measurement import Reading

if TYPE_CHECKING:
    import torch

SEEN, BLIND, ITSELF, AFTER = "+", "o", "x", "."
"""How pixels are written in the detail's `map`: before and seen, before and not seen, the pixel, the rest."""


@metric(unit="", better="lower", kind="static", tasks=["generation"], display_name="blind spot")
def blind_spot(subject: Subject) -> Reading:
    """Fraction of the pixels before, within the span of the receptive field, that a prediction does not see.

    At a pixel whose field no border cuts; where the field is global, at the last pixel of the order.
    """
    model = subject.structure
    order = getattr(model, "conditioning_order", None)
    if order is None:
        return Reading(None, error=f"{type(model).__name__} has no conditioning_order: nothing comes before a pixel")
    field, before = _looked(model, subject.shape, order)
    if not field.exact:
        return Reading(None, error=f"the receptive field is an upper bound only: {', '.join(field.inexact)}")
    if field.box is None:
        return Reading(None, error="a prediction sees no pixel at all, so its field spans nothing")
    window = tuple(slice(start, stop) for start, stop in field.box)
    seen, due = field.mask[window], before[window]
    leaked = int((field.mask & ~before).sum()) - _sees_itself(field, subject.shape[0])
    if leaked:
        return Reading(None, error=f"{leaked} pixels are seen that come after: the network is not autoregressive")
    blind = int((due & ~seen).sum())
    return Reading(blind / int(due.sum()), _detail(field, before, blind, int(due.sum())))


def _looked(model: torch.nn.Module, shape: tuple[int, ...], order: Any) -> tuple[Field, np.ndarray[Any, Any]]:
    """The field at a pixel, and which pixels come before it."""
    size = receptive_field(model, shape).size
    if size is None:
        ranks = order(*shape[1:]).cpu().numpy()
        place: tuple[int, ...] = divmod(int(ranks.argmax()), ranks.shape[1])
    else:
        sides = size if isinstance(size, tuple) else (size, size)
        shape = (shape[0], *(2 * side + 1 for side in sides))
        ranks = order(*shape[1:]).cpu().numpy()
        place = tuple(sides)
    return receptive_field(model, shape, position=place), ranks < ranks[place]


def _sees_itself(field: Field, channels: int) -> int:
    """1 where the pixel is in its own field as it may be: later channels are predicted from the earlier ones."""
    return int(field.mask[field.question.place] and channels > 1)


def _detail(field: Field, before: np.ndarray[Any, Any], blind: int, causal: int) -> Mapping[str, Any]:
    """Counts, and the pixels around as lines of characters, the window of all that is before and in the span."""
    (top, bottom), (left, right) = field.box or ((0, 0), (0, 0))
    y, x = field.question.place
    rows = slice(min(top, y), max(bottom, y + 1))
    columns = slice(min(left, x), max(right, x + 1))
    span = np.zeros_like(before)
    span[top:bottom, left:right] = True
    marks = np.where(before & span, np.where(field.mask, SEEN, BLIND), AFTER)
    marks[y, x] = ITSELF
    lines = ["".join(line) for line in marks[rows, columns]]
    return {"blind": blind, "before": causal, "seen": causal - blind, "map": lines}
