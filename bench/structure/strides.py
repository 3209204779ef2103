"""Input pixels per position of the maps of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from bench.structure.fields import ENLARGEMENTS, layer
from bench.structure.network import Network, network_of, shapes_of
from bench.structure.nodes import StructureError, Tape
from bench.structure.supports import Supports


@dataclass(frozen=True)
class Strides:
    """The larger stride of the two axes: of the output, of the coarsest map, of each named skip.

    None where a value has no spatial axes (a classifier's logits).
    """

    output: float | None
    coarsest: float | None
    taps: Mapping[str, float | None]

    @property
    def finest(self) -> float | None:
        """The finest prediction grid where skips are named, as papers count; else the output."""
        strides = [s for s in self.taps.values() if s is not None]
        return min(strides) if strides else self.output


def strides(model: torch.nn.Module, shape: Sequence[int]) -> Strides:
    """Strides at an input of `shape` (C, ...): how many input pixels more make a map one position larger.

    Read from two recordings, at `shape` and at a larger one, so that padding does not blur it. Where the
    network takes one size only, input extent over map extent.
    """
    network = network_of(model, False)
    small = network.tape(model, shapes_of(shape))
    large = _enlarged(network, model, shape)
    if large is None or len(large.values) != len(small.values):
        large = None
    live = Supports(small, small.inputs[0]).live
    maps = [s for v in live if (s := stride_of(small, large, v)) is not None]
    taps = {name: stride_of(small, large, layer(small, path)) for name, path in small.taps.items()}
    return Strides(stride_of(small, large, small.output(0)), max(maps, default=None), taps)


def _enlarged(network: Network, model: torch.nn.Module, shape: Sequence[int]) -> Tape | None:
    try:
        return network.tape(model, shapes_of([shape[0], *(n + ENLARGEMENTS[0] for n in shape[1:])]))
    except StructureError:
        return None


def stride_of(small: Tape, large: Tape | None, value: int) -> float | None:
    """Input pixels per position of a value, the larger of its axes; None where it has no spatial axes."""
    own, shape = small.values[small.inputs[0]].shape, small.values[value].shape
    if len(own) != len(shape) or len(own) < 3:
        return None
    if large is None:
        return max(n / m for n, m in zip(own[2:], shape[2:], strict=True)) if min(shape[2:]) > 1 else None
    grown = [b - a for a, b in zip(shape[2:], large.values[value].shape[2:], strict=True)]
    if min(grown) <= 0:
        return None
    larger = large.values[large.inputs[0]].shape
    return max((b - a) / g for a, b, g in zip(own[2:], larger[2:], grown, strict=True))
