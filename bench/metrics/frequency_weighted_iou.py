"""Intersection over union, classes weighted by how frequent they are."""

from __future__ import annotations

import numpy as np

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.confusion import class_iou, confusion_of


@metric(
    unit="",
    better="higher",
    kind="accuracy",
    tasks=("segmentation",),
    display_name="frequency-weighted IoU",
    reads_units=True,
    bounds=(0, 1),
)
def frequency_weighted_iou(evaluation: Evaluation) -> Reading:
    """Sum of t_i IoU_i over the sum of t_i ("frequency weighted IU", Long et al. 2015, section 5)."""
    confusion = confusion_of(evaluation)
    frequency = confusion.sum(axis=1)
    if not frequency.sum():
        return Reading(None, error="no labelled pixel in the evaluation split")
    return Reading(float(np.nansum(frequency * class_iou(confusion)) / frequency.sum()))
