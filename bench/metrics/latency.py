"""Time of one forward pass."""

from __future__ import annotations

import statistics
from typing import Any

from bench.measurement import Reading
from bench.registry import metric
from bench.subject import Subject
from bench.timing import Laps, timed_forward


@metric(unit="ms", better="lower", kind="speed")
def latency(subject: Subject) -> Reading:
    """Milliseconds of a forward pass of one batch, in eval mode, input and output on the device: every call.

    On a CPU wall-clock time, the weights at other addresses every 50 ms; on CUDA between two events. Detail:
    CPU time of the process (median, ms), calls of warm-up, number of memory layouts, what ended the timing,
    load averages before and after.
    """
    laps = forward_laps(subject)
    return Reading([1e3 * lap.elapsed for lap in laps.laps], detail_of(laps))


def forward_laps(subject: Subject) -> Laps:
    """The times of the subject's forward pass."""
    return timed_forward(
        subject.model, subject.inputs, device=subject.device, threads=subject.threads, seed=subject.seed
    )


def detail_of(laps: Laps) -> dict[str, Any]:
    """What explains the samples."""
    return {
        "cpu_ms": 1e3 * statistics.median(lap.cpu for lap in laps.laps),
        "warmup": laps.warmup,
        "layouts": laps.layouts,
        "stopped": laps.stopped,
        "load": list(laps.load),
    }
