"""Mean error of joints that are read from maps by the centre of the largest cell."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.keypoints import mean_error_of


@metric(
    unit="px",
    better="lower",
    kind="accuracy",
    tasks=("pose",),
    display_name="error, argmax decoding",
    reads_units=True,
    bounds=(0, None),
)
def error_argmax(evaluation: Evaluation) -> Reading:
    """Mean distance in px of annotated joints from the truth; a map is read by the largest cell's centre."""
    return mean_error_of(evaluation, "argmax")
