"""Operators that mix whole dimensions: reductions, normalisation, matrix products, softmax, transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.structure import bits
from bench.structure.nodes import Node, Ref
from bench.structure.rules_pointwise import Maps, broadcast, pointwise
from bench.structure.rules_views import changed, dimension, everything, termwise
from bench.structure.supports import Map, Supports, rule
from bench.structure.terms import Term, Terms, of_array, union

REDUCTIONS = (
    "sum mean amax amin prod var std var_mean std_mean norm linalg_vector_norm logsumexp any all max min"
    " argmax argmin aminmax nansum nanmean median nanmedian mode count_nonzero max_dim"
)


@rule(*REDUCTIONS.split())
def reduction(graph: Supports, node: Node) -> Maps:
    """All positions of the reduced dimensions. The binary `max` and `min` are pointwise."""
    bound, x = node.bind(), node.inputs[0]
    if "other" in bound:
        return pointwise(graph, node)
    shape = graph.shape(x)
    dims = _reduced(bound, len(shape))
    keepdim = len(graph.shape(node.outputs[0])) == len(shape)

    def one(term: Term) -> Term:
        rest = iter(term)
        dims_read = []
        for d, n in enumerate(shape):
            own = next(rest) if keepdim or d not in dims else 0
            dims_read.append(bits.full(n) if d in dims else own)
        return tuple(dims_read)

    return [(x, termwise(one))]


def _reduced(bound: dict[str, Any], rank: int) -> set[int]:
    dims = bound.get("dim", bound.get("dims"))
    if dims is None or (isinstance(dims, (list, tuple)) and not dims):
        return set(range(rank))
    return {d % max(rank, 1) for d in ([dims] if isinstance(dims, int) else dims)}


@rule("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin", "_cummax_helper")
def cumulative(graph: Supports, node: Node) -> Maps:
    """A position and all positions before it."""
    x = node.inputs[0]
    d = dimension(graph, x, node.bind()["dim"])
    return [(x, termwise(lambda t: changed(t, d, bits.full(t[d].bit_length()))))]


# -- softmax and other rows ------------------------------------------------------------------------------


@rule("_softmax", "softmax", "_log_softmax", "log_softmax", "_safe_softmax")
def softmax(graph: Supports, node: Node) -> Maps:
    """The whole row, except scores that a mask sets to minus infinity."""
    x = node.inputs[0]
    shape, d = graph.shape(x), dimension(graph, x, node.bind()["dim"])
    finite = graph.finite(x)
    if finite is None:
        return [(x, termwise(lambda t: changed(t, d, bits.full(shape[d]))))]
    open_ = of_array(finite)

    def rows(terms: Terms, slot: int) -> Terms:
        return union(u for t in terms for u in _open_rows(t, open_, d))

    return [(x, rows)]


def _open_rows(term: Term, open_: Terms, d: int) -> list[Term]:
    """The unmasked scores of each row of `term` that has an unmasked element in `term`."""
    rows = []
    for o in open_:
        met = tuple(a & b for a, b in zip(term, o, strict=True))
        if all(met):
            rows.append(changed(met, d, 0))
    products = []
    for row in rows:
        for o in open_:
            products.append(tuple(b if i == d else a & b for i, (a, b) in enumerate(zip(row, o, strict=True))))
    return products


@rule("sort", "topk", "kthvalue", "argsort", "searchsorted", "_unique2", "histc", "bincount")
def ranked(graph: Supports, node: Node) -> Maps:
    """Any element of the row: a bound."""
    graph.bounded(node)
    x, dim = node.inputs[0], node.bind().get("dim")
    if dim is None or len(graph.shape(x)) != len(graph.shape(node.outputs[0])):
        return [(i, everything(graph, i)) for i in node.inputs]
    d = dimension(graph, x, dim)
    return [(x, termwise(lambda t: changed(t, d, bits.full(graph.shape(x)[d]))))]


@rule("_fft_r2c", "_fft_c2c", "_fft_c2r")
def fourier(graph: Supports, node: Node) -> Maps:
    """All positions of the transformed dimensions."""
    x = node.inputs[0]
    return [(x, filled(graph, x, node.args[1]))]


def filled(graph: Supports, value: int, dims: Sequence[int]) -> Map:
    """All positions of some dimensions, the same positions of the others."""
    shape = graph.shape(value)
    chosen = {d % len(shape) for d in dims}
    return termwise(lambda t: tuple(bits.full(n) if d in chosen else t[d] for d, n in enumerate(shape)))


# -- normalisation ---------------------------------------------------------------------------------------

BATCH_NORMS = (
    "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm"
    " miopen_batch_norm batch_norm _batch_norm_with_update _batch_norm_no_update"
)


@rule(*BATCH_NORMS.split())
def batch_norm(graph: Supports, node: Node) -> Maps:
    """Pointwise with running statistics; the whole channel with batch statistics."""
    bound = node.bind()
    x = bound["input"].id
    training = node.name == "_batch_norm_with_update" or bool(bound.get("training", False))
    maps = _per_channel(bound, ("weight", "bias"))
    if not training or "normalisation" in graph.cut:
        return [(x, _first_output(graph, x)), *maps]
    dims = [d for d in range(len(graph.shape(x))) if d != 1]
    return [(x, _statistics(filled(graph, x, dims), graph, x, 1)), *maps]


def _first_output(graph: Supports, x: int) -> Map:
    return lambda terms, slot: terms if slot == 0 else ()


def _statistics(normalised: Map, graph: Supports, x: int, axis: int) -> Map:
    """The saved mean and deviation (slots 1 and 2), one per channel, read the whole channel."""
    shape = graph.shape(x)

    def down(terms: Terms, slot: int) -> Terms:
        if slot == 0:
            return normalised(terms, 0)
        return union(tuple(t[0] if d == axis else bits.full(n) for d, n in enumerate(shape)) for t in terms)

    return down


def _per_channel(bound: dict[str, Any], names: Sequence[str]) -> Maps:
    values = [bound[n].id for n in names if isinstance(bound.get(n), Ref)]
    return [(i, lambda terms, slot: union((t[1],) for t in terms) if slot == 0 else ()) for i in values]


@rule("native_layer_norm", "_fused_rms_norm", "rms_norm", "layer_norm")
def layer_norm(graph: Supports, node: Node) -> Maps:
    """All positions of the normalised dimensions, which are the last ones."""
    bound, x = node.bind(), node.inputs[0]
    rank, last = len(graph.shape(x)), len(bound["normalized_shape"])
    weights: Maps = [
        (bound[n].id, lambda terms, slot: union(t[rank - last :] for t in terms))
        for n in ("weight", "bias")
        if isinstance(bound.get(n), Ref)
    ]
    if "normalisation" in graph.cut:
        return [(x, lambda terms, slot: terms), *weights]
    return [(x, filled(graph, x, range(rank - last, rank))), *weights]


@rule("native_group_norm")
def group_norm(graph: Supports, node: Node) -> Maps:
    """All positions of the channels of the group."""
    bound, x = node.bind(), node.inputs[0]
    shape, groups = graph.shape(x), int(bound["group"])
    maps = _per_channel(bound, ("weight", "bias"))
    if "normalisation" in graph.cut:
        return [(x, _first_output(graph, x)), *maps]
    per = shape[1] // groups
    every = tuple(bits.full(n) for n in shape[2:])

    def down(terms: Terms, slot: int) -> Terms:
        return union((t[0], _group(t[1], per, slot), *every) for t in terms)

    return [(x, down), *maps]


def _group(channels: int, per: int, slot: int) -> int:
    """The channels of all groups in `channels`; slots 1 and 2 have one entry per group."""
    members = {c // per if slot == 0 else c for c in bits.members(channels)}
    return bits.of(g * per + i for g in members for i in range(per))


# -- matrix products -------------------------------------------------------------------------------------


@rule("mm", "bmm", "addmm", "baddbmm", "mv", "dot", "matmul", "linear", "addmv", "addbmm", "vdot", "_int_mm")
def product(graph: Supports, node: Node) -> Maps:
    """A row of the left factor and a column of the right one, except structural zeros."""
    if node.name in ("linear", "matmul", "addbmm"):
        return _loose(graph, node)
    added = node.name in ("addmm", "baddbmm", "addmv")
    left, right = node.inputs[added : added + 2]
    maps: Maps = [(node.inputs[0], broadcast(graph, node.inputs[0], node.outputs[0]))] if added else []
    attention = "attention" in graph.cut and _is_attention(graph, left)
    if attention:
        return [*maps, *_unmixed(graph, left, right)]
    return [*maps, *_factors(graph, left, right)]


@rule("_trilinear")
def bilinear_form(graph: Supports, node: Node) -> Maps:
    """Three factors with dimensions inserted, multiplied and summed over some dimensions (`nn.Bilinear`)."""
    bound, shapes = node.bind(), []
    inserted = [set(bound[f"expand{k}"]) for k in "123"]
    for value, places in zip(node.inputs, inserted, strict=True):
        own = iter(graph.shape(value))
        shapes.append([1 if d in places else next(own) for d in range(len(graph.shape(value)) + len(places))])
    sizes, summed = [max(lengths) for lengths in zip(*shapes, strict=True)], set(bound["sumdim"])

    def factor(k: int) -> Map:
        def one(term: Term) -> Term:
            rest = iter(term)
            whole = [bits.full(n) if d in summed else next(rest) for d, n in enumerate(sizes)]
            return tuple(1 if shapes[k][d] == 1 else whole[d] for d in range(len(sizes)) if d not in inserted[k])

        return termwise(one)

    return [(value, factor(k)) for k, value in enumerate(node.inputs)]


def _loose(graph: Supports, node: Node) -> Maps:
    """A product that was not decomposed into mm or bmm: a bound."""
    graph.bounded(node)
    return [(i, everything(graph, i)) for i in node.inputs]


def _factors(graph: Supports, left: int, right: int) -> Maps:
    """Left is (..., i, k) or (k), right (..., k, j) or (k); a set of outputs is (..., i, j)."""
    a, b = graph.shape(left), graph.shape(right)
    inner = a[-1]
    maps: Maps = []
    zeros = graph.nonzero(right), graph.nonzero(left)
    open_right = None if zeros[0] is None else of_array(zeros[0])
    open_left = None if zeros[1] is None else of_array(zeros[1])

    def of_left(terms: Terms, slot: int) -> Terms:
        return union(u for t in terms for u in _left(_split(t, len(a), len(b)), inner, open_right, len(a)))

    def of_right(terms: Terms, slot: int) -> Terms:
        return union(u for t in terms for u in _right(_split(t, len(a), len(b)), inner, open_left, len(b)))

    maps.append((left, of_left))
    maps.append((right, of_right))
    return maps


def _split(term: Term, left: int, right: int) -> tuple[Term, int, int]:
    """(batch, rows, columns) of a set of outputs; 1 for the missing axis of a vector."""
    rest = list(term)
    columns = rest.pop() if right > 1 else 1
    rows = rest.pop() if left > 1 else 1
    return tuple(rest), rows, columns


def _left(parts: tuple[Term, int, int], inner: int, open_: Terms | None, rank: int) -> list[Term]:
    batch, rows, columns = parts
    if open_ is None:
        return [(*batch, rows, bits.full(inner))[-rank:]]
    if len(open_[0]) == 1:
        return [(*batch, rows, k)[-rank:] for (k,) in open_]
    return [(*(x & y for x, y in zip(batch, b, strict=True)), rows, k)[-rank:] for *b, k, j in open_ if j & columns]


def _right(parts: tuple[Term, int, int], inner: int, open_: Terms | None, rank: int) -> list[Term]:
    batch, rows, columns = parts
    if open_ is None:
        return [(*batch, bits.full(inner), columns) if rank > 1 else (bits.full(inner),)]
    if len(open_[0]) == 1:
        return [(*batch, k, columns) if rank > 1 else (k,) for (k,) in open_]
    return [
        (*(x & y for x, y in zip(batch, b, strict=True)), k, columns) if rank > 1 else (k,)
        for *b, i, k in open_
        if i & rows
    ]


def _is_attention(graph: Supports, value: int) -> bool:
    """Whether a value is a softmax, up to views, copies and factors."""
    passing = ("view", "_unsafe_view", "expand", "clone", "permute", "transpose", "_to_copy", "native_dropout", "mul")
    while (record := graph.value(value)).node >= 0:
        node = graph.tape.nodes[record.node]
        if node.name in ("_softmax", "_safe_softmax", "softmax"):
            return True
        if node.name not in passing:
            return False
        value = node.inputs[0]
    return False


def _unmixed(graph: Supports, left: int, right: int) -> Maps:
    """Attention left out: token i reads value i if there are as many of both, otherwise nothing."""
    rows, inner = graph.shape(left)[-2:]
    if rows != inner:
        return []
    return [(right, lambda terms, slot: terms)]


@rule("addr")
def outer(graph: Supports, node: Node) -> Maps:
    """Element (i, j) reads the added element, element i of the first vector and element j of the second."""
    added, first, second = node.inputs[:3]
    return [
        (added, broadcast(graph, added, node.outputs[0])),
        (first, termwise(lambda t: (t[0],))),
        (second, termwise(lambda t: (t[1],))),
    ]


@rule("_cdist_forward")
def pairwise(graph: Supports, node: Node) -> Maps:
    """Distance (i, j) reads row i of the first input and row j of the second."""
    left, right = node.inputs[:2]
    width = bits.full(graph.shape(left)[-1])
    return [
        (left, termwise(lambda t: (*t[:-2], t[-2], width))),
        (right, termwise(lambda t: (*t[:-2], t[-1], width))),
    ]


MATRICES = (
    "linalg_inv_ex _linalg_det _linalg_svd _linalg_eigh linalg_qr linalg_cholesky_ex linalg_matrix_exp"
    " _linalg_solve_ex _linalg_slogdet linalg_lu_factor_ex triangular_solve inverse linalg_solve_triangular"
    " cholesky_solve"
)


@rule(*MATRICES.split())
def matrix_function(graph: Supports, node: Node) -> Maps:
    """Functions of whole matrices: all elements of each input, as a bound."""
    graph.bounded(node)
    return [(i, everything(graph, i)) for i in node.inputs]
