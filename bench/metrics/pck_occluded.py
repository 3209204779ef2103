"""PCK@0.2 of the joints that are annotated but hidden."""

from __future__ import annotations

from bench.keypoints import correct_share
from bench.measurement import Evaluation, Reading
from bench.registry import metric
from bench.skeleton import OCCLUDED


@metric(unit="", better="higher", kind="accuracy", tasks=("pose",))
def pck_occluded(evaluation: Evaluation) -> Reading:
    """Share of the joints flagged as occluded that lie within 0.2 of the torso from the truth."""
    return correct_share(evaluation, "torso", 0.2, evaluation.units["visible"] == OCCLUDED)
