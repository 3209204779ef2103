"""Images per second."""

from __future__ import annotations

from bench.measurement import Reading
from bench.metrics.latency import detail_of, forward_laps
from bench.registry import metric
from bench.subject import Subject


@metric(unit="images/s", better="higher", kind="speed")
def throughput(subject: Subject) -> Reading:
    """Images per second of forward passes of the workload's batch, one after the other; timed as latency is."""
    laps = forward_laps(subject)
    return Reading([subject.batch / lap.elapsed for lap in laps.laps], detail_of(laps) | {"batch": subject.batch})
