"""The blind spot of an autoregressive network: preceding pixels that its prediction does not depend on.

It is the fraction of the preceding pixels in the bounding box of the receptive field that are not in the receptive
field. Stacks of masked convolutions have one (van den Oord et al. 2016, arXiv:1606.05328). It is computed from the
receptive field, and so from the masks.
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
"""Characters of the detail's `map`: a preceding pixel inside or outside the field, the predicted pixel, the rest."""


@metric(unit="", better="lower", kind="static", tasks=["generation"], display_name="blind spot", bounds=(0, 1))
def blind_spot(subject: Subject) -> Reading:
    """Fraction of the preceding pixels in the receptive field's bounding box that are not in the receptive field.

    Measured at a pixel whose receptive field no border cuts; at the last pixel of the order if the field is global.
    """
    model = subject.structure
    order = getattr(model, "conditioning_order", None)
    if order is None:
        return Reading(None, error=f"{type(model).__name__} has no conditioning_order, so no pixel precedes another")
    field, before = _field_and_order(model, subject.shape, order)
    if not field.exact:
        return Reading(None, error=f"the receptive field is an upper bound only: {', '.join(field.inexact)}")
    if field.box is None:
        return Reading(None, error="the prediction depends on no pixel, so its receptive field is empty")
    window = tuple(slice(start, stop) for start, stop in field.box)
    inside, due = field.mask[window], before[window]
    leaked = int((field.mask & ~before).sum()) - _depends_on_itself(field, subject.shape[0])
    if leaked:
        return Reading(None, error=f"not autoregressive: the prediction depends on {leaked} pixels that come after")
    blind = int((due & ~inside).sum())
    return Reading(blind / int(due.sum()), _detail(field, before, blind, int(due.sum())))


def _field_and_order(model: torch.nn.Module, shape: tuple[int, ...], order: Any) -> tuple[Field, np.ndarray[Any, Any]]:
    """The receptive field at a pixel, and which pixels precede it."""
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


def _depends_on_itself(field: Field, channels: int) -> int:
    """1 if the pixel is in its own field and may be: its later channels are predicted from its earlier ones."""
    return int(field.mask[field.question.place] and channels > 1)


def _detail(field: Field, before: np.ndarray[Any, Any], blind: int, causal: int) -> Mapping[str, Any]:
    """Pixel counts, and the neighbourhood of the pixel as lines of characters."""
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
