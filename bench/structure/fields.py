"""Receptive fields of a recorded network: at one output position, and on an unbounded input."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np
import torch

from bench.structure.bits import full
from bench.structure.network import Network, Shapes
from bench.structure.nodes import StructureError, Tape
from bench.structure.supports import CUTS, Support
from bench.structure.terms import Terms

Size = int | tuple[int, ...] | None

ENLARGEMENTS = (256 * 21, 4 * 256 * 21)
"""Pixels by which the input is enlarged along each axis, as are their differences: multiples of strides (up to 256,
48, 28, ...), so that a map grows by a whole number of positions, padding which depends on the size stays the same, and
windows still fit. Nothing is computed at that size."""
MOST_PHASES = 512


@dataclass(frozen=True)
class Phases:
    """Extents over the positions of one period of the output, on an unbounded input.

    `minimum` and `maximum`: the smallest and largest extent, an int where all axes agree. `map`: for
    each spatial axis the extent at phase 0, 1, ... of the position (position modulo the period).
    """

    minimum: Size
    maximum: Size
    map: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Question:
    """Which elements of which value are asked about, on which input."""

    model: torch.nn.Module
    network: Network
    shapes: Shapes
    output: int | str = 0
    position: tuple[int, ...] | None = None
    axes: tuple[int, ...] | None = None
    input: int = 0
    cut: frozenset[str] = frozenset()
    source: str | None = None
    sink: str | None = None

    @cached_property
    def tape(self) -> Tape:
        return self.network.tape(self.model, self.shapes)

    @cached_property
    def from_value(self) -> int:
        """The value whose elements are marked."""
        if self.source is not None:
            return layer(self.tape, self.source)
        if not -len(self.tape.inputs) <= self.input < len(self.tape.inputs):
            raise StructureError(f"the network has {len(self.tape.inputs)} inputs, there is no input {self.input}")
        return self.tape.inputs[self.input]

    @cached_property
    def to_value(self) -> int:
        """The value that a position is of."""
        return self.tape.output(self.output) if self.sink is None else layer(self.tape, self.sink)

    @cached_property
    def from_axes(self) -> tuple[int, ...]:
        """The axes of the mask: all but batch and channel; of (N, L, C) tokens the middle one."""
        shape = self.tape.values[self.from_value].shape
        if len(shape) == 3 and self._images and self.source is not None:
            return (1,)
        return tuple(range(2, len(shape)))

    @cached_property
    def to_axes(self) -> tuple[int, ...]:
        """The axes that a position indexes: given, else the last ones; of (N, L, C) tokens the middle one."""
        rank = len(self.tape.values[self.to_value].shape)
        if self.axes is not None:
            return tuple(a % rank for a in self.axes)
        if rank == 3 and self._images and (self.position is None or len(self.position) == 1):
            return (1,)
        count = max(rank - 2, 0) if self.position is None else len(self.position)
        if count > rank:
            raise StructureError(f"a position of {count} numbers does not fit an output of {rank} dimensions")
        return tuple(range(rank - count, rank))

    @property
    def _images(self) -> bool:
        return len(self.shapes[self.input]) >= 4

    @cached_property
    def place(self) -> tuple[int, ...]:
        """The position, counted from the front; the centre where none is given."""
        sizes = [self.tape.values[self.to_value].shape[a] for a in self.to_axes]
        if self.position is None:
            return tuple(n // 2 for n in sizes)
        if len(self.position) != len(sizes):
            raise StructureError(f"a position here has {len(sizes)} numbers, not {len(self.position)}")
        for p, n in zip(self.position, sizes, strict=True):
            if not -n <= p < n:
                raise StructureError(f"position {self.position} lies outside an output of {tuple(sizes)}")
        return tuple(p % n for p, n in zip(self.position, sizes, strict=True))

    def terms(self, place: Sequence[int]) -> Terms:
        """The output elements at a place: all batch entries and channels."""
        chosen = dict(zip(self.to_axes, place, strict=True))
        shape = self.tape.values[self.to_value].shape
        return (tuple(1 << chosen[a] if a in chosen else full(n) for a, n in enumerate(shape)),)

    def support(self, place: Sequence[int]) -> Support:
        """What the output at a place reads of the source."""
        reader = self.network.supports(self.tape, self.from_value, self.cut)
        return reader.of(self.to_value, self.terms(place))

    def enlarged(self, by: int) -> Question:
        """The same question, centred, on an input that is `by` pixels larger along each axis."""
        shapes = tuple((*s[:2], *(n + by for n in s[2:])) for s in self.shapes)
        return replace(self, shapes=shapes, position=None, axes=self.to_axes)


def layer(tape: Tape, name: str) -> int:
    """The value a layer returned; `name#k` is its k-th run, of which there must be one otherwise."""
    path, _, run = name.partition("#")
    calls = tape.calls.get(path)
    if not calls:
        examples = ", ".join(list(tape.calls)[:12])
        raise StructureError(f"no layer '{path}' ran (some that did: {examples})")
    if len(calls) > 1 and not run:
        raise StructureError(f"layer '{path}' ran {len(calls)} times: say which, '{path}#0' is the first")
    outputs = calls[int(run or 0)].outputs
    if not outputs:
        raise StructureError(f"layer '{path}' returned no tensor")
    return outputs[0]


def checked_cut(cut: Sequence[str]) -> frozenset[str]:
    """The kinds of edges to leave out. Raises StructureError for an unknown one."""
    for kind in cut:
        if kind not in CUTS:
            raise StructureError(f"there is no kind of edge '{kind}' (there is: {', '.join(CUTS)})")
    return frozenset(cut)


# -- on an unbounded input -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Unbounded:
    """The field on an unbounded input: its `phases`, or None and the reason why there are none."""

    phases: Phases | None
    reason: str = ""


def unbounded(question: Question) -> Unbounded:
    """Extents over all phases of the output, the same at two sizes of input.

    The input is enlarged until the field around the centre no longer touches the border.
    """
    if not question.to_axes or not question.from_axes:
        return Unbounded(None, "the output or the input has no spatial axes")
    small = question.enlarged(0)
    for by in ENLARGEMENTS:
        large = question.enlarged(by)
        refused = _refused(small) or _refused(large)
        if refused:
            return Unbounded(None, f"the network takes no larger input: {refused}")
        period = _period(small, large)
        if period is None:
            return Unbounded(None, "the output does not grow with the input")
        phases = _phases(small, period)
        confirmed = _phases(large, period) if phases else None
        if phases and confirmed and _equal(phases, confirmed):
            return Unbounded(phases)
        small = large
    return Unbounded(None, f"global: the field still grows on an input of {ENLARGEMENTS[-1]} px")


def _refused(question: Question) -> str:
    """Why the network cannot be recorded on this input; empty where it can."""
    try:
        _ = question.tape
    except StructureError as error:
        return str(error)
    return ""


def _period(small: Question, large: Question) -> tuple[int, ...] | None:
    """Output positions after which the field repeats, along each axis; None where nothing repeats.

    The stride of a value, in source pixels, is how many pixels more it takes for one position more:
    read from the two sizes. The field repeats after a common multiple of all strides.
    """
    periods = []
    for own, theirs in zip(small.to_axes, _paired(small), strict=True):
        grown = _sizes(large, large.from_value, theirs) - _sizes(small, small.from_value, theirs)
        step = _sizes(large, large.to_value, own) - _sizes(small, small.to_value, own)
        if grown <= 0 or step <= 0:
            return None
        common = _common_stride(small, large, theirs, grown)
        periods.append(min(max(math.ceil(common * step / grown), 1), MOST_PHASES))
    return tuple(periods)


def _paired(question: Question) -> tuple[int, ...]:
    """The source axis that each output axis runs along: the same in order, from the last."""
    ours, theirs = question.to_axes, question.from_axes
    if len(ours) > len(theirs):
        raise StructureError(f"a position of {len(ours)} numbers on an input with {len(theirs)} spatial axes")
    return theirs[-len(ours) :]


def _sizes(question: Question, value: int, axis: int) -> int:
    return question.tape.values[value].shape[axis]


def _common_stride(small: Question, large: Question, axis: int, grown: int) -> int:
    """The least common multiple of the strides of all values that lie between, capped."""
    common = 1
    reader = small.network.supports(small.tape, small.from_value, small.cut)
    rank = len(small.tape.values[small.from_value].shape)
    for one, other in _pairs(small, large):
        a, b = small.tape.values[one].shape, large.tape.values[other].shape
        if one in reader.live and len(a) == len(b) == rank and b[axis] > a[axis]:
            stride = Fraction(grown, b[axis] - a[axis]).limit_denominator(8)
            common = min(math.lcm(common, stride.numerator), 1 << 16)
    return common


def _pairs(small: Question, large: Question) -> list[tuple[int, int]]:
    """The same values in two recordings; of layers' outputs only where other operators ran between them."""
    ours, theirs = small.tape, large.tape
    if len(ours.values) == len(theirs.values):
        return [(v, v) for v in range(len(ours.values))]
    shared = [(c, theirs.calls[path]) for path, c in ours.calls.items() if path in theirs.calls]
    runs = [(a, b) for calls, others in shared for a, b in zip(calls, others)]
    return [(v, w) for a, b in runs for v, w in zip(a.outputs, b.outputs)]


def _phases(question: Question, period: tuple[int, ...]) -> Phases | None:
    """Extents at all phases around the centre; None where one of the fields touches the border."""
    maps = []
    for axis, length in enumerate(period):
        extents = _along(question, axis, length)
        if extents is None:
            return None
        maps.append(extents)
    return Phases(_agreed([int(m.min()) for m in maps]), _agreed([int(m.max()) for m in maps]), tuple(maps))


def _along(question: Question, axis: int, length: int) -> np.ndarray | None:
    centre = list(question.place)
    first = max(centre[axis] - length // 2, 0)
    first -= first % length if first >= length else 0
    target = _paired(question)[axis]
    size = question.tape.values[question.from_value].shape
    extents = []
    for p in range(first, first + length):
        place = [*centre[:axis], p, *centre[axis + 1 :]]
        box = question.support(place).box(question.from_axes)
        if box is None:
            extents.append(0)
            continue
        if any(s == 0 or e == size[a] for (s, e), a in zip(box, question.from_axes, strict=True)):
            return None
        start, stop = box[question.from_axes.index(target)]
        extents.append(stop - start)
    return np.array(extents)


def _equal(a: Phases, b: Phases) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a.map, b.map, strict=True))


def _agreed(numbers: Sequence[int]) -> Size:
    return numbers[0] if len(set(numbers)) == 1 else tuple(numbers)
