"""The squared error of reconstructions."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import error_where_lacking, mean_reading, units


@metric(
    unit="",
    better="lower",
    kind="accuracy",
    tasks=("generation",),
    display_name="reconstruction MSE",
    reads_units=True,
    bounds=(0, None),
)
@error_where_lacking
def reconstruction_error(evaluation: Evaluation) -> Reading:
    """Mean squared error of a pixel, levels scaled to 0 to 1: the expected image at the posterior's mean code."""
    return mean_reading(units(evaluation, "squared_error", "encode"))
