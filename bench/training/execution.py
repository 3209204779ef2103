"""How a training step is executed: call by call, compiled by `torch.compile`, or replayed from a graph of the device.

A graph holds the whole step: forward pass, loss, backward pass, clipping and optimizer. Replaying it is one call, so
that the device does not wait for Python. What Python decides in a step is decided once, when the graph is recorded:
`bench.training.step_probe` refuses networks that decide anything from step to step.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

T = TypeVar("T")

WARM_UP = 3
"""Calls before a graph is recorded: libraries choose their kernels, and optimizers make their state, in the first."""


@dataclass(frozen=True)
class Execution:
    """`compiled`: forward pass, loss and their gradients by `torch.compile`. `captured`: the step is a graph."""

    name: str
    compiled: bool = False
    captured: bool = False


EXECUTIONS = {
    execution.name: execution
    for execution in (
        Execution("eager"),
        Execution("compile", compiled=True),
        Execution("graph", captured=True),
        Execution("compile+graph", compiled=True, captured=True),
    )
}

FALLBACK = {
    "auto": ("graph",),
    "graph": ("graph",),
    "compile": ("compile",),
    "compile+graph": ("compile+graph", "graph"),
}
"""The executions that are checked for a requested one, until one is right; at last it is `eager`."""


def why_not(execution: Execution, device: str) -> str | None:
    """Why the device cannot execute a step so; None where it can."""
    if execution.captured and torch.device(device).type != "cuda":
        return f"not tried: '{device}' has no graphs, a CUDA device has"
    return None


class Recorder(Protocol):
    """Records calls on a device."""

    def aside(self, call: Callable[[], T]) -> T:
        """`call()` where it may be recorded later."""

    def record(self, call: Callable[[], T]) -> tuple[Callable[[], object], T]:
        """(what replays the work of `call`, the result that each replay writes anew). Recording itself does no work."""


class CudaRecorder:
    """CUDA graphs. Raises RuntimeError (torch's) for work that cannot be captured."""

    def __init__(self, device: str) -> None:
        self.device, self.stream = device, torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def aside(self, call: Callable[[], T]) -> T:
        """`call()` on a stream that is not the default one, as capturing needs it."""
        with torch.cuda.device(self.device), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*capturable=True")  # an optimizer that is not captured yet
            current = torch.cuda.current_stream(self.device)
            self.stream.wait_stream(current)
            with torch.cuda.stream(self.stream):
                result = call()
            current.wait_stream(self.stream)
        return result

    def record(self, call: Callable[[], T]) -> tuple[Callable[[], object], T]:
        """A graph on the same stream."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self.device), torch.cuda.graph(graph, stream=self.stream):
            result = call()
        return graph.replay, result


@dataclass
class Replayed(Generic[T]):
    """A call that is made `WARM_UP` times, then recorded, and replayed from then on.

    Arguments and result are tensors in nested containers. The arguments of a replay are copied into those that were
    recorded; arguments of another form are called with and not recorded. The result is a copy.
    """

    call: Callable[..., T]
    recorder: Recorder
    made: int = 0
    replay: Callable[[], object] | None = None
    arguments: list[Tensor] = field(default_factory=list)
    form: Any = None
    result: T | None = None

    def __call__(self, *arguments: Any) -> T:
        leaves, structure = pytree.tree_flatten(arguments)
        form = (structure, [(leaf.shape, leaf.dtype, leaf.device) for leaf in leaves])
        if self.made < WARM_UP or (self.replay is not None and form != self.form):
            self.made += 1
            return self.recorder.aside(lambda: self.call(*arguments))
        if self.replay is None:
            self.form, self.arguments = form, [leaf.clone() for leaf in leaves]
            own = pytree.tree_unflatten(self.arguments, structure)
            self.replay, self.result = self.recorder.record(lambda: self.call(*own))
        else:
            for place, value in zip(self.arguments, leaves, strict=True):
                place.copy_(value, non_blocking=True)
        self.replay()
        return pytree.tree_map(torch.clone, self.result)  # type: ignore[no-any-return]


def compiled(call: Callable[..., T]) -> Callable[..., T]:
    """`call` compiled for the shapes that it is called with; it draws the random numbers that it draws without."""
    return torch.compile(call, dynamic=False, options={"fallback_random": True})


def recorded(call: Callable[..., T], execution: Execution, device: str) -> Callable[..., T]:
    """`call`, recorded on the device where the execution says so."""
    return Replayed(call, CudaRecorder(device)) if execution.captured else call
