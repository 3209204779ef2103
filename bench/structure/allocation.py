"""What a device's allocator and its convolutions add to the plain sizes of tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.structure.nodes import Node, Tape

CONVOLUTIONS = ("convolution", "convolution_backward")
"""Operators of which the libraries may reorder the tensors."""


@dataclass(frozen=True)
class Allocator:
    """How memory is given out. Sizes in bytes.

    A size is rounded up to a multiple of `block`. From `large` on, memory comes in segments of their own, multiples of
    `segment`, of which a rest of at most `rest` is not split off. `reorders`: convolutions compute on copies of their
    tensors in another memory format (on CUDA: the kernels of tensor cores need channels last).
    """

    block: int = 1
    segment: int = 1
    large: int | None = None
    rest: int = 0
    reorders: bool = False

    def size(self, wanted: int) -> int:
        """The bytes that `wanted` bytes take."""
        rounded = _up(wanted, self.block)
        if self.large is None or rounded < self.large:
            return rounded
        segment = _up(rounded, self.segment)
        return segment if segment - rounded <= self.rest else rounded

    def workspace(self, groups: int, weight: Sequence[int], tensors: Sequence[int]) -> int:
        """Bytes of the copies that a convolution makes of `tensors` (bytes of input, weights, output).

        None for a convolution of single pixels, which is a matrix product, and none for a depthwise one, which has a
        kernel of its own; `weight` is its shape.
        """
        if not self.reorders or math.prod(weight[2:]) == 1 or (groups > 1 and weight[1] == 1):
            return 0
        return sum(map(self.size, tensors))


EXACT = Allocator()
"""Every size as it is, no workspace."""


def cuda_allocator(reorders: bool) -> Allocator:
    """PyTorch's caching allocator on CUDA: blocks of 512 bytes, segments of 2 MiB from 10 MiB on."""
    return Allocator(block=512, segment=2 << 20, large=10 << 20, rest=1 << 20, reorders=reorders)


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def workspace_of(tape: Tape, node: Node, allocator: Allocator) -> int:
    """Workspace of a recorded operator; 0 for all but convolutions."""
    if node.name not in CONVOLUTIONS:
        return 0
    values = [tape.values[each] for each in (*node.inputs[:2], *node.outputs[:1])]
    sizes = [math.prod(value.shape) * value.dtype.itemsize for value in values]
    return allocator.workspace(node.bind()["groups"], values[1].shape, sizes)


def workspace_of_call(name: str, args: Sequence[Any], result: Any, allocator: Allocator) -> int:
    """Workspace of a convolution, or of its backward pass, from its arguments and its result.

    Backward (arguments: gradient of the output, input, weights) two products follow one another; the larger one copies
    the gradient of the output and the input, the other the gradients of both. The weights count once in either.
    """
    if name not in CONVOLUTIONS:
        return 0
    forward = name == "convolution"
    weight, groups = (args[1], args[8]) if forward else (args[2], args[9])
    tensors = (args[0], args[1], result) if forward else args[:3]
    return allocator.workspace(groups, weight.shape, [t.numel() * t.element_size() for t in tensors])
