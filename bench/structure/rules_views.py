"""Operators that move elements and compute nothing: views, slices, joins, permutations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench.structure import bits
from bench.structure.nodes import Node, StructureError
from bench.structure.reshaping import flattened, reshaped, unflattened
from bench.structure.rules_pointwise import Maps, broadcast, is_gate, refs
from bench.structure.supports import RULES, Map, Supports, rule
from bench.structure.terms import Term, Terms, union, whole


def termwise(function: Callable[[Term], Term]) -> Map:
    """A map that replaces each term by one term."""
    return lambda terms, slot: union(function(t) for t in terms)


def dimension(graph: Supports, value: int, dim: int) -> int:
    """A dimension counted from the front."""
    return dim % max(len(graph.shape(value)), 1)


def changed(term: Term, d: int, b: int) -> Term:
    return (*term[:d], b, *term[d + 1 :])


@rule("view", "_unsafe_view", "reshape", "_reshape_alias", "unsqueeze", "squeeze", "view_as", "flatten")
def view(graph: Supports, node: Node) -> Maps:
    """The same elements in row-major order."""
    x, shape, target = node.inputs[0], graph.shape(node.inputs[0]), graph.shape(node.outputs[0])
    if graph.value(x).dtype.itemsize != graph.value(node.outputs[0]).dtype.itemsize:
        raise StructureError(f"{node.where()} reads the bytes of another type")
    return [(x, lambda terms, slot: reshaped(terms, target, shape))]


@rule("clone", "detach", "alias", "lift_fresh", "contiguous", "_conj", "_neg_view", "resolve_conj", "resolve_neg")
def same(graph: Supports, node: Node) -> Maps:
    """The same element."""
    return [(node.inputs[0], lambda terms, slot: terms)]


@rule("view_as_real")
def view_as_real(graph: Supports, node: Node) -> Maps:
    """The complex element: its parts are a new last dimension."""
    return [(node.inputs[0], termwise(lambda t: t[:-1]))]


@rule("view_as_complex")
def view_as_complex(graph: Supports, node: Node) -> Maps:
    """Real and imaginary part."""
    return [(node.inputs[0], termwise(lambda t: (*t, 3)))]


@rule("permute", "transpose", "t", "numpy_T", "movedim", "swapaxes")
def permute(graph: Supports, node: Node) -> Maps:
    """Dimensions in another order."""
    order = _order(graph, node)
    places = [order.index(d) for d in range(len(order))]
    return [(node.inputs[0], lambda terms, slot: tuple(tuple([t[p] for p in places]) for t in terms))]


def _order(graph: Supports, node: Node) -> list[int]:
    rank = len(graph.shape(node.inputs[0]))
    if node.name == "permute":
        return [d % rank for d in node.args[1]]
    order = list(range(rank))
    if node.name == "t":
        return order[::-1]
    if node.name == "transpose":
        a, b = (d % max(rank, 1) for d in node.args[1:3])
        if rank:
            order[a], order[b] = order[b], order[a]
        return order
    raise StructureError(f"{node.where()} has no rule for its receptive field")


@rule("expand", "broadcast_to", "expand_as")
def expand(graph: Supports, node: Node) -> Maps:
    """Copies along dimensions of size 1."""
    x, output = node.inputs[0], node.outputs[0]
    if "squeeze_excitation" in graph.cut and is_gate(graph, x, output):
        return []
    return [(x, broadcast(graph, x, output))]


@rule("repeat")
def repeat(graph: Supports, node: Node) -> Maps:
    """Tiles."""
    x = node.inputs[0]
    shape = graph.shape(x)
    lead = len(graph.shape(node.outputs[0])) - len(shape)
    return [(x, termwise(lambda t: tuple(bits.folded(b, n) for b, n in zip(t[lead:], shape, strict=True))))]


@rule("repeat_interleave")
def repeat_interleave(graph: Supports, node: Node) -> Maps:
    """The repeated element; with a tensor of counts, a bound."""
    x, bound = node.inputs[0], node.bind()
    if not isinstance(bound.get("repeats"), int) or bound.get("dim") is None:
        graph.bounded(node)
        return [(i, everything(graph, i)) for i in node.inputs]
    d, k = dimension(graph, x, bound["dim"]), bound["repeats"]
    return [(x, termwise(lambda t: changed(t, d, bits.of(p // k for p in bits.members(t[d])))))]


def everything(graph: Supports, value: int) -> Map:
    """All elements of a value."""
    every = whole(graph.shape(value))
    return lambda terms, slot: every


# -- parts of a dimension -------------------------------------------------------------------------------


def _range(graph: Supports, node: Node) -> tuple[int, int, int]:
    """(dimension, start, step) of a slice or narrow."""
    bound, x = node.bind(), node.inputs[0]
    d = dimension(graph, x, bound["dim"])
    size, start = graph.shape(x)[d], bound["start"] or 0
    start = max(start + size, 0) if start < 0 else min(start, size)
    return d, start, bound.get("step", 1)


@rule("slice", "narrow")
def slice_(graph: Supports, node: Node) -> Maps:
    """Position o reads start + o * step."""
    d, start, step = _range(graph, node)
    return [(node.inputs[0], termwise(lambda t: changed(t, d, bits.spread(t[d], step) << start)))]


@rule("select")
def select(graph: Supports, node: Node) -> Maps:
    """One position of a dimension that the output lacks."""
    bound, x = node.bind(), node.inputs[0]
    d = dimension(graph, x, bound["dim"])
    only = 1 << bound["index"] % graph.shape(x)[d]
    return [(x, lambda terms, slot: tuple((*t[:d], only, *t[d:]) for t in terms))]


def starts(graph: Supports, node: Node) -> tuple[int, list[int]]:
    """(dimension, first position of each part) of a split."""
    d = dimension(graph, node.inputs[0], node.bind().get("dim", 0))
    sizes = _parts(graph, node, graph.shape(node.inputs[0])[d])
    return d, [sum(sizes[:i]) for i in range(len(sizes))]


def _parts(graph: Supports, node: Node, size: int) -> list[int]:
    bound = node.bind()
    if node.name.endswith("split_with_sizes"):
        return list(bound["split_sizes"])
    step = bound.get("split_size")
    if not isinstance(step, int):
        raise StructureError(f"{node.where()} has no rule for its receptive field")
    return [min(step, size - p) for p in range(0, size, step)]


@rule("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes")
def split(graph: Supports, node: Node) -> Maps:
    """Part k reads from its first position."""
    d, first = starts(graph, node)
    return [(node.inputs[0], lambda terms, slot: union(changed(t, d, t[d] << first[slot]) for t in terms))]


@rule("unbind")
def unbind(graph: Supports, node: Node) -> Maps:
    """Output k is position k of a dimension that the outputs lack."""
    d = dimension(graph, node.inputs[0], node.bind()["dim"])
    return [(node.inputs[0], lambda terms, slot: tuple((*t[:d], 1 << slot, *t[d:]) for t in terms))]


@rule("diagonal")
def diagonal(graph: Supports, node: Node) -> Maps:
    """Element k of the last dimension is (k, k) of two dimensions of the input."""
    bound, x = node.bind(), node.inputs[0]
    rank, offset = len(graph.shape(x)), bound["offset"]
    a, b = bound["dim1"] % rank, bound["dim2"] % rank
    down, right = max(-offset, 0), max(offset, 0)

    def one(term: Term, k: int) -> Term:
        rest = iter(term[:-1])
        return tuple(1 << k + down if d == a else 1 << k + right if d == b else next(rest) for d in range(rank))

    return [(x, lambda terms, slot: union(one(t, k) for t in terms for k in bits.members(t[-1])))]


@rule("unfold")
def unfold(graph: Supports, node: Node) -> Maps:
    """Windows along a dimension; their elements are a new last dimension."""
    bound, x = node.bind(), node.inputs[0]
    d, step = dimension(graph, x, bound["dimension"]), bound["step"]
    size = graph.shape(x)[d]
    return [
        (
            x,
            termwise(lambda t: changed(t[:-1], d, bits.windows(t[d], size, tuple(bits.members(t[-1])), step))),
        )
    ]


@rule("as_strided")
def as_strided(graph: Supports, node: Node) -> Maps:
    """Element by element, over the memory of a contiguous tensor."""
    x, shape = node.inputs[0], graph.shape(node.inputs[0])
    strides, offset = list(node.args[2]), (node.args[3] if len(node.args) > 3 else 0) or 0
    return [(x, lambda terms, slot: union(u for t in terms for u in _memory(t, strides, offset, shape)))]


def _memory(term: Term, strides: Sequence[int], offset: int, shape: tuple[int, ...]) -> Terms:
    flat = 1 << offset
    for b, stride in zip(term, strides, strict=True):
        flat = sum_sets(flat, bits.spread(b, stride) if stride else 1)
    return unflattened(flat, shape)


def sum_sets(a: int, b: int) -> int:
    """All sums of a member of each."""
    sums = 0
    for p in bits.members(b):
        sums |= a << p
    return sums


# -- joins and orders --------------------------------------------------------------------------------------


@rule("cat", "concat")
def cat(graph: Supports, node: Node) -> Maps:
    """The input whose range contains the position."""
    parts = [i for i in refs(node.args[0]) if graph.shape(i) != (0,)]
    d = dimension(graph, node.outputs[0], node.bind()["dim"])
    maps: Maps = []
    first = 0
    for part in parts:
        maps.append((part, _stretch(d, first, graph.shape(part)[d])))
        first += graph.shape(part)[d]
    return maps


def _stretch(d: int, first: int, size: int) -> Map:
    inside = bits.full(size)
    return termwise(lambda t: changed(t, d, t[d] >> first & inside))


@rule("stack")
def stack(graph: Supports, node: Node) -> Maps:
    """Input k is position k of a new dimension."""
    d = dimension(graph, node.outputs[0], node.bind()["dim"])
    return [(part, _layer(d, k)) for k, part in enumerate(refs(node.args[0]))]


def _layer(d: int, k: int) -> Map:
    return lambda terms, slot: union((*t[:d], *t[d + 1 :]) for t in terms if t[d] >> k & 1)


@rule("flip")
def flip(graph: Supports, node: Node) -> Maps:
    """The mirrored position."""
    x, shape = node.inputs[0], graph.shape(node.inputs[0])
    dims = {d % len(shape) for d in node.args[1]}
    return [
        (x, termwise(lambda t: tuple(bits.reversed_within(b, shape[d]) if d in dims else b for d, b in enumerate(t))))
    ]


@rule("roll")
def roll(graph: Supports, node: Node) -> Maps:
    """Position o reads o - shift, around the end; without dimensions, of the flattened tensor."""
    x, shape, bound = node.inputs[0], graph.shape(node.inputs[0]), node.bind()
    by, dims = list(bound["shifts"]), [d % len(shape) for d in bound["dims"] or []]
    if not dims:
        return [(x, lambda terms, slot: union(u for t in terms for u in _rolled_flat(t, by[0], shape)))]

    def one(term: Term) -> Term:
        for d, shift in zip(dims, by, strict=True):
            term = changed(term, d, _rotated(term[d], shape[d], shift))
        return term

    return [(x, termwise(one))]


def _rotated(b: int, size: int, shift: int) -> int:
    shift %= size
    return (b >> shift | b << size - shift) & bits.full(size)


def _rolled_flat(term: Term, shift: int, shape: tuple[int, ...]) -> Terms:
    return unflattened(_rotated(flattened(term, shape), _count(shape), shift), shape)


def _count(shape: Sequence[int]) -> int:
    n = 1
    for size in shape:
        n *= size
    return n


@rule("tril", "triu")
def triangle(graph: Supports, node: Node) -> Maps:
    """The same place inside the triangle; the rest is zero."""
    import numpy as np

    x, diagonal = node.inputs[0], int(node.bind()["diagonal"])
    cut = np.tril if node.name == "tril" else np.triu
    nonzero = cut(np.ones(graph.shape(x)[-2:], dtype=bool), diagonal)
    array = np.broadcast_to(nonzero, graph.shape(x))
    return [(x, lambda terms, slot: graph.restricted(terms, array))]


# -- writes through views --------------------------------------------------------------------------------


@rule("scatter through a view")
def scatter(graph: Supports, node: Node) -> Maps:
    """`inputs[1]` inside the view, `inputs[0]` outside of it."""
    base, source = node.inputs
    shape = graph.shape(base)
    inner = Node(node.index, node.op, node.args, {}, (base,), (source,), node.module)
    slot = node.kwargs["slot"]
    inside = _inside(graph, inner, slot, shape, graph.shape(source))
    return [(base, inside[0]), (source, inside[1])]


def _inside(graph: Supports, node: Node, part: int, shape: tuple[int, ...], small: tuple[int, ...]) -> tuple[Map, Map]:
    """(elements of the base that remain, elements of the source that were written)."""
    nothing: Map = lambda terms, slot: ()  # noqa: E731
    if node.name in ("view", "_unsafe_view", "unsqueeze", "squeeze", "alias", "detach", "_reshape_alias"):
        return nothing, lambda terms, slot: reshaped(terms, shape, small)
    if node.name in ("permute", "transpose", "t"):
        order = _order(graph, node)
        return nothing, lambda terms, slot: tuple(tuple([t[d] for d in order]) for t in terms)
    if node.name in ("slice", "narrow"):
        d, start, step = _range(graph, node)
        keep = bits.spread(bits.full(small[d]), step) << start
        outside = bits.full(shape[d]) & ~keep
        return _only(d, outside), termwise(lambda t: changed(t, d, bits.gathered((t[d] & keep) >> start, step)))
    if node.name in ("select", "unbind"):
        d, index = _chosen(graph, node, part)
        outside = bits.full(shape[d]) & ~(1 << index)
        return _only(d, outside), _layer(d, index)
    if node.name.removeprefix("unsafe_") in ("split", "split_with_sizes"):
        d, first = starts(graph, node)
        keep = bits.full(small[d]) << first[part]
        return _only(d, bits.full(shape[d]) & ~keep), _stretch(d, first[part], small[d])
    return _element_wise(graph, node, part, shape, small)


def _chosen(graph: Supports, node: Node, part: int) -> tuple[int, int]:
    bound, x = node.bind(), node.inputs[0]
    d = dimension(graph, x, bound["dim"])
    return d, part if node.name == "unbind" else bound["index"] % graph.shape(x)[d]


def _only(d: int, keep: int) -> Map:
    return termwise(lambda t: changed(t, d, t[d] & keep))


def _element_wise(
    graph: Supports, node: Node, part: int, shape: tuple[int, ...], small: tuple[int, ...]
) -> tuple[Map, Map]:
    """For views without a simple inverse (diagonal, strides): every element of the view on its own."""
    table: dict[Term, list[Term]] = {}
    forward = RULES[node.name](graph, node)[0][1]
    for place in _places(small):
        term = tuple(1 << p for p in place)
        for target in forward((term,), part):
            table.setdefault(target, []).append(term)
    covered = union(table)

    def written(terms: Terms, slot: int) -> Terms:
        hits = (t for target, own in table.items() if _meets(target, terms) for t in own)
        return union(hits)

    return lambda terms, slot: _without(terms, covered), written


def _meets(target: Term, terms: Terms) -> bool:
    return any(all(a & b for a, b in zip(target, t, strict=True)) for t in terms)


def _places(shape: Sequence[int]) -> list[tuple[int, ...]]:
    places: list[tuple[int, ...]] = [()]
    for n in shape:
        places = [(*p, i) for p in places for i in range(n)]
    return places


def _without(terms: Terms, removed: Terms) -> Terms:
    """The elements of `terms` that are in none of `removed`."""
    for r in removed:
        terms = union(piece for t in terms for piece in _minus(t, r))
    return terms


def _minus(term: Term, removed: Term) -> list[Term]:
    pieces: list[Term] = []
    for d, (a, b) in enumerate(zip(term, removed, strict=True)):
        pieces.append((*(x & y for x, y in zip(term[:d], removed[:d], strict=True)), a & ~b, *term[d + 1 :]))
    return pieces
