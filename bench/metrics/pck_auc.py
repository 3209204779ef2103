"""The area under PCK over its threshold."""

from __future__ import annotations

import numpy as np

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.keypoints import errors, has_length, is_annotated, mean_over_joints

LARGEST = 0.5


@metric(
    unit="",
    better="higher",
    kind="accuracy",
    tasks=("pose",),
    display_name="PCK AUC (0 to 0.5)",
    reads_units=True,
    bounds=(0, 1),
)
def pck_auc(evaluation: Evaluation) -> Reading:
    """PCK averaged over all thresholds from 0 to 0.5 of the torso: the mean of 1 - error / (0.5 torso), at least 0.

    The mean is exact: each joint adds one step to PCK, at its own error. People without a torso
    length are left out.
    """
    scale = evaluation.units.get("torso")
    if scale is None:
        return Reading(None, error="the dataset states no torso length, which this metric is relative to")
    chosen = is_annotated(evaluation) & has_length(scale)
    relative = errors(evaluation) / np.where(chosen, LARGEST * scale, 1.0)
    return mean_over_joints(evaluation, np.clip(1 - relative, 0, None), chosen, length="torso", largest=LARGEST)
