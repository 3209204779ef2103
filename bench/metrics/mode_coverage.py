"""The fraction of the modes that samples reach."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import error_where_lacking, modes


@metric(unit="", better="higher", kind="accuracy", tasks=("generation",), display_name="mode coverage", bounds=(0, 1))
@error_where_lacking
def mode_coverage(evaluation: Evaluation) -> Reading:
    """Modes that have a plausible sample, over all modes; `perfect_coverage` in the detail is that of perfect samples.

    Exact on a dataset that states its modes: a sample belongs to the mode from which it differs in the fewest pixels,
    and is plausible if these are no more than in the worst evaluation image (`bench.tasks.generative.Modes`).
    """
    sampled = modes(evaluation)
    return Reading(len(sampled.reached) / sampled.count, sampled.detail())
