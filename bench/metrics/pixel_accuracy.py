"""Fraction of labelled pixels that are classified correctly."""

from __future__ import annotations

import numpy as np

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.confusion import confusion_of


@metric(
    unit="",
    better="higher",
    kind="accuracy",
    tasks=("segmentation",),
    display_name="pixel accuracy",
    reads_units=True,
    bounds=(0, 1),
)
def pixel_accuracy(evaluation: Evaluation) -> Reading:
    """Sum of n_ii over the sum of t_i (Long et al. 2015, section 5); a fraction. Void pixels don't count."""
    confusion = confusion_of(evaluation)
    pixels = confusion.sum()
    if not pixels:
        return Reading(None, error="no labelled pixel in the evaluation split")
    return Reading(float(np.trace(confusion) / pixels), {"pixels": int(pixels)})
