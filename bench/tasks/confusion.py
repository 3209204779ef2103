"""Quantities of the confusion matrix of a segmentation, as in Long et al. 2015, section 5.

Rows are truth, columns prediction: `n[i, j]` pixels of class i were predicted as class j.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.results.measurement import Evaluation, Reading

Floats = np.ndarray[Any, np.dtype[np.float64]]


def confusion_of(evaluation: Evaluation) -> Floats:
    """The (C, C) confusion matrix of the whole dataset: the sum over its images."""
    matrix: Floats = evaluation.units["confusion"].sum(axis=0, dtype=np.float64)
    return matrix


def class_iou(confusion: Floats) -> Floats:
    """Intersection over union of each class (C,); NaN where neither truth nor prediction has it."""
    hits = np.diag(confusion)
    return ratio(hits, confusion.sum(axis=0) + confusion.sum(axis=1) - hits)


def ratio(part: Floats, whole: Floats) -> Floats:
    """`part / whole`, NaN where the whole is 0."""
    undefined: Floats = np.full(len(part), np.nan)
    return np.divide(part, whole, out=undefined, where=whole > 0)


def mean_over_classes(values: Floats, names: Sequence[str]) -> Reading:
    """The mean of a per-class quantity (C,) over the classes that have it, with the value of each class.

    Detail: `per_class` by name, and `absent`, the classes that are left out because their value is NaN.
    """
    absent = [name for name, value in zip(names, values, strict=True) if np.isnan(value)]
    if len(absent) == len(names):
        return Reading(None, error="no labelled pixel in the evaluation split")
    per_class: Mapping[str, float] = {
        name: float(value) for name, value in zip(names, values, strict=True) if not np.isnan(value)
    }
    return Reading(float(np.nanmean(values)), {"per_class": per_class, "absent": absent})
