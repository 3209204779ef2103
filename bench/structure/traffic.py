"""Bytes that each operator of a recording reads and writes, with the FLOPs that it computes.

An operator reads each input once and writes each result once: the minimum for an execution operator by operator,
through memory or a cache. A tensor counts with the bytes of its elements, and at most with those of its storage (which
is small for a broadcast tensor). Views move nothing; lookups read as much of their table as they return. Kernels that
fuse operators (attention, a compiler) move less than the sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from bench.structure.costs import cost_of
from bench.structure.nodes import Node, Tape

LOOKUPS = frozenset({"embedding", "index_select", "gather", "index", "_unsafe_index"})
WRITES_NOTHING = frozenset({"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided"})


@dataclass(frozen=True)
class Work:
    """FLOPs and bytes of one operator. `counted` is False if its FLOPs have no rule."""

    name: str
    module: str
    flops: int
    moved: int
    counted: bool

    @property
    def intensity(self) -> float:
        """FLOPs per byte; infinite if no bytes are moved."""
        return self.flops / self.moved if self.moved else math.inf


def traffic(tape: Tape) -> tuple[Work, ...]:
    """The work of every executed operator, in order."""
    sizes = {storage.id: storage.size for storage in tape.storages}
    return tuple(_work(tape, node, sizes.__getitem__) for node in tape.executed)


def _work(tape: Tape, node: Node, size_of: Callable[[int], int]) -> Work:
    counted = cost_of(tape, node)
    flops = counted[1] if counted else 0
    return Work(node.name, node.module, flops, _moved(tape, node, size_of), counted is not None)


def _moved(tape: Tape, node: Node, size_of: Callable[[int], int]) -> int:
    if _is_view(tape, node) or node.name in WRITES_NOTHING:
        return 0
    written = sum(_bytes(tape, v, size_of) for v in node.outputs)
    read = [_bytes(tape, v, size_of) for v in dict.fromkeys(node.inputs)]
    if node.name in LOOKUPS:
        read[0] = min(read[0], written)
    return sum(read) + written


def _is_view(tape: Tape, node: Node) -> bool:
    """Whether all results use the memory of an input, and nothing was written to it."""
    storages = {tape.values[v].storage for v in node.inputs}
    shared = all(tape.values[v].storage in storages for v in node.outputs)
    return bool(node.outputs) and shared and not node.op._schema.is_mutable


def _bytes(tape: Tape, value: int, size_of: Callable[[int], int]) -> int:
    record = tape.values[value]
    return min(math.prod(record.shape) * record.dtype.itemsize, size_of(record.storage))
