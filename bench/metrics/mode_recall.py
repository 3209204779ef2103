"""The fraction of images whose mode samples reach."""

from __future__ import annotations

import numpy as np

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import error_where_lacking, modes


@metric(unit="", better="higher", kind="accuracy", tasks=("generation",), display_name="mode recall", bounds=(0, 1))
@error_where_lacking
def mode_recall(evaluation: Evaluation) -> Reading:
    """Evaluation images whose mode has a plausible sample, over all evaluation images.

    Exact on a dataset that states its modes: a sample belongs to the mode from which it differs in the fewest pixels,
    and is plausible if these are no more than in the worst evaluation image (`bench.tasks.generative.Modes`).
    """
    sampled = modes(evaluation)
    return Reading(float(np.isin(sampled.real, sampled.reached).mean()), sampled.detail())
