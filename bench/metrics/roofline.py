"""Measured time of a network against the time that the machine's ceilings allow."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from bench.hardware.affinity import pinned_for
from bench.hardware.ceilings import CONVOLUTION, Ceilings, allowed, measured
from bench.hardware.subject import Subject
from bench.hardware.timing import Timing, explained
from bench.metrics.latency import forward_timing, reading_of
from bench.registry import metric
from bench.results.measurement import Reading
from bench.stats.descriptive import median
from bench.structure.nodes import Node, Tape
from bench.structure.traffic import Work, traffic


@metric(unit="", better="higher", kind="speed", display_name="roofline fraction", of_graph=True, bounds=(0, None))
def roofline(subject: Subject) -> Reading:
    """Least time that the machine's ceilings allow a forward pass, as a fraction of the measured time; 1 is the best.

    The least time is a sum over the executed operators. An operator takes the longer of two times: its FLOPs over the
    peak FLOP/s of matrix products, and its bytes over the bandwidth of copies of that size, caches included. The
    ceilings are measured in the same process right before, under the same numeric policy: convolutions and matrix
    products have each their own where one of them may use TF32. Source: Williams, Waterman & Patterson 2009, per
    operator and with the bandwidth of caches as in Ilic, Pratas & Sousa 2014. FLOPs count as in `flops`; operators
    without a counting rule count as 0, and `coverage` says how many have one.

    Detail: both times, totals of FLOPs and bytes, intensity (FLOPs per byte), achieved FLOP/s, the ceilings, the
    compute-bound fraction of the least time, and the detail of the timing as in `latency`. Where the fraction is above
    1, `above_one` names what computes or moves less than is counted (Winograd, fusion), or says that it is a fault.
    """
    with pinned_for(subject.device, subject.threads):
        ceilings = measured(subject.device, subject.dtype, subject.threads)
        timing = forward_timing(subject)
    works = traffic(subject.tape)
    limit = allowed(ceilings, works)
    detail = compared(ceilings, works, timing) | explained(timing) | above_one(limit, timing, subject)
    return reading_of(timing, lambda seconds: limit / seconds, detail)


def above_one(limit: float, timing: Timing, subject: Subject) -> dict[str, str]:
    """Why a network took less than `limit` seconds, the least that the ceilings allow; empty where it did not.

    The whole interval of its median must lie below.
    """
    taken = timing.interval[1] if timing.interval else max(timing.seconds, default=math.inf)
    if taken >= limit:
        return {}
    causes = list(_causes(subject))
    why = f"possible by {' and '.join(causes)}" if causes else FAULT
    return {"above_one": f"at least {limit / taken:.3g} times the ceilings: {why}"}


FAULT = (
    "a fault: no operator here can compute or move less than is counted, so that the ceilings, the counts or the "
    "times are wrong"
)


def _causes(subject: Subject) -> Iterator[str]:
    """What lets a network compute or move less than is counted operator by operator."""
    if subject.compile:
        yield "fusion of operators by torch.compile, which move less"
    if any(node.name in ATTENTION for node in subject.tape.executed):
        yield "fused attention, which moves less"
    if any(_winograd(subject.tape, node) for node in subject.tape.executed):
        yield "Winograd convolutions, which multiply less"


ATTENTION = ("_safe_softmax", "scaled_dot_product_attention")
"""What a recording has of torch's attention, which a device may run as one kernel."""


def _winograd(tape: Tape, node: Node) -> bool:
    """Whether libraries have a Winograd kernel for a convolution: 3 x 3 or 5 x 5, stride, dilation and groups 1."""
    if node.name != CONVOLUTION:
        return False
    bound = node.bind()
    weight, plain = tape.values[node.inputs[1]].shape, all(each == 1 for each in (*bound["stride"], *bound["dilation"]))
    return plain and bound["groups"] == 1 and weight[2:] in ((3, 3), (5, 5))


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
        **({"peak_convolution_flops_per_s": ceilings.convolutions} if ceilings.convolutions else {}),
        "peak_bytes_per_s": ceilings.bandwidth,
        "bandwidths": {str(size): rate for size, rate in ceilings.bandwidths},
        "compute_bound": math.fsum(map(ceilings.seconds, computing)) / limit if limit else None,
        "coverage": sum(w.counted for w in works) / len(works) if works else 1.0,
    }


def _computes(ceilings: Ceilings, work: Work) -> bool:
    return ceilings.computing(work) >= ceilings.seconds(work)
