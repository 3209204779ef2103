"""Measured time of a network against the time that the machine's ceilings allow."""

from __future__ import annotations

import math
from typing import Any

from bench.hardware.affinity import pinned
from bench.hardware.ceilings import Ceilings, allowed, measured
from bench.hardware.subject import Subject
from bench.hardware.timing import Timing, explained
from bench.metrics.latency import forward_timing, reading_of
from bench.registry import metric
from bench.results.measurement import Reading
from bench.stats.descriptive import median
from bench.structure.traffic import Work, traffic


@metric(unit="", better="higher", kind="speed", display_name="roofline fraction", of_graph=True, bounds=(0, None))
def roofline(subject: Subject) -> Reading:
    """Least time that the machine's ceilings allow a forward pass, as a fraction of the measured time; 1 is the best.

    The least time is a sum over the executed operators. An operator takes the longer of two times: its FLOPs over the
    peak FLOP/s of matrix products, and its bytes over the bandwidth of copies of that size, caches included. The
    ceilings are measured in the same process right before. Source: Williams, Waterman & Patterson 2009, per operator
    and with the bandwidth of caches as in Ilic, Pratas & Sousa 2014. More than 1 is possible where kernels compute
    less (Winograd) or fuse operators and so move less. FLOPs count as in `flops`; operators without a counting rule
    count as 0, and `coverage` says how many have one.

    Detail: both times, totals of FLOPs and bytes, intensity (FLOPs per byte), achieved FLOP/s, the ceilings, the
    compute-bound fraction of the least time, and the detail of the timing as in `latency`.
    """
    with pinned(subject.threads):
        ceilings = measured(subject.device, subject.dtype, subject.threads)
        timing = forward_timing(subject)
    works = traffic(subject.tape)
    limit = allowed(ceilings, works)
    return reading_of(timing, lambda seconds: limit / seconds, compared(ceilings, works, timing) | explained(timing))


def compared(ceilings: Ceilings, works: tuple[Work, ...], timing: Timing) -> dict[str, Any]:
    """FLOPs and bytes of the operators, what was achieved, and the ceilings."""
    flops, moved = sum(w.flops for w in works), sum(w.moved for w in works)
    limit, computing = allowed(ceilings, works), [w for w in works if w.flops and _computes(ceilings, w)]
    seconds = median(timing.seconds) if timing.seconds else None
    return {
        "allowed_ms": 1e3 * limit,
        "measured_ms": 1e3 * seconds if seconds else None,
        "flops": flops,
        "bytes": moved,
        "intensity": flops / moved if moved else None,
        "achieved_flops_per_s": flops / seconds if seconds else None,
        "peak_flops_per_s": ceilings.flops,
        "peak_bytes_per_s": ceilings.bandwidth,
        "bandwidths": {str(size): rate for size, rate in ceilings.bandwidths},
        "compute_bound": math.fsum(map(ceilings.seconds, computing)) / limit if limit else None,
        "coverage": sum(w.counted for w in works) / len(works) if works else 1.0,
    }


def _computes(ceilings: Ceilings, work: Work) -> bool:
    return ceilings.computing(work) >= ceilings.seconds(work)
