"""Peak memory of a training step."""

from __future__ import annotations

from bench.hardware.stopwatch import thread_count
from bench.hardware.subject import Subject
from bench.metrics.memory import added, bytes_of, estimated, granularity, peak_reading
from bench.metrics.train_step_latency import Step
from bench.registry import metric
from bench.results.measurement import Reading
from bench.structure import lifetimes


@metric(unit="MiB", better="lower", kind="speed", display_name="training memory")
def train_memory(subject: Subject) -> Reading:
    """Peak memory of a training step: weights, buffers, AdamW's state and input, and what the step adds at most.

    The step is that of train_step_latency, and not the
    first: the optimizer's state is there, the gradients are not. What it adds (activations, gradients,
    workspaces) is measured as by memory. Detail: the two parts in MiB, the method, and the estimate by kind
    that `structure.lifetimes` makes without running the network.
    """
    if subject.graph:
        raise ValueError("graph: a training step cannot be replayed from a CUDA graph here; leave 'graph' out")
    step = Step.of(subject)
    with thread_count(subject.threads):
        step()
        fixed = bytes_of(step.tensors())
        growth, method = added(lambda: _whole(step), subject.device)
    shape = (subject.batch, *subject.shape)
    estimate = estimated(
        lambda: lifetimes.training(step.model, shape, optimizer="adamw", granularity=granularity(subject.device))
    )
    return peak_reading(fixed, growth, {"method": method, **estimate})


def _whole(step: Step) -> None:
    """A step that leaves no gradients behind, so that the next begins as it did."""
    step()
    step.optimizer.zero_grad(set_to_none=True)
