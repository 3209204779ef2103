"""The variance of samples relative to that of real images."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import error_where_lacking, feature_detail, features


@metric(unit="", better=None, kind="accuracy", tasks=("generation",))
@error_where_lacking
def diversity(evaluation: Evaluation) -> Reading:
    """Total variance of the samples' local features over that of the real images'; 0 where all samples are the same.

    Twice the total variance is the mean squared distance of two samples.
    """
    real, drawn = features(evaluation)
    ratio = drawn.var(axis=0, ddof=1).sum() / real.var(axis=0, ddof=1).sum()
    return Reading(float(ratio), feature_detail(evaluation))
