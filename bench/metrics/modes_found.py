"""How many modes samples reach."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import modes, says_what_lacks


@metric(unit="", better="higher", kind="accuracy", tasks=("generation",), display_name="modes found")
@says_what_lacks
def modes_found(evaluation: Evaluation) -> Reading:
    """The number of modes that have a plausible sample.

    Exact on data whose modes are known: a sample belongs to the mode that it differs from in fewest pixels, and
    counts if no more pixels are off than in the worst evaluation image (`bench.generative.Modes`).
    """
    known = modes(evaluation)
    return Reading(len(known.found), known.detail())
