"""Mean error of joints that are read from maps by a Newton step on the blurred logarithm."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.keypoints import mean_error_of


@metric(
    unit="px",
    better="lower",
    kind="accuracy",
    tasks=("pose",),
    display_name="error, DARK decoding",
    reads_units=True,
    bounds=(0, None),
)
def error_dark(evaluation: Evaluation) -> Reading:
    """Mean distance in px of annotated joints from the truth; maps are read by a Newton step on their blurred log."""
    return mean_error_of(evaluation, "dark")
