"""Mean error of joints, in pixels."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.keypoints import decoding_of, mean_error_of


@metric(
    unit="px",
    better="lower",
    kind="accuracy",
    tasks=("pose",),
    display_name="mean error",
    reads_units=True,
    bounds=(0, None),
)
def mean_error(evaluation: Evaluation) -> Reading:
    """Mean distance of annotated joints from the truth, in px of the network's input."""
    return mean_error_of(evaluation, decoding_of(evaluation))
