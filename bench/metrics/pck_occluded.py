"""PCK@0.2 of the joints that are annotated but occluded."""

from __future__ import annotations

from bench.data.skeleton import OCCLUDED
from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.keypoints import correct_fraction


@metric(
    unit="",
    better="higher",
    kind="accuracy",
    tasks=("pose",),
    display_name="PCK@0.2, occluded joints",
    reads_units=True,
    bounds=(0, 1),
)
def pck_occluded(evaluation: Evaluation) -> Reading:
    """Fraction of the joints flagged as occluded that lie within 0.2 of the torso from the truth."""
    return correct_fraction(evaluation, "torso", 0.2, evaluation.units["visible"] == OCCLUDED)
