"""Receptive fields on an unbounded input."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product

import numpy as np

from bench.structure.growth import STEP, Growth, growth
from bench.structure.nodes import StructureError, UnrolledError
from bench.structure.question import Question

Size = int | tuple[int, ...] | None

ENLARGEMENTS = (STEP, 4 * STEP)
"""Pixels by which the input is enlarged along each axis where all strides divide them; else by multiples of them."""
MOST_PHASES = 1024
MOST_TOKENS = 512
"""Phases of a row of tokens that are looked at: the rows of an image do not repeat along it."""


@dataclass(frozen=True)
class Phases:
    """Extents over the positions of one period of the output, on an unbounded input.

    `minimum` and `maximum`: the smallest and largest extent, an int if all axes agree. `map`: for each spatial axis the
    extent at phase 0, 1, ... of the position (position modulo the period); 0 where the output depends on no pixel. For
    a row of tokens, whose fields do not repeat along it: the extents that occur.
    """

    minimum: Size
    maximum: Size
    map: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Unbounded:
    """The receptive field on an unbounded input: its `phases`, or None and the reason why there are none."""

    phases: Phases | None
    reason: str = ""


def unbounded(question: Question) -> Unbounded:
    """Extents over all phases of the output, the same at two sizes of the input.

    The input is enlarged until the receptive field around the centre no longer touches the border.
    """
    if not question.to_axes or not question.from_axes:
        return Unbounded(None, "the output or the input has no spatial axes")
    try:
        return _unbounded(question)
    except StructureError as error:
        return Unbounded(None, f"the network takes no larger input: {error}")


def _unbounded(question: Question) -> Unbounded:
    """The field at the largest sizes at which a network that loops over its input can be recorded."""
    largest = STEP
    while True:
        measured = growth(question, largest)
        period = _period(measured)
        if period is None:
            return Unbounded(None, "the output does not grow with the input")
        try:
            return _confirmed(question, measured, period)
        except UnrolledError:
            largest = measured.planned - 1


def _confirmed(question: Question, measured: Growth, period: tuple[int, ...]) -> Unbounded:
    """The phases of the first two sizes in a row that agree."""
    if max(period) > MOST_PHASES:
        return Unbounded(None, f"the field repeats only after {max(period)} positions, more than {MOST_PHASES}")
    sizes = [question.enlarged(times * measured.step, measured.far.limit) for times in (0, 1, 4)]
    before = _phases(sizes[0], period)
    for larger in sizes[1:]:
        phases = _phases(larger, period)
        if before and phases and _equal(before, phases):
            return Unbounded(before)
        before = phases
    along = _touched(sizes[-1])
    return Unbounded(None, f"global{along}: the field still grows on an input of {4 * measured.step} px")


def _period(measured: Growth) -> tuple[int, ...] | None:
    """Output positions after which the receptive field repeats, along each axis; None if the output does not grow.

    The field repeats after a common multiple of all strides.
    """
    small, large = measured.near, measured.far
    periods = []
    for own, axis in zip(small.to_axes, _paired(small), strict=True):
        grown = large.size(large.from_value, axis) - small.size(small.from_value, axis)
        step = large.size(large.to_value, own) - small.size(small.to_value, own)
        if grown <= 0 or step <= 0:
            return None
        length = math.ceil(measured.numerators(axis) * Fraction(step, grown))
        periods.append(length if small.is_map else min(length, MOST_TOKENS))
    return tuple(periods)


def _paired(question: Question) -> tuple[int, ...]:
    """The source axis of each output axis: the same in order, from the last."""
    ours, theirs = question.to_axes, question.from_axes
    if len(ours) > len(theirs):
        raise StructureError(f"a position of {len(ours)} numbers on an input with {len(theirs)} spatial axes")
    return theirs[-len(ours) :]


def _phases(question: Question, period: tuple[int, ...]) -> Phases | None:
    """Extents at all phases around the centre; None if one of the fields touches the border."""
    centre = _place_with_field(question, period)
    box = question.support(centre).box(question.from_axes)
    if box is not None and (any(_touching(question, box)) if question.is_map else _spans(question, box)):
        return None
    maps = []
    for axis in range(len(period)):
        extents = _along(question, centre, axis, period)
        if extents is None:
            return None
        maps.append(extents)
    return Phases(_agreed([int(m.min()) for m in maps]), _agreed([int(m.max()) for m in maps]), tuple(maps))


def _place_with_field(question: Question, period: tuple[int, ...]) -> tuple[int, ...]:
    """The centre, or a position near it whose receptive field is not empty (zero insertion leaves some empty)."""
    around = ((_first(p, length), length) for p, length in zip(question.place, period, strict=True))
    others = product(*(range(first, first + length) for first, length in around))
    places: Iterator[tuple[int, ...]] = (place for part in ((question.place,), others) for place in part)
    return next((place for place in places if question.support(place).terms), question.place)


def _first(centre: int, length: int) -> int:
    """The first of the `length` positions around the centre, at phase 0."""
    first = max(centre - length // 2, 0)
    return first - (first % length if first >= length else 0)


def _along(question: Question, centre: Sequence[int], axis: int, period: tuple[int, ...]) -> np.ndarray | None:
    """The extent at each phase along an axis; None if a field touches the border.

    A row of tokens has no phases, and tokens at the border of the image: the extents that the others have, ascending.
    """
    first = _first(question.place[axis], period[axis])
    target = question.from_axes.index(_paired(question)[axis])
    extents = []
    last = min(first + period[axis], question.size(question.to_value, question.to_axes[axis]))
    for p in range(first, last):
        box = question.support([*centre[:axis], p, *centre[axis + 1 :]]).box(question.from_axes)
        if box is not None and any(_touching(question, box)):
            if question.is_map or _spans(question, box):
                return None
            continue
        extents.append(0 if box is None else box[target][1] - box[target][0])
    if not question.is_map:
        return np.unique(extents) if extents else None
    return np.array(extents)


def _touching(question: Question, box: tuple[tuple[int, int], ...]) -> list[bool]:
    """Along which axes a box touches the border of the source."""
    sizes = (question.size(question.from_value, axis) for axis in question.from_axes)
    return [start == 0 or stop == size for (start, stop), size in zip(box, sizes, strict=True)]


def _spans(question: Question, box: tuple[tuple[int, int], ...]) -> bool:
    """Whether a box has the whole extent of the source along some axis."""
    sizes = (question.size(question.from_value, axis) for axis in question.from_axes)
    return any((start, stop) == (0, size) for (start, stop), size in zip(box, sizes, strict=True))


def _touched(question: Question) -> str:
    """The axes along which the field at the centre touches the border, if not all of them, for a message."""
    box = question.support(question.place).box(question.from_axes)
    touching = _touching(question, box) if box else []
    if all(touching):
        return ""
    names = ("depth", "height", "width")[-len(touching) :]
    return " along the " + " and the ".join(name for name, touches in zip(names, touching, strict=True) if touches)


def _equal(a: Phases, b: Phases) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a.map, b.map, strict=True))


def _agreed(numbers: Sequence[int]) -> Size:
    return numbers[0] if len(set(numbers)) == 1 else tuple(numbers)
