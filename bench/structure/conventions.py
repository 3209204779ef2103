"""The counting conventions of published tables, each as a function of a recording."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from bench.structure.costs import cost_of, costs
from bench.structure.nodes import Node, Ref, Tape


def torchvision_gflops(tape: Tape) -> float:
    """torchvision's `_ops`: convolutions and matrix products, one per MAC, in units of 1e9."""
    return costs(tape).macs / 1e9


def twice_macs(tape: Tape) -> int:
    """FLOPs as two per MAC and nothing else, as in papers on transformers and in torch's own counter."""
    return 2 * costs(tape).macs


def hrnet_gflops(tape: Tape) -> float:
    """MACs in units of 1024**3, which the tables of HRNet call GFLOPs.

    They count a transposed convolution over its output, which is too large by the square of its stride.
    """
    extra = sum(_beyond_input(tape, node) for node in tape.executed if node.name == "convolution")
    return (costs(tape).macs + extra) / 1024**3


def _beyond_input(tape: Tape, node: Node) -> int:
    """MACs that are added by counting a transposed convolution over its output; 0 for other operators."""
    if not node.bind()["transposed"]:
        return 0
    macs, _ = cost_of(tape, node) or (0, 0)
    inside, outside = (math.prod(tape.values[name].shape[2:]) for name in (node.inputs[0], node.outputs[0]))
    return macs * outside // inside - macs


def mmcv_gflops(tape: Tape) -> float:
    """mmcv's counter: MACs plus one per bias, element of a norm (two if affine), activation and pooled input.

    It hooks modules, so it misses products inside attention and functional calls.
    """
    total = 0
    for node in tape.executed:
        out = math.prod(tape.values[node.outputs[0]].shape) if node.outputs else 0
        if node.name in ("convolution", "addmm", "mm"):
            total += _with_bias(tape, node, out)
        elif node.name == "native_batch_norm":
            total += 2 * out
        elif node.name in ("relu", "hardtanh", "leaky_relu", "elu"):
            total += out
        elif "pool" in node.name or _single_bin(node):
            total += math.prod(tape.values[node.inputs[0]].shape)
    return total / 1e9


def _with_bias(tape: Tape, node: Node, out: int) -> int:
    macs, flops = cost_of(tape, node) or (0, 0)
    return macs + (flops - 2 * macs)


def macs_and_norms_gflops(tape: Tape) -> float:
    """MACs plus one per element of a batch norm, in units of 1e9: SegFormer's table of other networks.

    Inferred from its numbers: the paper names no counter.
    """
    norms = sum(math.prod(tape.values[n.inputs[0]].shape) for n in tape.executed if n.name == "native_batch_norm")
    return (costs(tape).macs + norms) / 1e9


def space_to_batch_gmacs(tape: Tape) -> float:
    """MACs with the map of each atrous convolution padded to a multiple of its rate, in units of 1e9.

    TensorFlow cuts such a map into rate x rate smaller ones (space_to_batch); the tables of DeepLab v3+ count so.
    """
    return sum(_padded_to_rate(tape, node) for node in tape.executed) / 1e9


def _padded_to_rate(tape: Tape, node: Node) -> int:
    macs, _ = cost_of(tape, node) or (0, 0)
    if node.name == "convolution":
        sides = tape.values[node.outputs[0]].shape[2:]
        for side, rate in zip(sides, node.bind()["dilation"], strict=True):
            macs = macs * (rate * -(-side // rate)) // side
    return macs


def fvcore_gflops(tape: Tape) -> float:
    """fvcore's table, timm's "GMACs": one per MAC, some other operators by element, in units of 1e9.

    A norm costs one per element with fixed statistics, four with its own, and one more for an affine map;
    adaptive average pooling one per input element, nearest and bilinear interpolation one and four per
    output element. Adaptive pooling to one bin is recorded as a mean over axes -1 and -2 and is included.
    """
    return (costs(tape).macs + sum(fvcore_extra(tape, node) for node in tape.executed)) / 1e9


def fvcore_extra(tape: Tape, node: Node) -> int:
    if node.name in _FVCORE_NORMS:
        affine = isinstance(node.bind()["weight"], Ref)
        return (_FVCORE_NORMS[node.name] + affine) * math.prod(tape.values[node.inputs[0]].shape)
    if node.name == "_adaptive_avg_pool2d" or _single_bin(node):
        return math.prod(tape.values[node.inputs[0]].shape)
    return _FVCORE_OUTPUTS.get(node.name, 0) * math.prod(tape.values[node.outputs[0]].shape) if node.outputs else 0


def _single_bin(node: Node) -> bool:
    return node.name == "mean" and list(node.bind().get("dim") or ()) == [-1, -2]


_FVCORE_OUTPUTS = {"upsample_nearest2d": 1, "upsample_bilinear2d": 4, "grid_sampler_2d": 4}
_FVCORE_NORMS = {"native_batch_norm": 1, "native_group_norm": 4, "native_layer_norm": 4}

CONVENTIONS: Mapping[str, Callable[[Tape], float]] = {
    count.__name__: count
    for count in (
        torchvision_gflops,
        twice_macs,
        hrnet_gflops,
        mmcv_gflops,
        fvcore_gflops,
        macs_and_norms_gflops,
        space_to_batch_gmacs,
    )
}
"""By the name that a `Fact` uses."""
