"""Interpolation, padding, pixel shuffles: which input pixels an output pixel is made of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import _disable_current_modes

from bench.structure import bits
from bench.structure.nodes import Node
from bench.structure.rules_pointwise import Maps
from bench.structure.rules_views import everything
from bench.structure.rules_windows import by_rows
from bench.structure.supports import Map, Supports, rule
from bench.structure.terms import Terms, union

UPSAMPLES = {
    "upsample_nearest1d": 1,
    "upsample_nearest2d": 2,
    "upsample_nearest3d": 3,
    "_upsample_nearest_exact1d": 1,
    "_upsample_nearest_exact2d": 2,
    "_upsample_nearest_exact3d": 3,
    "upsample_linear1d": 1,
    "upsample_bilinear2d": 2,
    "upsample_trilinear3d": 3,
    "upsample_bicubic2d": 2,
    "_upsample_bilinear2d_aa": 2,
    "_upsample_bicubic2d_aa": 2,
    "_upsample_lanczos2d_aa": 2,
}
COLOURS = 16
"""Probes that distinguish neighbouring taps: a kernel without antialiasing has at most four taps."""


@rule(*UPSAMPLES)
def upsample(graph: Supports, node: Node) -> Maps:
    """The taps with a weight other than zero, found by running the kernel itself, one axis at a time."""
    dims, x, bound = UPSAMPLES[node.name], node.inputs[0], node.bind()
    sizes, outs = graph.shape(x)[2:], graph.shape(node.outputs[0])[2:]
    if "global_pooling" in graph.cut and all(n == 1 for n in sizes) and any(o > 1 for o in outs):
        return []
    scales = _scales(bound, dims)
    corners = bound.get("align_corners")
    dtype = graph.value(x).dtype
    dtype = torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype
    return [
        (
            x,
            by_rows(
                [
                    tap_rows(node.op, dims, d, n, o, scales[d], corners, dtype)
                    for d, (n, o) in enumerate(zip(sizes, outs, strict=True))
                ]
            ),
        )
    ]


def _scales(bound: dict[str, Any], dims: int) -> list[float | None]:
    if bound.get("scale_factors") is not None:
        return list(bound["scale_factors"])
    if dims == 1:
        return [bound.get("scales")]
    return [bound.get(f"scales_{axis}") for axis in "dhw"[-dims:]]


@lru_cache(maxsize=512)
def tap_rows(
    op: Any, dims: int, axis: int, size: int, out: int, scale: float | None, corners: bool | None, dtype: Any
) -> tuple[int, ...]:
    """The inputs with non-zero weight of each output along one axis, in the arithmetic of `dtype`."""
    exhaustive = size <= COLOURS or "_aa" in op._schema.name
    colours = size if exhaustive else COLOURS
    answer = _probe(op, dims, axis, size, out, scale, corners, dtype, colours)
    if exhaustive:
        return tuple(bits.of(np.flatnonzero(column).tolist()) for column in answer.T)
    ratio = _ratio(size, out, scale, corners)
    return tuple(
        bits.of(_nearest(int(c), _centre(o, ratio, corners, op), size) for c in np.flatnonzero(answer[:, o]))
        for o in range(out)
    )


def _ratio(size: int, out: int, scale: float | None, corners: bool | None) -> float:
    if corners:
        return (size - 1) / (out - 1) if out > 1 else 0.0
    return 1 / scale if scale else size / out


def _centre(o: int, ratio: float, corners: bool | None, op: Any) -> float:
    """The approximate position of output o in the input, in pixels."""
    nearest = "nearest" in op._schema.name
    return o * ratio if corners or nearest else (o + 0.5) * ratio - 0.5


def _nearest(colour: int, centre: float, size: int) -> int:
    """The pixel of this colour nearest to `centre`, inside the map."""
    k = round((min(max(centre, 0), size - 1) - colour) / COLOURS)
    candidates = [i for i in (colour + COLOURS * j for j in (k - 1, k, k + 1)) if 0 <= i < size]
    return min(candidates, key=lambda i: abs(i - centre))


def _probe(
    op: Any, dims: int, axis: int, size: int, out: int, scale: float | None, corners: Any, dtype: Any, colours: int
) -> np.ndarray:
    """(colours, out): whether pixels of each colour have a non-zero weight in each output."""
    # Two identical columns: torch's antialiased kernels go wrong on maps of width one.
    shape, target = [2] * dims, [2] * dims
    shape[axis], target[axis] = size, out
    along = [1] * dims
    along[axis] = size
    factors: list[float | None] = [None] * dims
    factors[axis] = scale
    pixels = torch.arange(size)
    with _disable_current_modes(), torch.no_grad():
        image = (pixels[None] % colours == torch.arange(colours)[:, None]).to(dtype)
        arguments = [] if "nearest" in op._schema.name else [bool(corners)]
        kernel = getattr(torch.ops.aten, op._schema.name.split("::")[-1]).default
        image = image.reshape(1, colours, *along).expand(1, colours, *shape).contiguous()
        result = kernel(image, target, *arguments, *factors).movedim(2 + axis, 2)
    return np.asarray((result.reshape(colours, out, -1)[:, :, 0] != 0).numpy())


# -- padding ---------------------------------------------------------------------------------------------


@rule("constant_pad_nd")
def constant_pad(graph: Supports, node: Node) -> Maps:
    """The pixel itself; padded pixels read nothing; negative padding crops."""
    x, pad = node.inputs[0], list(node.bind()["pad"])
    shape = graph.shape(x)
    before = [0] * len(shape)
    for i in range(len(pad) // 2):
        before[-1 - i] = pad[2 * i]
    inside = [bits.full(n) for n in shape]

    def down(terms: Terms, slot: int) -> Terms:
        return union(tuple(bits.shifted(b, -p) & m for b, p, m in zip(t, before, inside, strict=True)) for t in terms)

    return [(x, down)]


PADS = {f"{mode}_pad{n}d": n for mode in ("reflection", "replication") for n in (1, 2, 3)}


@rule(*PADS)
def mirrored_pad(graph: Supports, node: Node) -> Maps:
    """Padded pixels read the pixel that they copy: mirrored at the edge, or the edge itself."""
    dims, x, pad = PADS[node.name], node.inputs[0], list(node.bind()["padding"])
    sizes = graph.shape(x)[-dims:]
    outs = graph.shape(node.outputs[0])[-dims:]
    reflect = node.name.startswith("reflection")
    return [
        (
            x,
            by_rows(
                [
                    tuple(1 << _source(o - pad[2 * (dims - 1 - d)], n, reflect) for o in range(outs[d]))
                    for d, n in enumerate(sizes)
                ]
            ),
        )
    ]


def _source(i: int, size: int, reflect: bool) -> int:
    if reflect and not 0 <= i < size:
        return -i if i < 0 else 2 * (size - 1) - i
    return min(max(i, 0), size - 1)


# -- shuffles --------------------------------------------------------------------------------------------


@rule("pixel_shuffle")
def pixel_shuffle(graph: Supports, node: Node) -> Maps:
    """(C * r * r, H, W) to (C, H * r, W * r)."""
    r = int(node.args[1])

    def down(terms: Terms, slot: int) -> Terms:
        return union(t for term in terms for t in _shuffled(term, r))

    return [(node.inputs[0], down)]


def _shuffled(term: tuple[int, ...], r: int) -> Sequence[tuple[int, ...]]:
    *batch, channels, ys, xs = term
    return [
        (
            *batch,
            bits.spread(channels, r * r) << (i * r + j),
            bits.gathered(ys >> i, r),
            bits.gathered(xs >> j, r),
        )
        for i in range(r)
        for j in range(r)
    ]


@rule("pixel_unshuffle")
def pixel_unshuffle(graph: Supports, node: Node) -> Maps:
    """(C, H * r, W * r) to (C * r * r, H, W)."""
    r = int(node.args[1])

    def down(terms: Terms, slot: int) -> Terms:
        return union(
            (*t[:-3], bits.gathered(t[-3] >> k, r * r), bits.spread(t[-2], r) << k // r, bits.spread(t[-1], r) << k % r)
            for t in terms
            for k in range(r * r)
        )

    return [(node.inputs[0], down)]


@rule("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(graph: Supports, node: Node) -> Maps:
    """Channel k * groups + g reads channel g * (C / groups) + k."""
    x, groups = node.inputs[0], int(node.args[1])
    per = graph.shape(x)[1] // groups
    rows = tuple(1 << (o % groups) * per + o // groups for o in range(per * groups))
    return [(x, lambda terms, slot: union((t[0], bits.images(t[1], rows), *t[2:]) for t in terms))]


# -- sampling --------------------------------------------------------------------------------------------


@rule("grid_sampler_2d", "grid_sampler_3d", "grid_sampler", "_grid_sampler_2d_cpu_fallback")
def grid_sample(graph: Supports, node: Node) -> Maps:
    """Any pixel of the map, as a bound; all coordinates of the place."""
    x, grid = node.inputs[:2]
    graph.bounded(node)
    sizes = graph.shape(x)[2:]
    coordinates = bits.full(len(sizes))

    def anywhere(terms: Terms, slot: int) -> Terms:
        return union((t[0], t[1], *map(bits.full, sizes)) for t in terms)

    return [(x, anywhere), (grid, lambda terms, slot: union((t[0], *t[2:], coordinates) for t in terms))]


@rule("deform_conv2d")
def deformable(graph: Supports, node: Node) -> Maps:
    """Any pixel of the map, as a bound, because offsets are data; offsets and mask at the same place."""
    graph.bounded(node)
    bound = node.bind()
    x = bound["input"].id
    every = tuple(bits.full(n) for n in graph.shape(x)[1:])
    maps: Maps = [(x, lambda terms, slot: union((t[0], *every) for t in terms))]
    for name in ("offset", "mask") if bound["use_mask"] else ("offset",):
        value = bound[name].id
        maps.append((value, _same_place(bits.full(graph.shape(value)[1]))))
    return maps


def _same_place(channels: int) -> Map:
    return lambda terms, slot: union((t[0], channels, *t[2:]) for t in terms)


@rule("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool")
def regions(graph: Supports, node: Node) -> Maps:
    """Any pixel of the map, as a bound, because regions are data."""
    graph.bounded(node)
    return [(i, everything(graph, i)) for i in node.inputs]
