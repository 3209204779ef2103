"""How varied samples are, against real images."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import feature_detail, features, says_what_lacks


@metric(unit="", better=None, kind="accuracy", tasks=("generation",))
@says_what_lacks
def diversity(evaluation: Evaluation) -> Reading:
    """Total variance of the samples' local features over that of real images': 1 is as varied, 0 all the same.

    Twice the total variance is the mean squared distance of two samples.
    """
    real, drawn = features(evaluation)
    ratio = drawn.var(axis=0, ddof=1).sum() / real.var(axis=0, ddof=1).sum()
    return Reading(float(ratio), feature_detail(evaluation))
