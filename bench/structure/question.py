"""A question about a recorded network: which elements of which value, on an input of which size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from bench.structure.bits import full
from bench.structure.network import Network, Shapes
from bench.structure.nodes import StructureError, Tape
from bench.structure.supports import CUTS, Support
from bench.structure.terms import Terms


@dataclass(frozen=True)
class Question:
    """A position of an output, and the value whose elements it may depend on.

    `shapes`: those of the network's inputs, with a batch axis. `output`, `sink`: the output's place or name, or a layer
    whose output is used instead. `position`, `axes`: the output's axes and the position along them. `input`, `source`:
    the input, or the layer whose output takes its place. `cut`: global edges to leave out. `limit`: see `record`.
    """

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
    limit: int | None = None

    @cached_property
    def tape(self) -> Tape:
        return self.network.tape(self.model, self.shapes, self.limit)

    @cached_property
    def from_value(self) -> int:
        """The value whose elements the output may depend on."""
        if self.source is not None:
            return layer(self.tape, self.source)
        if not -len(self.tape.inputs) <= self.input < len(self.tape.inputs):
            raise StructureError(f"the network has {len(self.tape.inputs)} inputs, not an input {self.input}")
        return self.tape.inputs[self.input]

    @cached_property
    def to_value(self) -> int:
        """The value that the position belongs to."""
        return self.tape.output(self.output) if self.sink is None else layer(self.tape, self.sink)

    @cached_property
    def from_axes(self) -> tuple[int, ...]:
        """The axes of the mask: all except batch and channel; of (N, L, C) tokens the middle one."""
        shape = self.tape.values[self.from_value].shape
        if len(shape) == 3 and self._images and self.source is not None:
            return (1,)
        return tuple(range(2, len(shape)))

    @cached_property
    def to_axes(self) -> tuple[int, ...]:
        """The axes that a position indexes: `axes`, or by default the last ones; of (N, L, C) tokens the middle one."""
        rank = len(self.tape.values[self.to_value].shape)
        if self.axes is not None:
            return tuple(a % rank for a in self.axes)
        if rank == 3 and self._images and (self.position is None or len(self.position) == 1):
            return (1,)
        count = max(rank - 2, 0) if self.position is None else len(self.position)
        if count > rank:
            raise StructureError(f"a position of {count} numbers does not fit an output of {rank} dimensions")
        return tuple(range(rank - count, rank))

    @cached_property
    def is_map(self) -> bool:
        """Whether the output has an axis for each of the source's, so that fields repeat along them."""
        return len(self.tape.values[self.to_value].shape) == len(self.tape.values[self.from_value].shape)

    @property
    def _images(self) -> bool:
        return len(self.shapes[self.input]) >= 4

    @cached_property
    def place(self) -> tuple[int, ...]:
        """The position with non-negative numbers; by default the centre."""
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
        """The elements of the source that the output at a place depends on."""
        place = tuple(place)
        if place not in self._supports:
            reader = self.network.supports(self.tape, self.from_value, self.cut)
            self._supports[place] = reader.of(self.to_value, self.terms(place))
        return self._supports[place]

    @cached_property
    def _supports(self) -> dict[tuple[int, ...], Support]:
        return {}

    def enlarged(self, by: int, limit: int | None = None) -> Question:
        """The same question at the centre of an input that is `by` pixels larger along each axis."""
        shapes = tuple((*s[:2], *(n + by for n in s[2:])) for s in self.shapes)
        return replace(self, shapes=shapes, position=None, axes=self.to_axes, limit=limit)

    def size(self, value: int, axis: int) -> int:
        """The extent of a value of this recording along an axis."""
        return self.tape.values[value].shape[axis]

    @cached_property
    def live(self) -> frozenset[int]:
        """The values that depend on the source."""
        return self.network.supports(self.tape, self.from_value, self.cut).live


def layer(tape: Tape, name: str) -> int:
    """The value that a layer returned. `name#k` is its k-th run; without it the layer must run once."""
    path, _, run = name.partition("#")
    calls = tape.calls.get(path)
    if not calls:
        examples = ", ".join(list(tape.calls)[:12])
        raise StructureError(f"no layer '{path}' ran (layers that ran: {examples})")
    if len(calls) > 1 and not run:
        raise StructureError(f"layer '{path}' ran {len(calls)} times: say which, '{path}#0' is the first")
    outputs = calls[int(run or 0)].outputs
    if not outputs:
        raise StructureError(f"layer '{path}' returned no tensor")
    return outputs[0]


def checked_cut(cut: Sequence[str]) -> frozenset[str]:
    """The kinds of edges to leave out as a set. Raises StructureError for an unknown kind."""
    for kind in cut:
        if kind not in CUTS:
            raise StructureError(f"there is no kind of edge '{kind}' (kinds: {', '.join(CUTS)})")
    return frozenset(cut)
