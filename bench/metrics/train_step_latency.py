"""Time of one training step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.hardware.stopwatch import Lap, lap, thread_count
from bench.hardware.subject import Subject
from bench.hardware.timing import explained, timed_call
from bench.metrics.latency import reading_of
from bench.registry import metric
from bench.results.measurement import Reading
from bench.stats.descriptive import median
from bench.structure.modes import in_training
from bench.structure.recorder import leaves

SCOPE = "forward in training mode, backward of the sum of all outputs, AdamW step; input and output on the device"
SPLITS = 7
"""Training steps that are split into their parts."""


@metric(unit="ms", better="lower", kind="speed", display_name="training step latency", bounds=(0, None))
def train_step_latency(subject: Subject) -> Reading:
    """Milliseconds of a training step on one batch: forward, backward of the sum of all outputs, AdamW step.

    Every valid step is a sample. The learning rate is 0, which costs the same and leaves the weights unchanged. The
    loss of the task, the loading of data and precision modes are not part of it. Timed like `latency`.

    Detail: that of `latency`, and `split_ms`: medians of forward, backward and optimizer step, over SPLITS further
    steps in which each part is waited for. Raises ValueError for a workload with a CUDA graph, and for a network
    without weights to train.
    """
    if subject.graph:
        raise ValueError("graph: a training step cannot be replayed from a CUDA graph here; leave 'graph' out")
    step = Step.of(subject)
    timing = timed_call(
        step,
        step.tensors,
        device=subject.device,
        threads=subject.threads,
        seed=subject.seed,
        gradients=True,
    )
    split = split_ms(step, lambda call: lap(call, subject.device), subject.threads)
    return reading_of(timing, lambda seconds: 1e3 * seconds, {"scope": SCOPE, "split_ms": split, **explained(timing)})


@dataclass(frozen=True)
class Step:
    """A training step of a copy of the subject's network, always on the same batch."""

    model: nn.Module
    run: Callable[..., Any]
    inputs: tuple[Tensor, ...]
    optimizer: torch.optim.Optimizer

    @classmethod
    def of(cls, subject: Subject) -> Step:
        """The step for the subject's workload. Raises ValueError for a network without weights to train."""
        model = in_training(copy.deepcopy(subject.model))
        weights = [p for p in model.parameters() if p.requires_grad]
        if not weights:
            raise ValueError("the network has no weights to train")
        fused = all(p.is_floating_point() for p in weights)  # as in training; complex weights have no such kernel
        optimizer = torch.optim.AdamW(weights, lr=0.0, weight_decay=0.0, fused=fused)
        return cls(model, torch.compile(model) if subject.compile else model, subject.inputs, optimizer)

    def __call__(self) -> None:
        """One whole step."""
        self.backward(self.forward())
        self.optimizer.step()

    def forward(self) -> Tensor:
        """The sum of all outputs that depend on a weight; old gradients are dropped first."""
        self.optimizer.zero_grad(set_to_none=True)
        outputs = [t for _, t in leaves(self.run(*self.inputs)) if t.requires_grad]
        return torch.stack([t.sum() for t in outputs]).sum()

    def backward(self, loss: Tensor) -> None:
        """Gradients of all weights."""
        loss.backward()  # type: ignore[no-untyped-call]

    def tensors(self) -> list[Tensor]:
        """The tensors that a step reads and changes: weights, buffers, the optimizer's state, and the input."""
        return [*self.model.parameters(), *self.model.buffers(), *self.state(), *self.inputs]

    def state(self) -> list[Tensor]:
        """The optimizer's state; empty before the first step."""
        values = (value for state in self.optimizer.state.values() for value in state.values())
        return [value for value in values if isinstance(value, Tensor)]


def split_ms(step: Step, stopwatch: Callable[[Callable[[], object]], Lap], threads: int) -> dict[str, float]:
    """Median milliseconds of the three parts of a step, each timed by `stopwatch`."""
    parts: dict[str, list[float]] = {"forward": [], "backward": [], "step": []}
    losses: list[Tensor] = []
    with thread_count(threads):
        for _ in range(SPLITS):
            parts["forward"].append(stopwatch(lambda: losses.append(step.forward())).elapsed)
            parts["backward"].append(stopwatch(lambda: step.backward(losses.pop())).elapsed)
            parts["step"].append(stopwatch(step.optimizer.step).elapsed)
    return {name: 1e3 * median(seconds) for name, seconds in parts.items()}
