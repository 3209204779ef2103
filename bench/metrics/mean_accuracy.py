"""Mean over classes of the fraction of their pixels that are classified correctly."""

from __future__ import annotations

import numpy as np

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.confusion import confusion_of, mean_over_classes, ratio


@metric(
    unit="",
    better="higher",
    kind="accuracy",
    tasks=("segmentation",),
    display_name="mean accuracy",
    reads_units=True,
    bounds=(0, 1),
)
def mean_accuracy(evaluation: Evaluation) -> Reading:
    """Mean over classes of n_ii / t_i (Long et al. 2015, section 5); a fraction.

    A class without a labelled pixel is left out and named in `absent`.
    """
    confusion = confusion_of(evaluation)
    return mean_over_classes(ratio(np.diag(confusion), confusion.sum(axis=1)), evaluation.names)
