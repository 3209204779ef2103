"""Identity of the computation."""

from __future__ import annotations

from bench.hardware.subject import Subject
from bench.registry import metric
from bench.results.measurement import Reading
from bench.structure.graph import graph_hash as hashed


@metric(unit="hash", better=None, kind="static", display_name="graph hash")
def graph_hash(subject: Subject) -> Reading:
    """First 48 bits of the canonical hash of the graph, which ignores names and weights; detail: the whole hash."""
    whole = hashed(subject.tape)
    return Reading(int(whole[:12], 16), {"hash": whole})
