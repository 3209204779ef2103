"""Peak memory of a training step."""

from __future__ import annotations

from bench.hardware.stopwatch import thread_count
from bench.hardware.subject import Subject
from bench.metrics.memory import added, allocator, bytes_of, estimated, peak_reading
from bench.metrics.train_step_latency import Step
from bench.registry import metric
from bench.results.measurement import Reading
from bench.structure import lifetimes


@metric(unit="MiB", better="lower", kind="speed", display_name="training memory", bounds=(0, None))
def train_memory(subject: Subject) -> Reading:
    """Peak memory of a training step: weights, buffers, AdamW's state and input, plus the most that the step adds.

    The step is that of train_step_latency, after a first one: the optimizer's state exists, gradients do not. The
    added part (activations, gradients, workspaces) is measured as by the metric `memory`. Detail: the two parts in
    MiB, the method, and the estimate by kind of `structure.lifetimes`, which does not run the network.
    """
    if subject.graph:
        raise ValueError("graph: a training step cannot be replayed from a CUDA graph here; leave 'graph' out")
    step = Step.of(subject)
    with thread_count(subject.threads):
        _whole(step)  # the optimizer has its state, and no gradient is there, before the first sample
        fixed = bytes_of(step.tensors())
        growth, method = added(lambda: _whole(step), subject.device)
    shape = (subject.batch, *subject.shape)
    estimate = estimated(
        lambda: lifetimes.training(step.model, shape, optimizer="adamw", allocator=allocator(subject)), subject.device
    )
    return peak_reading(fixed, growth, {"method": method, **estimate})


def _whole(step: Step) -> None:
    """A step that frees its gradients, so that the next step starts from the same memory."""
    step()
    step.optimizer.zero_grad(set_to_none=True)
