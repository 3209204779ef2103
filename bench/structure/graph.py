"""Properties of the recorded graph: its canonical hash, operator counts, depth and activations."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch

from bench.structure.nodes import Node, Ref, Tape


def graph_hash(tape: Tape) -> str:
    """SHA-256 in hex of the graph that computes the outputs.

    It does not depend on names of modules and parameters, on values of weights and running statistics, or on
    whether an operator works in place. It depends on shapes, types, constants of operators, tied weights, and
    values of masks and index tables. Branches that reach no output do not count.
    """
    numbers: dict[int, int] = {}
    digest = hashlib.sha256()
    for value in _reached(tape):
        numbers[value] = len(numbers)
        digest.update(_line(tape, value, numbers).encode())
    digest.update(repr([numbers[v] for _, v in tape.outputs]).encode())
    return digest.hexdigest()


def _reached(tape: Tape) -> list[int]:
    """The values that the outputs depend on, in topological order."""
    order: list[int] = []
    seen: set[int] = set()
    pending = [v for _, v in reversed(tape.outputs)]
    while pending:
        value = pending[-1]
        sources = [] if value in seen else _sources(tape, value)
        fresh = [s for s in sources if s not in seen]
        if fresh:
            pending.extend(reversed(fresh))
            continue
        pending.pop()
        if value not in seen:
            seen.add(value)
            order.append(value)
    return order


def _sources(tape: Tape, value: int) -> tuple[int, ...]:
    node = tape.values[value].node
    return tape.nodes[node].inputs if node >= 0 else ()


def _line(tape: Tape, value: int, numbers: Mapping[int, int]) -> str:
    record = tape.values[value]
    about = f"{record.shape} {record.dtype}"
    if record.node < 0:
        kind = f"input {tape.inputs.index(value)}" if value in tape.inputs else _leaf(tape, value)
        return f"{kind} {about}\n"
    node = tape.nodes[record.node]
    kwargs = {k: _plain(v, numbers) for k, v in sorted(node.kwargs.items()) if k != "device"}
    written = f"write %{numbers[node.inputs[1]]} through " if node.role == "scatter" else ""
    return f"{written}{node.name} {_plain(node.args, numbers)} {kwargs} {record.slot} {about}\n"


def _plain(tree: Any, numbers: Mapping[int, int]) -> Any:
    if isinstance(tree, Ref):
        return f"%{numbers[tree.id]}"
    if isinstance(tree, (tuple, list)):
        return [_plain(item, numbers) for item in tree]
    return str(tree)


def _leaf(tape: Tape, value: int) -> str:
    constant = tape.constants.get(value)
    if constant is None:
        return "statistics" if value in tape.hidden else "parameter"
    return f"constant {_digest(constant)}" if is_table(constant) else "statistics"


def is_table(constant: torch.Tensor) -> bool:
    """Whether a constant's values are part of the structure: an index, a mask of zeros and ones, or one with -inf."""
    if not constant.is_floating_point():
        return True
    binary = bool(((constant == 0) | (constant == 1)).all())
    return bool(torch.isinf(constant).any()) or (binary and len(torch.unique(constant)) == 2)


def _digest(constant: torch.Tensor) -> str:
    plain = constant.detach().cpu().contiguous()
    return hashlib.sha256(plain.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()


def op_counts(tape: Tape) -> dict[str, int]:
    """Number of executions of each operator, the most frequent first."""
    return dict(Counter(node.name for node in tape.executed).most_common())


CONVOLUTIONS = ("convolution", "deform_conv2d", "conv_tbc")
MATRICES = ("mm", "bmm", "addmm", "baddbmm", "addbmm", "mv", "addmv", "dot", "vdot", "addr", "_int_mm", "_trilinear")
PRODUCTS = (*CONVOLUTIONS, *MATRICES)


def depth(tape: Tape) -> int:
    """Convolutions and matrix products with parameters on the longest path to an output.

    Products with a fixed weight (bilinear upsampling) or of two maps (attention) do not count.
    """
    layers = dict.fromkeys(tape.inputs, 0)
    weights = set(tape.parameters.values())
    for node in tape.nodes:
        passed = [layers[v] for v in node.inputs if v in layers]
        learned = any(v in weights for v in node.inputs)
        if passed:
            layers |= dict.fromkeys(node.outputs, max(passed) + (learned and node.name in PRODUCTS))
        elif learned:
            weights |= set(node.outputs)
    return max((layers[v] for _, v in tape.outputs if v in layers), default=0)


def activations(tape: Tape) -> dict[str, int]:
    """Elements computed by `convolutions`, by convolutions and matrix products (`products`), and by `all` operators.

    `products` is the count of Dollar et al. 2021 (arXiv:2103.06877), which fvcore extends to linear layers and
    attention; `all` leaves out views, which compute nothing.
    """
    sizes = {"convolutions": 0, "products": 0, "all": 0}
    for node in tape.executed:
        own = {v: tape.values[v] for v in node.outputs if tape.values[v].storage not in _input_storages(tape, node)}
        total = sum(torch.Size(v.shape).numel() for v in own.values())
        sizes["all"] += total
        if node.name in PRODUCTS:
            sizes["products"] += total
        if node.name in CONVOLUTIONS:
            sizes["convolutions"] += total
    return sizes


def _input_storages(tape: Tape, node: Node) -> set[int]:
    return {tape.values[i].storage for i in node.inputs}
