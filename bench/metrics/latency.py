"""Time of one forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from bench.hardware import nvidia
from bench.hardware.subject import Subject
from bench.hardware.timing import Plan, Timing, explained, timed_call
from bench.registry import metric
from bench.results.measurement import Reading
from bench.stats.descriptive import median

SCOPE = "forward pass in eval mode without autograd; input and output stay on the device"


@metric(unit="ms", better="lower", kind="speed")
def latency(subject: Subject) -> Reading:
    """Milliseconds of a forward pass of one batch, in eval mode, input and output on the device: every good call.

    On a CPU wall-clock time, threads pinned, the weights at other addresses every 50 ms; on CUDA between two
    events, with what it last read still in the L2 cache. Where hardly a call on one thread kept its core, CPU
    time stands in, and `clock` says so. Detail: scope; percentiles; the interval of the median and the 10 %
    quantile over memory layouts (`low_ms`); CPU time of the process (median); what ended the timing; bad
    samples with what was wrong; calls of warm-up and whether steady; load averages
    before and after; cores. On CUDA also the median with a flushed L2 cache (`cold_l2_ms`), the time until a
    call returns (`launch_ms`), and which of host and device the time is bound by (`bound_by`).
    """
    timing = forward_timing(subject)
    detail = {"scope": SCOPE, **explained(timing), **_on_cuda(subject, timing)}
    return reading_of(timing, lambda seconds: 1e3 * seconds, detail)


def forward_timing(subject: Subject, **how: Any) -> Timing:
    """The times of the subject's forward pass."""
    return subject_timing(subject, subject.forward, **how)


def subject_timing(subject: Subject, call: Callable[[], object], **how: Any) -> Timing:
    """The times of a call that reads the subject's weights, buffers and input, on its device and threads."""
    return timed_call(
        call,
        lambda: tensors_of(subject),
        device=subject.device,
        threads=subject.threads,
        seed=subject.seed,
        **how,
    )


def tensors_of(subject: Subject) -> list[Tensor]:
    """What a forward pass reads: weights, buffers and input."""
    return [*subject.model.parameters(), *subject.model.buffers(), *subject.inputs]


def reading_of(timing: Timing, shown: Callable[[float], float], detail: dict[str, Any]) -> Reading:
    """The times that are read, from seconds to what is `shown`; an error where there is none."""
    if timing.seconds:
        return Reading([shown(seconds) for seconds in timing.seconds], detail)
    told = ", ".join(f"{count} {what}" for what, count in timing.troubles.items())
    return Reading(None, detail, f"no sample was good: {told}")


def _on_cuda(subject: Subject, timing: Timing) -> dict[str, Any]:
    """What else explains a time on CUDA; nothing elsewhere, or where no sample is good."""
    if not subject.device.startswith("cuda") or not timing.seconds:
        return {}
    cold = forward_timing(subject, prepare=nvidia.flusher(subject.device), plan=Plan(seconds=1.0))
    launching = median(nvidia.launch_seconds(subject.forward, subject.device))
    return {
        "cold_l2_ms": 1e3 * median(cold.seconds) if cold.seconds else None,
        "launch_ms": 1e3 * launching,
        "bound_by": nvidia.bound_by(launching, median(timing.seconds)),
        "watched": nvidia.watched(),
    }
