"""Operators that slide a window: convolution, pooling and its inverse, im2col."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from bench.structure import bits
from bench.structure.nodes import Node, Ref
from bench.structure.rules_pointwise import Maps
from bench.structure.rules_views import termwise
from bench.structure.supports import Map, Supports, rule
from bench.structure.terms import Term, Terms, of_array, union


def each(value: Any, dims: int) -> tuple[int, ...]:
    """One number per dimension; a single number is repeated."""
    numbers = [value] if isinstance(value, int) else list(value)
    return tuple(numbers * dims if len(numbers) == 1 else numbers)


def taps(kernel: int, dilation: int, padding: int) -> tuple[int, ...]:
    """Offsets from the start of a window."""
    return tuple(k * dilation - padding for k in range(kernel))


# -- convolution ---------------------------------------------------------------------------------------


class Convolution:
    """The geometry of one convolution: which inputs, and which weights, an output reads."""

    def __init__(self, graph: Supports, node: Node) -> None:
        bound = node.bind()
        self.x, self.w = bound["input"].id, bound["weight"].id
        self.bias = bound["bias"].id if isinstance(bound["bias"], Ref) else None
        self.shape, self.weight = graph.shape(self.x), graph.shape(self.w)
        self.out = graph.shape(node.outputs[0])
        self.batched = len(self.shape) == len(self.weight)
        self.dims = len(self.weight) - 2
        self.transposed, self.groups = bool(bound["transposed"]), int(bound["groups"])
        self.stride = each(bound["stride"], self.dims)
        self.padding = each(bound["padding"], self.dims)
        self.dilation = each(bound["dilation"], self.dims)
        kernel = self.weight[2:]
        self.taps = tuple(taps(*p) for p in zip(kernel, self.dilation, self.padding, strict=True))
        self.nonzero = graph.nonzero(self.w)

    def along(self, d: int, outputs: int, chosen: tuple[int, ...]) -> int:
        """Inputs along a spatial axis that a set of outputs reads through the chosen taps."""
        size = self.shape[2 + d]
        if self.transposed:
            return bits.readers(outputs, size, chosen, self.stride[d])
        return bits.windows(outputs, size, chosen, self.stride[d])

    def inputs(self, terms: Terms, slot: int) -> Terms:
        return union(t for term in terms for t in self._one(term))

    def _one(self, term: Term) -> list[Term]:
        batch, channels, *places = term
        products = []
        for inputs, *kernel in self._read(channels):
            chosen = (tuple(t for k, t in enumerate(own) if kernel[d] >> k & 1) for d, own in enumerate(self.taps))
            read = (self.along(d, o, c) for d, (o, c) in enumerate(zip(places, chosen, strict=True)))
            products.append((batch, inputs, *read))
        return products

    def _read(self, channels: int) -> Terms:
        """(input channels, taps along each axis) that a set of output channels reads."""
        if self.nonzero is None:
            return ((self._grouped(channels), *(bits.full(len(t)) for t in self.taps)),)
        return self._masked(channels)

    def _grouped(self, channels: int) -> int:
        """All input channels of the groups of `channels`."""
        if self.groups == 1:
            return bits.full(self.shape[1])
        outer, inner = self.out[1] // self.groups, self.shape[1] // self.groups
        if outer == inner == 1 or (outer == 1 and inner == 1):
            return channels
        return _blocks(channels, outer, inner)

    @lru_cache(maxsize=256)  # noqa: B019 (the cache lives as long as the rules of the tape)
    def _masked(self, channels: int) -> Terms:
        """As `_read`, only through weights that no mask sets to zero."""
        assert self.nonzero is not None
        inner, outer = self.shape[1] // self.groups, self.out[1] // self.groups
        products: list[Term] = []
        for g in range(self.groups):
            own = bits.members(channels >> g * outer & bits.full(outer))
            if own:
                array = self._of_group(g, own, inner)
                products += [(t[0] << g * inner, *t[1:]) for t in of_array(array)]
        return union(products)

    def _of_group(self, g: int, own: list[int], inner: int) -> np.ndarray:
        assert self.nonzero is not None
        if self.transposed:
            return np.asarray(self.nonzero[g * inner : (g + 1) * inner, own].any(axis=1))
        outer = self.out[1] // self.groups
        return np.asarray(self.nonzero[[g * outer + o for o in own]].any(axis=0))

    def weights(self, terms: Terms, slot: int) -> Terms:
        """Weights that are multiplied with a pixel (not padding) for the outputs in `terms` (dynamic convolution)."""
        return union(self._weights_of(term) for term in terms)

    def _weights_of(self, term: Term) -> Term:
        _, channels, *places = term
        met = [
            bits.of(k for k, t in enumerate(own) if self.along(d, places[d], (t,))) for d, own in enumerate(self.taps)
        ]
        if not self.transposed:
            return (channels, bits.full(self.weight[1]), *met)
        outer = self.weight[1]
        return (self._grouped(channels), bits.folded(channels, outer), *met)


@lru_cache(maxsize=4096)
def _blocks(channels: int, outer: int, inner: int) -> int:
    inputs, block = 0, bits.full(inner)
    for g in {c // outer for c in bits.members(channels)}:
        inputs |= block << g * inner
    return inputs


@rule("convolution")
def convolution(graph: Supports, node: Node) -> Maps:
    """The window in all channels of the group; weights and bias too if they depend on the input."""
    c = Convolution(graph, node)
    if graph.unknown(c.w):
        graph.bounded(node)
    maps: Maps = [(c.x, c.inputs), (c.w, c.weights)]
    if c.bias is not None:
        maps.append((c.bias, lambda terms, slot: union((t[1],) for t in terms)))
    return maps


@rule("conv_tbc")
def time_convolution(graph: Supports, node: Node) -> Maps:
    """A window along the first axis of (time, batch, channels), in all channels."""
    x, weight, bias = node.inputs
    (kernel, channels, _), length = graph.shape(weight), graph.shape(x)[0]
    window = taps(kernel, 1, int(node.bind()["pad"]))

    def inputs(term: Term) -> Term:
        return bits.windows(term[0], length, window, 1), term[1], bits.full(channels)

    def weights(term: Term) -> Term:
        """Those that lie on the input, not on its padding, for some position."""
        starts = list(bits.members(term[0]))
        used = bits.of(k for k, offset in enumerate(window) if any(0 <= p + offset < length for p in starts))
        return used, bits.full(channels), term[2]

    return [(x, termwise(inputs)), (weight, termwise(weights)), (bias, termwise(lambda term: (term[2],)))]


# -- pooling ---------------------------------------------------------------------------------------------


def pool_taps(bound: dict[str, Any], dims: int) -> list[tuple[tuple[int, ...], int]]:
    """(offsets, stride) of a pooling window along each axis."""
    kernel = each(bound["kernel_size"], dims)
    stride = each(bound["stride"], dims) if bound.get("stride") else kernel
    padding = each(bound["padding"], dims)
    dilation = each(bound.get("dilation", 1), dims)
    return [(taps(k, d, p), s) for k, d, p, s in zip(kernel, dilation, padding, stride, strict=True)]


def along_last(axes: Sequence[Any], sizes: Sequence[int]) -> Map:
    """Each of the last axes mapped by its own (taps, stride)."""
    lead = -len(axes)

    def down(terms: Terms, slot: int) -> Terms:
        return union(
            (*t[:lead], *(bits.windows(o, n, w, s) for o, n, (w, s) in zip(t[lead:], sizes, axes, strict=True)))
            for t in terms
        )

    return down


POOLS = {
    f"{kind}_pool{n}d{tail}": n
    for n in (1, 2, 3)
    for kind, tail in (("max", "_with_indices"), ("avg", ""), ("max", ""))
}


@rule(*POOLS)
def pool(graph: Supports, node: Node) -> Maps:
    """Every position of the window: each can be the largest. The indices read the same."""
    dims = POOLS[node.name]
    x = node.inputs[0]
    return [(x, along_last(pool_taps(node.bind(), dims), graph.shape(x)[-dims:]))]


ADAPTIVE = {
    name: n
    for n in (1, 2, 3)
    for name in (f"_adaptive_avg_pool{n}d", f"adaptive_avg_pool{n}d", f"adaptive_max_pool{n}d")
}


@lru_cache(maxsize=256)
def adaptive_rows(size: int, out: int) -> tuple[int, ...]:
    """Bin o of `out` reads floor(o * size / out) to ceil((o + 1) * size / out)."""
    return tuple(bits.interval(o * size // out, -(-(o + 1) * size // out)) for o in range(out))


def by_rows(rows: Sequence[tuple[int, ...]]) -> Map:
    """Each of the last axes mapped by its table of the inputs of each output."""
    lead = -len(rows)

    def down(terms: Terms, slot: int) -> Terms:
        return union((*t[:lead], *(bits.images(o, r) for o, r in zip(t[lead:], rows, strict=True))) for t in terms)

    return down


@rule(*ADAPTIVE)
def adaptive_pool(graph: Supports, node: Node) -> Maps:
    """The bin of each output."""
    dims, x = ADAPTIVE[node.name], node.inputs[0]
    sizes = zip(graph.shape(x)[-dims:], graph.shape(node.outputs[0])[-dims:], strict=True)
    return [(x, by_rows([adaptive_rows(n, o) for n, o in sizes]))]


@rule("fractional_max_pool2d", "fractional_max_pool3d")
def fractional_pool(graph: Supports, node: Node) -> Maps:
    """Windows have random places: all of the map, as a bound."""
    graph.bounded(node)
    dims = 2 if "2d" in node.name else 3
    sizes = graph.shape(node.inputs[0])[-dims:]
    return [(node.inputs[0], lambda t, s: union((*u[:-dims], *map(bits.full, sizes)) for u in t))]


@rule("max_unpool2d", "max_unpool3d")
def max_unpool(graph: Supports, node: Node) -> Maps:
    """The values whose pooling window contains the output, and their indices."""
    dims = 2 if node.name.endswith("2d") else 3
    x, indices = node.inputs[:2]
    pooled = _pooling_of(graph, indices)
    out = graph.shape(node.outputs[0])
    if pooled is None or graph.shape(pooled.inputs[0])[-dims:] != out[-dims:]:
        graph.bounded(node)
        sizes = graph.shape(x)[-dims:]
        anywhere: Map = lambda t, s: union((*u[:-dims], *map(bits.full, sizes)) for u in t)  # noqa: E731
        return [(x, anywhere), (indices, anywhere)]
    axes, sizes = pool_taps(pooled.bind(), dims), graph.shape(x)[-dims:]

    def cells(terms: Terms, slot: int) -> Terms:
        return union(
            (*t[:-dims], *(bits.readers(o, n, w, s) for o, n, (w, s) in zip(t[-dims:], sizes, axes, strict=True)))
            for t in terms
        )

    return [(x, cells), (indices, cells)]


def _pooling_of(graph: Supports, value: int) -> Node | None:
    """The max-pool that computed these indices, if nothing moved them afterwards."""
    while (record := graph.value(value)).node >= 0:
        node = graph.tape.nodes[record.node]
        if node.name in POOLS:
            return node
        if node.name not in ("clone", "detach", "alias", "_to_copy"):
            return None
        value = node.inputs[0]
    return None


# -- windows as columns ----------------------------------------------------------------------------------


@rule("im2col")
def im2col(graph: Supports, node: Node) -> Maps:
    """(N, C, H, W) to (N, C * kh * kw, L): column l, row c * kh * kw + i * kw + j reads one pixel."""
    bound, x = node.bind(), node.inputs[0]
    shape = graph.shape(x)
    grid = _Columns(bound, shape[-2:])

    def down(terms: Terms, slot: int) -> Terms:
        return union(t for term in terms for t in grid.pixels(term))

    return [(x, down)]


@rule("col2im")
def col2im(graph: Supports, node: Node) -> Maps:
    """The sum over all columns that contain the pixel: the inverse of `im2col`."""
    bound, x = node.bind(), node.inputs[0]
    grid = _Columns(bound, each(bound["output_size"], 2))

    def down(terms: Terms, slot: int) -> Terms:
        return union(t for term in terms for t in grid.columns(term))

    return [(x, down)]


class _Columns:
    """The grid of windows of im2col and col2im over a map of `size`."""

    def __init__(self, bound: dict[str, Any], size: Sequence[int]) -> None:
        self.kernel, self.size = each(bound["kernel_size"], 2), tuple(size)
        self.dilation, self.padding = each(bound["dilation"], 2), each(bound["padding"], 2)
        self.stride = each(bound["stride"], 2)
        spans = zip(self.size, self.kernel, self.dilation, self.padding, self.stride, strict=True)
        self.grid = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in spans)

    def offset(self, axis: int, k: int) -> int:
        return k * self.dilation[axis] - self.padding[axis]

    def pixels(self, term: Term) -> list[Term]:
        *batch, rows, columns = term
        kh, kw = self.kernel
        blocks = _unflattened(columns, self.grid[1])
        products = []
        for tap in range(kh * kw):
            channels = bits.gathered(rows >> tap, kh * kw)
            for ys, xs in blocks if channels else ():
                y = bits.windows(ys, self.size[0], (self.offset(0, tap // kw),), self.stride[0])
                x = bits.windows(xs, self.size[1], (self.offset(1, tap % kw),), self.stride[1])
                products.append((*batch, channels, y, x))
        return products

    def columns(self, term: Term) -> list[Term]:
        *batch, channels, ys, xs = term
        kh, kw = self.kernel
        products = []
        for tap in range(kh * kw):
            y = bits.readers(ys, self.grid[0], (self.offset(0, tap // kw),), self.stride[0])
            x = bits.readers(xs, self.grid[1], (self.offset(1, tap % kw),), self.stride[1])
            rows = bits.spread(channels, kh * kw) << tap
            products.append((*batch, rows, bits.spread(y, self.grid[1]) * x))
        return products


def _unflattened(flat: int, width: int) -> Terms:
    """A set over y * width + x as products of rows and columns."""
    alike: dict[int, int] = {}
    y = 0
    while flat:
        row = flat & bits.full(width)
        if row:
            alike[row] = alike.get(row, 0) | 1 << y
        flat >>= width
        y += 1
    return tuple((ys, row) for row, ys in alike.items())
