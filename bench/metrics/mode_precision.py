"""The fraction of samples that are plausible images of the dataset."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import error_where_lacking, modes


@metric(unit="", better="higher", kind="accuracy", tasks=("generation",), display_name="mode precision", bounds=(0, 1))
@error_where_lacking
def mode_precision(evaluation: Evaluation) -> Reading:
    """Plausible samples over all samples.

    Exact on a dataset that states its modes: a sample belongs to the mode from which it differs in the fewest pixels,
    and is plausible if these are no more than in the worst evaluation image (`bench.tasks.generative.Modes`).
    """
    sampled = modes(evaluation)
    return Reading(float(sampled.plausible.mean()), sampled.detail())
