"""Time to draw a sample from a generative network."""

from __future__ import annotations

import torch

from bench.hardware.subject import Subject
from bench.hardware.timing import explained
from bench.metrics.latency import reading_of, subject_timing
from bench.registry import metric
from bench.results.measurement import Reading


@metric(unit="s", better="lower", kind="speed", tasks=("generation",), display_name="time per sample", bounds=(0, None))
def sample_seconds(subject: Subject) -> Reading:
    """Seconds per image when the network samples images, a batch of the workload at a time.

    Timed like `latency`. Every call starts from the same random state, with untrained weights: the amount of
    computation does not depend on the images. An error for a network without `sample()`.
    """
    sample = getattr(subject.model, "sample", None)
    if not callable(sample):
        return Reading(None, error=f"{type(subject.model).__name__} has no sample()")
    timing = subject_timing(subject, lambda: sample(subject.batch, torch.Generator().manual_seed(subject.seed)))
    return reading_of(timing, lambda seconds: seconds / subject.batch, explained(timing) | {"batch": subject.batch})
