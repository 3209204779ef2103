"""Time of one forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from bench.hardware import nvidia
from bench.hardware.subject import Subject
from bench.hardware.timing import Schedule, Timing, explained, timed_call
from bench.registry import metric
from bench.results.measurement import Reading
from bench.stats.descriptive import median

SCOPE = "forward pass in eval mode without autograd; input and output stay on the device"


@metric(unit="ms", better="lower", kind="speed", display_name="latency", of_graph=True, bounds=(0, None))
def latency(subject: Subject) -> Reading:
    """Milliseconds of a forward pass of one batch, in eval mode, input and output on the device.

    Every valid call is a sample: its elapsed time, as the caller sees it, whether the network computes, sleeps or waits
    for other threads or processes. On a CPU: wall-clock time, threads pinned, the weights at new addresses every 50 ms.
    On CUDA: time between two events, with a warm L2 cache. If almost no call kept its core, the samples are those that
    waited least for one, and `disturbed` in the detail says so.

    Detail: clock (always `elapsed`); scope; percentiles; the interval of the median and the 10 % quantile over memory
    layouts (`low_ms`); CPU time of the process (median); the reason why the timing ended; rejected samples with their
    reasons; number of warm-up calls, and whether they became steady; load averages before and after; cores. On CUDA
    also the median with a flushed L2 cache (`cold_l2_ms`), the time until a call returns (`launch_ms`), and whether
    host or device bounds the time (`bound_by`).
    """
    timing = forward_timing(subject)
    detail = {"scope": SCOPE, **explained(timing), **_on_cuda(subject, timing)}
    return reading_of(timing, lambda seconds: 1e3 * seconds, detail)


def forward_timing(subject: Subject, **how: Any) -> Timing:
    """The times of the subject's forward pass; `how` goes to `timed_call`."""
    return subject_timing(subject, subject.forward, **how)


def subject_timing(subject: Subject, call: Callable[[], object], **how: Any) -> Timing:
    """The times of a call that reads the subject's weights, buffers and input, on its device and threads.

    `how` goes to `timed_call`.
    """
    return timed_call(
        call,
        lambda: tensors_of(subject),
        device=subject.device,
        threads=subject.threads,
        seed=subject.seed,
        **how,
    )


def tensors_of(subject: Subject) -> list[Tensor]:
    """The tensors that a forward pass reads: weights, buffers and input."""
    return [*subject.model.parameters(), *subject.model.buffers(), *subject.inputs]


def reading_of(timing: Timing, convert: Callable[[float], float], detail: dict[str, Any]) -> Reading:
    """The samples of a timing, each converted from seconds; an error with the reasons where no sample is valid."""
    if timing.seconds:
        return Reading([convert(seconds) for seconds in timing.seconds], detail)
    reasons = ", ".join(f"{count} {reason}" for reason, count in timing.troubles.items())
    return Reading(None, detail, f"no valid sample: {reasons}")


def _on_cuda(subject: Subject, timing: Timing) -> dict[str, Any]:
    """Further details of a time on CUDA; empty on other devices, and where no sample is valid."""
    if not subject.device.startswith("cuda") or not timing.seconds:
        return {}
    cold = forward_timing(subject, prepare=nvidia.flusher(subject.device), plan=Schedule(seconds=1.0))
    launching = median(nvidia.launch_seconds(subject.forward, subject.device))
    return {
        "cold_l2_ms": 1e3 * median(cold.seconds) if cold.seconds else None,
        "launch_ms": 1e3 * launching,
        "bound_by": nvidia.bound_by(launching, median(timing.seconds)),
        "watched": nvidia.watched(),
    }
