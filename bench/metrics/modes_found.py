"""The number of modes that samples reach."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import error_where_lacking, modes


@metric(
    unit="", better="higher", kind="accuracy", tasks=("generation",), display_name="modes reached", bounds=(0, None)
)
@error_where_lacking
def modes_found(evaluation: Evaluation) -> Reading:
    """The number of modes that have a plausible sample.

    Exact on a dataset that states its modes: a sample belongs to the mode from which it differs in the fewest pixels,
    and is plausible if these are no more than in the worst evaluation image (`bench.tasks.generative.Modes`).
    """
    sampled = modes(evaluation)
    return Reading(len(sampled.reached), sampled.detail())
