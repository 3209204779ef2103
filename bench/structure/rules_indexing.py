"""Operators that select elements by index: exact for constant indices, upper bounds for computed ones.

For an index that `partition` computed the bound is exact: for every region and place there is an image that has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bench.structure import bits
from bench.structure.nodes import Node, Ref
from bench.structure.reshaping import flattened
from bench.structure.rules_pointwise import Maps
from bench.structure.rules_views import changed, dimension, everything, termwise
from bench.structure.supports import Map, Supports, rule
from bench.structure.terms import Term, union


@rule("index_select")
def index_select(graph: Supports, node: Node) -> Maps:
    """Position o reads index[o]; any position if the index is computed."""
    x, index = node.inputs[:2]
    d = dimension(graph, x, node.args[1])
    return _along(graph, node, x, index, d)


def _along(graph: Supports, node: Node, x: int, index: int, d: int) -> Maps:
    size, positions = graph.shape(x)[d], graph.constant(index)
    if positions is not None:
        rows = tuple(1 << int(i) % size for i in positions.reshape(-1))
        return [(x, termwise(lambda t: changed(t, d, bits.images(t[d], rows))))]
    if not _any_region(graph, index):
        graph.bounded(node)
    anywhere = termwise(lambda t: changed(t, d, bits.full(size)))
    return [(x, anywhere), (index, termwise(lambda t: (t[d],)))]


@rule("partition")
def partition(graph: Supports, node: Node) -> Maps:
    """Every pixel of the same image, exactly.

    For any two pixels there is an image in which changing the first changes the region of the second: pixels that a
    path of one colour connects are in one region, and changing a pixel of the path cuts it.
    """
    x = node.inputs[0]
    rest = tuple(bits.full(n) for n in graph.shape(x)[1:])
    return [(x, termwise(lambda t: (t[0], *rest)))]


VIEWS = ("view", "_unsafe_view", "reshape", "select", "slice", "unbind", "alias", "clone", "detach", "unsqueeze")


def _any_region(graph: Supports, index: int) -> bool:
    """Whether an index is, up to views, a result of `partition`."""
    while (record := graph.value(index)).node >= 0:
        node = graph.tape.nodes[record.node]
        if node.name not in VIEWS:
            return node.name == "partition"
        index = node.inputs[0]
    return False


@rule("gather", "take_along_dim")
def gather(graph: Supports, node: Node) -> Maps:
    """Any position of the row, as a bound; the index at the same place."""
    x, index = node.inputs[:2]
    d = dimension(graph, x, node.args[1])
    graph.bounded(node)
    size = graph.shape(x)[d]
    return [
        (x, termwise(lambda t: changed(t, d, bits.full(size)))),
        (index, lambda terms, slot: terms),
    ]


@rule("embedding")
def embedding(graph: Supports, node: Node) -> Maps:
    """Any row of the table; the index at the same place."""
    table, index = node.inputs[:2]
    size = graph.shape(table)[0]
    if graph.constant(index) is None and table in graph.live:
        graph.bounded(node)
    return [
        (table, termwise(lambda t: (bits.full(size), t[-1]))),
        (index, termwise(lambda t: t[:-1])),
    ]


@rule("index", "_unsafe_index")
def index(graph: Supports, node: Node) -> Maps:
    """Advanced indexing: exact for constant integer indices, otherwise a bound."""
    x, indices = node.inputs[0], list(node.args[1])
    places = [d for d, i in enumerate(indices) if isinstance(i, Ref)]
    chosen = [indices[d].id for d in places]
    if len(places) == 1 and len(graph.shape(chosen[0])) == 1:
        return _along(graph, node, x, chosen[0], places[0])
    tensors = [graph.constant(c) for c in chosen]
    if any(t is None or t.dtype == torch.bool for t in tensors):
        graph.bounded(node)
        return [(i, everything(graph, i)) for i in node.inputs]
    return [(x, _picked(graph, node, places, [t for t in tensors if t is not None]))]


def _picked(graph: Supports, node: Node, places: list[int], tensors: list[Any]) -> Map:
    """Several constant indices, broadcast together: computed element by element."""
    shape = graph.shape(node.inputs[0])
    together = torch.broadcast_tensors(*tensors)  # type: ignore[no-untyped-call]
    spread = together[0].shape
    adjacent = places == list(range(places[0], places[-1] + 1))
    first = places[0] if adjacent else 0
    flat = [[int(i) % shape[d] for i in t.reshape(-1)] for d, t in zip(places, together, strict=True)]

    def one(term: Term) -> list[Term]:
        own, rest = term[first : first + len(spread)], (*term[:first], *term[first + len(spread) :])
        return [_place(rest, places, [f[k] for f in flat], len(shape)) for k in _flat(own, spread)]

    return lambda terms, slot: union(u for t in terms for u in one(t))


def _flat(own: Term, spread: Any) -> list[int]:
    return bits.members(flattened(own, tuple(spread)))


def _place(rest: Term, places: list[int], positions: list[int], rank: int) -> Term:
    free = iter(rest)
    at = dict(zip(places, positions, strict=True))
    return tuple(1 << at[d] if d in at else next(free) for d in range(rank))


@rule("index_put")
def index_put(graph: Supports, node: Node) -> Maps:
    """Pointwise for one number written where a mask is true; otherwise a bound."""
    x, indices = node.inputs[0], [i.id for i in node.args[1] if isinstance(i, Ref)]
    value = node.args[2].id
    shape = graph.shape(x)
    mask = indices[0]
    leading = len(indices) == 1 and graph.value(mask).dtype is torch.bool and node.args[1][0] is not None
    if not leading or any(n != 1 for n in graph.shape(value)):
        return write(graph, node)
    rank, constant = len(graph.shape(mask)), graph.constant(mask)
    keep = None
    if constant is not None and not node.bind()["accumulate"]:
        keep = np.broadcast_to(~constant.numpy().reshape(*constant.shape, *[1] * (len(shape) - rank)), shape)
    return [
        (x, lambda terms, slot: graph.restricted(terms, keep)),
        (mask, termwise(lambda t: t[:rank])),
        (value, everything(graph, value)),
    ]


WRITES = (
    "scatter scatter_add scatter_reduce index_add index_copy index_fill _unsafe_index_put masked_scatter"
    " index_reduce put take masked_select nonzero"
)


@rule(*WRITES.split())
def write(graph: Supports, node: Node) -> Maps:
    """The element before the write, and everything that may have been written: a bound."""
    graph.bounded(node)
    before: Map = lambda terms, slot: terms  # noqa: E731
    own = graph.shape(node.inputs[0]) == graph.shape(node.outputs[0])
    first: tuple[int, Map] = (node.inputs[0], before if own else everything(graph, node.inputs[0]))
    return [first, *((i, everything(graph, i)) for i in node.inputs[1:])]
