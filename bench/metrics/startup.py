"""Time until a new network has given its first output."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import torch

from bench.hardware.stopwatch import thread_count
from bench.hardware.subject import Subject
from bench.registry import metric
from bench.results.measurement import Reading

REPEATS = 9


@metric(unit="ms", better="lower", kind="speed", display_name="start-up", bounds=(0, None))
def startup(subject: Subject) -> Reading:
    """Milliseconds from the call of the builder to the end of the new network's first forward pass.

    Construction with its random weights, the move to the device and dtype, compilation where the workload states it,
    and the first pass on a batch. Every sample is a network of its own; libraries are loaded before the first. Detail:
    the number of networks built before the samples.
    """
    with thread_count(subject.threads), torch.inference_mode():
        first_call(subject)
        seconds = [first_call(subject) for _ in range(REPEATS)]
    return Reading([1e3 * each for each in seconds], {"before": 1})


def first_call(subject: Subject) -> float:
    """Build a network like the subject's and call it once; the seconds that both took, device included."""
    if subject.compile:
        torch.compiler.reset()
    fresh = replace(subject)
    start = perf_counter()
    fresh.forward()
    if torch.device(subject.device).type == "cuda":
        torch.cuda.synchronize(subject.device)
    return perf_counter() - start
