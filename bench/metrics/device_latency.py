"""Time that the device itself needs for one forward pass."""

from __future__ import annotations

from bench.hardware.accelerator import accelerator
from bench.hardware.stopwatch import STARTED_EARLY
from bench.hardware.subject import Subject
from bench.hardware.timing import Timing, device_timing, explained
from bench.metrics.latency import no_valid_sample
from bench.registry import metric
from bench.registry.errors import DoesNotApplyError
from bench.results.measurement import Reading

SCOPE = "forward pass in eval mode without autograd, all of it queued before the device starts"


@metric(unit="ms", better="lower", kind="speed", display_name="device latency", of_graph=True, bounds=(0, None))
def device_latency(subject: Subject) -> Reading:
    """Milliseconds that the device needs for a forward pass of one batch, while it never waits for the caller.

    The device sleeps until the whole pass is queued, and is timed from the end of the sleep; of a workload with a CUDA
    graph, the pass is one launch. `latency` is what a caller sees: the longer of this time and of the launches. A pass
    that waits for the device itself, or has more launches than the queue holds, has no such time: an error, unless the
    workload replays it from a CUDA graph. On a CPU, which computes in the calling thread, it does not apply.

    Samples are the times of calls; where the device's clock moved, the time that their cycles take at its median
    clock. Detail: as of `latency`, with the clock `device`.
    """
    target = accelerator(subject.device)
    if not target.queues:
        raise DoesNotApplyError(why_not(target.kind))
    timing = device_timing(subject.forward, device=subject.device, threads=subject.threads)
    detail = {"scope": SCOPE, **explained(timing)}
    if timing.seconds:
        return Reading([1e3 * seconds for seconds in timing.at_one_clock], detail)
    return Reading(None, detail, no_valid_sample(timing) + advice(timing))


def why_not(kind: str) -> str:
    """Why a kind of device has no device time."""
    if kind == "cpu":
        return "a CPU computes in the calling thread: its time is the latency"
    return f"a device of kind '{kind}' cannot be held back until all work is queued"


def advice(timing: Timing) -> str:
    """What would give a time, where the device always started too early."""
    return "; state graph: true" if STARTED_EARLY in timing.troubles else ""
