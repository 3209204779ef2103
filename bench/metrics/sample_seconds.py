"""How long a sample takes."""

from __future__ import annotations

import torch

from bench.hardware.subject import Subject
from bench.hardware.timing import explained
from bench.metrics.latency import reading_of, subject_timing
from bench.registry import metric
from bench.results.measurement import Reading


@metric(unit="s", better="lower", kind="speed", tasks=("generation",), display_name="time per sample")
def sample_seconds(subject: Subject) -> Reading:
    """Seconds that an image takes of those that the network draws, a batch of the workload at a time.

    Timed as latency is; the same draws each time, from weights as they begin: what is drawn does not change how much
    is computed. An error for a network that draws nothing.
    """
    sample = getattr(subject.model, "sample", None)
    if not callable(sample):
        return Reading(None, error=f"{type(subject.model).__name__} has no sample()")
    timing = subject_timing(subject, lambda: sample(subject.batch, torch.Generator().manual_seed(subject.seed)))
    return reading_of(timing, lambda seconds: seconds / subject.batch, explained(timing) | {"batch": subject.batch})
