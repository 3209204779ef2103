"""The fraction of the modes that samples reach."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import modes, says_what_lacks


@metric(unit="", better="higher", kind="accuracy", tasks=("generation",), display_name="mode coverage")
@says_what_lacks
def mode_coverage(evaluation: Evaluation) -> Reading:
    """Modes that have a plausible sample, over all modes; `perfect_coverage` of the detail is for perfect samples.

    Exact on data whose modes are known: a sample belongs to the mode that it differs from in fewest pixels, and
    counts if no more pixels are off than in the worst evaluation image (`bench.generative.Modes`).
    """
    known = modes(evaluation)
    return Reading(len(known.found) / known.count, known.detail())
