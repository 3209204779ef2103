"""Frechet distance between samples and real images, in features of a net that is trained here."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import error_where_lacking, feature_detail, features, frechet, moments


@metric(unit="", better="lower", kind="accuracy", tasks=("generation",), display_name="FID (local features)")
@error_where_lacking
def fid_local(evaluation: Evaluation) -> Reading:
    """Squared Frechet distance (Heusel et al. 2017), in features of `bench.tasks.features` in place of Inception's.

    Not to be compared with published FIDs, nor between datasets: the net is trained on the labels of this
    dataset, and the detail has the hash of its weights. Fewer samples give larger values.
    """
    real, drawn = features(evaluation)
    return Reading(frechet(moments(real), moments(drawn)), feature_detail(evaluation))
