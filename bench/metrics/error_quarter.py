"""Mean error of joints that are read from maps by a quarter of a cell from the largest one."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.keypoints import mean_error_of


@metric(
    unit="px",
    better="lower",
    kind="accuracy",
    tasks=("pose",),
    display_name="error, quarter-offset decoding",
    reads_units=True,
    bounds=(0, None),
)
def error_quarter(evaluation: Evaluation) -> Reading:
    """Mean distance in px of annotated joints from the truth; a map is read by a quarter cell beside the largest."""
    return mean_error_of(evaluation, "quarter")
