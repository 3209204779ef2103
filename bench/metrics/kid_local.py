"""Kernel distance between samples and real images, in features of a net that is trained here."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import error_where_lacking, feature_detail, features, kernel_distance


@metric(unit="", better="lower", kind="accuracy", tasks=("generation",), display_name="KID (local features)")
@error_where_lacking
def kid_local(evaluation: Evaluation) -> Reading:
    """Unbiased squared MMD with a cubic kernel (Binkowski et al. 2018), in features of `bench.tasks.features`.

    Not to be compared with published KIDs: see `fid_local`. It may be negative, near 0.
    """
    real, drawn = features(evaluation)
    return Reading(kernel_distance(real, drawn), feature_detail(evaluation))
