"""Operators whose output element reads the element at the same place of each (broadcast) input."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bench.structure.bits import full
from bench.structure.nodes import Node, Ref
from bench.structure.shapes import FAKE_QUANTISED
from bench.structure.supports import Map, Supports, rule
from bench.structure.terms import Terms, union, whole

Maps = list[tuple[int, Map]]


def refs(tree: Any) -> list[int]:
    """The values among a node's arguments."""
    if isinstance(tree, Ref):
        return [tree.id]
    if isinstance(tree, (tuple, list)):
        return [i for item in tree for i in refs(item)]
    return []


def broadcast(graph: Supports, value: int, output: int) -> Map:
    """The same place; position 0 of dimensions of size 1; dimensions that the input lacks are dropped."""
    shape, target = graph.shape(value), graph.shape(output)
    if shape == target:
        return lambda terms, slot: terms
    lead = len(target) - len(shape)
    single = [i for i, n in enumerate(shape) if n == 1 and target[lead + i] != 1]

    def down(terms: Terms, slot: int) -> Terms:
        products = []
        for term in terms:
            dims = list(term[lead:])
            for i in single:
                dims[i] = 1
            products.append(tuple(dims))
        return union(products) if len(products) > 1 else tuple(products)

    return down


def is_gate(graph: Supports, value: int, output: int) -> bool:
    """Whether a value has one element per channel and is broadcast over a map's spatial axes."""
    shape, target = graph.shape(value), graph.shape(output)
    return (len(shape) == len(target) >= 3 and _spans(shape[2:], target[2:])) or (
        len(shape) == len(target) == 4 and _spans(shape[1:3], target[1:3]) and shape[3] == target[3]
    )


def _spans(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    return all(n == 1 for n in small) and any(n > 1 for n in large)


def broadcast_array(array: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray | None:
    return None if array is None else np.broadcast_to(array, shape)


@rule("pointwise", "hardswish", "log_sigmoid_forward", "prelu", "floor_divide", "complex", "real", "imag", "bucketize")
def pointwise(graph: Supports, node: Node) -> Maps:
    """The same place of every input."""
    return [(i, broadcast(graph, i, node.outputs[0])) for i in dict.fromkeys(node.inputs)]


@rule("mul", "div")
def mul(graph: Supports, node: Node) -> Maps:
    """The same place of both factors, except where the other factor is structurally zero."""
    output = node.outputs[0]
    factors = [a for a in node.args[:2] if isinstance(a, Ref)]
    if any(not isinstance(a, Ref) and a == 0 for a in node.args[:2]) and node.name == "mul":
        return []
    maps: Maps = []
    for factor in factors:
        if "squeeze_excitation" in graph.cut and is_gate(graph, factor.id, output):
            continue
        others = [f.id for f in factors if f is not factor]
        if any(graph.unknown(o) for o in others):
            graph.bounded(node)
        maps.append((factor.id, _hidden(graph, factor.id, others, output)))
    return maps


def _hidden(graph: Supports, value: int, others: list[int], output: int) -> Map:
    plain = broadcast(graph, value, output)
    arrays = [broadcast_array(graph.nonzero(o), graph.shape(output)) for o in others]
    if all(a is None for a in arrays):
        return plain
    return lambda terms, slot: plain(graph.restricted(terms, arrays[0]), slot)


@rule("masked_fill")
def masked_fill(graph: Supports, node: Node) -> Maps:
    """The element if the mask is false there; the mask everywhere."""
    output, (x, mask) = node.outputs[0], node.inputs[:2]
    constant = graph.constant(mask)
    plain = broadcast(graph, x, output)
    maps: Maps = [(v, broadcast(graph, v, output)) for v in node.inputs[1:]]
    if constant is None:
        return [(x, plain), *maps]
    keep = np.broadcast_to(~constant.bool().numpy(), graph.shape(output))
    return [(x, lambda terms, slot: plain(graph.restricted(terms, keep), slot)), *maps]


@rule("where")
def where(graph: Supports, node: Node) -> Maps:
    """The condition, and both sides; only the chosen side if the condition is constant."""
    output = node.outputs[0]
    condition = graph.constant(node.inputs[0])
    maps: Maps = [(node.inputs[0], broadcast(graph, node.inputs[0], output))]
    for side, argument in enumerate(node.args[1:3]):
        if isinstance(argument, Ref):
            maps.append((argument.id, _side(graph, argument.id, condition, side, output)))
    return maps


def _side(graph: Supports, value: int, condition: torch.Tensor | None, side: int, output: int) -> Map:
    plain = broadcast(graph, value, output)
    if condition is None:
        return plain
    chosen = condition.bool().numpy() if side == 0 else ~condition.bool().numpy()
    array = np.broadcast_to(chosen, graph.shape(output))
    return lambda terms, slot: plain(graph.restricted(terms, array), slot)


@rule("glu")
def glu(graph: Supports, node: Node) -> Maps:
    """Both halves of a dimension."""
    x = node.inputs[0]
    shape = graph.shape(x)
    d = int(node.bind()["dim"]) % len(shape)
    half = shape[d] // 2
    return [(x, lambda terms, slot: union((*t[:d], t[d] | t[d] << half, *t[d + 1 :]) for t in terms))]


@rule("_prelu_kernel")
def prelu(graph: Supports, node: Node) -> Maps:
    """The element and its slope."""
    return pointwise(graph, node)


@rule(
    "_to_copy",
    "native_dropout",
    "dropout",
    "feature_dropout",
    "alpha_dropout",
    "lift",
    "rrelu_with_noise",
    *FAKE_QUANTISED[:3],
)
def same(graph: Supports, node: Node) -> Maps:
    """The first input, at the same place."""
    return [(node.inputs[0], lambda terms, slot: terms)]


@rule("_fused_moving_avg_obs_fq_helper")
def observed(graph: Supports, node: Node) -> Maps:
    """The same place; every place where an observer takes the range of its rounding from the input."""
    observer = graph.constant(node.bind()["observer_on"].id)
    if observer is not None and not observer.any():
        return same(graph, node)
    full_shape = whole(graph.shape(node.inputs[0]))
    return [(node.inputs[0], lambda terms, slot: full_shape if terms else ())]


@rule("copy")
def copy(graph: Supports, node: Node) -> Maps:
    """The source; the previous content of the target is not read."""
    return [(node.inputs[1], broadcast(graph, node.inputs[1], node.outputs[0]))]


FACTORIES = (
    "zeros_like ones_like empty_like full_like rand_like randn_like randint_like new_zeros new_ones new_empty"
    " new_full new_empty_strided fill zero bernoulli uniform normal random exponential empty zeros ones full"
    " arange linspace rand randn randint randperm eye scalar_tensor empty_strided multinomial"
)


@rule(*FACTORIES.split())
def factory(graph: Supports, node: Node) -> Maps:
    """Nothing: only the shape of an input is read. `fill` reads its fill value."""
    if node.name != "fill" or len(node.inputs) < 2:
        return []
    size = len(graph.shape(node.inputs[1]))
    return [(node.inputs[1], lambda terms, slot: (tuple([full(1)] * size),))]


@rule("clamp", "clip")
def clamp(graph: Supports, node: Node) -> Maps:
    """The same place of the input and of the bounds."""
    return pointwise(graph, node)
