"""Frechet distance between samples and real images in Inception's features, where the user has its weights."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading

NO_DISTANCE = (
    "no distance in Inception's features: the network draws no samples, or FOVBENCH_INCEPTION names no weights"
)


@metric(unit="", better="lower", kind="accuracy", tasks=("generation",), display_name="FID (Inception)")
def fid_inception(evaluation: Evaluation) -> Reading:
    """Squared Frechet distance (Heusel et al. 2017) between all evaluation images and the samples drawn.

    Needs the weights that `FOVBENCH_INCEPTION` names (`bench.tasks.inception`); the detail has their hash and both
    numbers of images. Biased upwards for few samples, so compare with papers only at theirs.
    """
    distance = dict(evaluation.facts.get("inception", {}))
    if "fid" not in distance:
        missing = evaluation.facts.get("missing", {}).get("inception", NO_DISTANCE)
        return Reading(None, error=distance.get("error", missing))
    return Reading(float(distance.pop("fid")), distance)
