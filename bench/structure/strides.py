"""Input pixels per position of the maps of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from bench.structure.growth import Growth, growth
from bench.structure.network import network_of, shapes_of
from bench.structure.nodes import StructureError
from bench.structure.question import Question, layer


@dataclass(frozen=True)
class Strides:
    """The larger stride of the spatial axes: of the output, of the coarsest map, and of each named skip.

    None for a value without spatial axes (a classifier's logits).
    """

    output: float | None
    coarsest: float | None
    taps: Mapping[str, float | None]

    @property
    def finest(self) -> float | None:
        """The stride of the finest prediction grid if skips are named (as papers count), otherwise of the output."""
        strides = [s for s in self.taps.values() if s is not None]
        return min(strides) if strides else self.output


def strides(model: torch.nn.Module, shape: Sequence[int]) -> Strides:
    """Exact strides at an input of `shape` (C, ...): input pixels per position, from how maps grow with the input.

    If the network takes one size only: input extent over map extent.
    """
    question = Question(model, network_of(model, False), shapes_of(shape))
    try:
        measured = growth(question)
    except StructureError:
        measured = None
    tape = question.tape
    maps = [s for v in question.live if (s := _stride(question, measured, v)) is not None]
    taps = {name: _stride(question, measured, layer(tape, path)) for name, path in tape.taps.items()}
    return Strides(_stride(question, measured, tape.output(0)), max(maps, default=None), taps)


def _stride(question: Question, measured: Growth | None, value: int) -> float | None:
    """Input pixels per position of a value, the larger of its axes; None if it has no spatial axes."""
    own, shape = question.tape.values[question.from_value].shape, question.tape.values[value].shape
    if len(own) != len(shape) or len(own) < 3:
        return None
    if measured is not None and value in measured.strides:
        steps = [s for s in measured.strides[value] if s is not None]
        return float(max(steps)) if len(steps) == len(shape) - 2 else None
    return max(n / m for n, m in zip(own[2:], shape[2:], strict=True)) if min(shape[2:]) > 1 else None
