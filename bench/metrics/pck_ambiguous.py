"""PCK@0.2 of the left and right joints."""

from __future__ import annotations

from bench.data.skeleton import ambiguous
from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.keypoints import correct_fraction, of_joints


@metric(
    unit="",
    better="higher",
    kind="accuracy",
    tasks=("pose",),
    display_name="PCK@0.2, left/right joints",
    reads_units=True,
    bounds=(0, 1),
)
def pck_ambiguous(evaluation: Evaluation) -> Reading:
    """Fraction of left and right joints within 0.2 of the torso from the truth: joints that look alike."""
    return correct_fraction(evaluation, "torso", 0.2, of_joints(evaluation, ambiguous(evaluation.names)))
