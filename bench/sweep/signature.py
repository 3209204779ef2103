"""The signature of a network: graph hashes, its own loss, initial values, parameters, MACs and receptive field."""

from __future__ import annotations

import hashlib
import math
import sys
from typing import TYPE_CHECKING, Any

from bench.results.signature import Signature
from bench.structure.objective import objective

if TYPE_CHECKING:
    import torch

    from bench.hardware.subject import Subject
    from bench.structure.tape import Tape


def signature(key: str, subject: Subject) -> Signature:
    """The signature of the network of `subject`; with an error if the network cannot be recorded."""
    model = _built(subject)
    if not any(base.__module__.startswith("torch.nn.") for base in type(model).__mro__):
        return Signature(key, error=f"{type(model).__name__} is not a network")

    from bench.metrics.receptive_field import receptive_field
    from bench.structure.costs import costs
    from bench.structure.network import network_of, shapes_of
    from bench.structure.tape import StructureError

    try:
        tape = network_of(model, training=False).tape(model, shapes_of(subject.shape))  # the field's own recording
        graph = graphs(model, tape, subject.shape)
        field = receptive_field(model, subject.shape).size
    except (StructureError, RuntimeError, ValueError) as error:
        return Signature(key, error=(str(error).splitlines() or [type(error).__name__])[0])
    return Signature(
        key,
        graph=graph,
        objective=objective(model),
        params=sum(p.numel() for p in model.parameters()),
        macs=costs(tape).macs,
        field=field,
    )


def graphs(model: torch.nn.Module, tape: Tape, shape: tuple[int, ...]) -> str:
    """The hashes of the graph on `tape`, and in training mode on two inputs of `shape` (C, H, W)."""
    from bench.structure.graph import graph_hash
    from bench.structure.tape import record

    return f"{graph_hash(tape)}/{graph_hash(record(model, (2, *shape), training=True))}"


SAME_SPEED = 2.0
"""Two calls of one graph take other times from this ratio on: far above noise, below any sleep that matters."""


def same_speed(one: Subject, other: Subject, calls: int = 4) -> bool:
    """Whether the forward passes of two subjects take about the same time, by the least of a few calls in turn.

    This is no timing: it only refuses to call two networks equally fast of which one sleeps or waits in between.
    """
    import torch

    from bench.hardware.stopwatch import lap, thread_count

    least = {0: math.inf, 1: math.inf}
    with thread_count(one.threads), torch.inference_mode():
        for _ in range(calls):
            for number, subject in enumerate((one, other)):
                least[number] = min(least[number], lap(subject.forward, subject.device).elapsed)
    return max(least.values()) < SAME_SPEED * min(least.values())


def _built(subject: Subject) -> Any:
    """The network whose structure is read; the builder's result if torch is not imported (then it is no network)."""
    return subject.structure if "torch" in sys.modules else subject.build()


def values(subject: Subject) -> str:
    """Digest of the initial parameters and buffers, and of the output on one input."""
    import torch
    from torch.utils import _pytree as pytree

    digest = hashlib.sha256()
    with torch.inference_mode():
        output = subject.model(*subject.inputs)
    for tensor in (*subject.model.state_dict().values(), *pytree.tree_leaves(output)):
        if isinstance(tensor, torch.Tensor):
            digest.update(str((tensor.shape, tensor.dtype)).encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
