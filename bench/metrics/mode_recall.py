"""The fraction of images whose mode samples reach."""

from __future__ import annotations

import numpy as np

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import modes, says_what_lacks


@metric(unit="", better="higher", kind="accuracy", tasks=("generation",), display_name="mode recall")
@says_what_lacks
def mode_recall(evaluation: Evaluation) -> Reading:
    """Evaluation images whose mode has a plausible sample, over all evaluation images.

    Exact on data whose modes are known: a sample belongs to the mode that it differs from in fewest pixels, and
    counts if no more pixels are off than in the worst evaluation image (`bench.generative.Modes`).
    """
    known = modes(evaluation)
    return Reading(float(np.isin(known.real, known.found).mean()), known.detail())
