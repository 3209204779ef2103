"""Images per second."""

from __future__ import annotations

from bench.hardware.subject import Subject
from bench.hardware.timing import explained
from bench.metrics.latency import forward_timing, reading_of
from bench.registry import metric
from bench.results.measurement import Reading


@metric(unit="images/s", better="higher", kind="speed", display_name="throughput", of_graph=True, bounds=(0, None))
def throughput(subject: Subject) -> Reading:
    """Images per second: the batch size of the workload over the time of a forward pass, timed like `latency`."""
    timing = forward_timing(subject)
    return reading_of(timing, lambda seconds: subject.batch / seconds, explained(timing) | {"batch": subject.batch})
