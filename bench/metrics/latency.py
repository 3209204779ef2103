"""Time of one forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from bench.hardware import nvidia
from bench.hardware.accelerator import accelerator
from bench.hardware.stopwatch import launch_seconds
from bench.hardware.subject import Subject
from bench.hardware.timing import Schedule, Timing, device_timing, explained, timed_call
from bench.registry import metric
from bench.results.measurement import Reading
from bench.stats.descriptive import median

SCOPE = "forward pass in eval mode without autograd; input and output stay on the device"


@metric(unit="ms", better="lower", kind="speed", display_name="latency", of_graph=True, bounds=(0, None))
def latency(subject: Subject) -> Reading:
    """Milliseconds of a forward pass of one batch, in eval mode, input and output on the device.

    Every valid call is a sample: its elapsed time, as the caller sees it, whether the network computes, sleeps or waits
    for other threads or processes. On a CPU: wall-clock time, threads pinned, the weights at new addresses every 50 ms.
    On another device nothing is pinned: on CUDA the time between two events around the call, from an idle device until
    the last kernel has finished, with a warm L2 cache. The network's own time there is `device_latency`. If almost no
    call kept its core, the samples are those that waited least for one, and `disturbed` in the detail says so.

    Detail: clock (always `elapsed`); scope; percentiles; the interval of the median and the 10 % quantile over memory
    layouts (`low_ms`); CPU time of the process (median); the reason why the timing ended; rejected samples with their
    reasons; number of warm-up calls, and whether they became steady; load averages before and after; cores. On a
    device with a queue also the time until a call returns (`launch_ms`), device time (`device_ms`, with the reason
    where there is none), and which of the two is longer and bounds the time (`bound_by`); on CUDA the median with a
    flushed L2 cache (`cold_l2_ms`). Where the device reports them: its clock and power, and if its clock moved, the
    time in cycles too.
    """
    timing = forward_timing(subject)
    detail = {"scope": SCOPE, **explained(timing), **on_device(subject, timing)}
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
    return Reading(None, detail, no_valid_sample(timing))


def no_valid_sample(timing: Timing) -> str:
    """The reasons of a timing without a valid sample."""
    return f"no valid sample: {', '.join(f'{count} {reason}' for reason, count in timing.troubles.items())}"


def on_device(subject: Subject, timing: Timing) -> dict[str, Any]:
    """Launch time and device time, and which of them bounds the elapsed time; empty on a CPU, which has no queue, and
    where no sample is valid."""
    target = accelerator(subject.device)
    if target.event is None or not timing.seconds:
        return {}
    launching = median(launch_seconds(subject.forward, target))
    device, why = device_seconds(subject)
    return {
        "launch_ms": 1e3 * launching,
        "device_ms": None if device is None else 1e3 * device,
        **({"device_unknown": why} if why else {}),
        "bound_by": nvidia.bound_by(launching, device, median(timing.seconds)),
        **(_on_cuda(subject) if target.kind == "cuda" else {}),
    }


def device_seconds(subject: Subject) -> tuple[float | None, str]:
    """The median device time of a forward pass, or the reason why it is not known."""
    if not accelerator(subject.device).queues:
        return None, f"a device of kind '{accelerator(subject.device).kind}' cannot be held back"
    plan = Schedule(seconds=1.0, warmup_seconds=0.2)
    timing = device_timing(subject.forward, device=subject.device, threads=subject.threads, plan=plan)
    return (median(timing.seconds), "") if timing.seconds else (None, no_valid_sample(timing))


def _on_cuda(subject: Subject) -> dict[str, Any]:
    cold = forward_timing(subject, prepare=nvidia.flusher(subject.device), plan=Schedule(seconds=1.0))
    return {"cold_l2_ms": 1e3 * median(cold.seconds) if cold.seconds else None, "watched": nvidia.watched()}
