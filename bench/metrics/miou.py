"""Mean intersection over union over the dataset."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.confusion import class_iou, confusion_of, mean_over_classes


@metric(
    unit="",
    better="higher",
    kind="accuracy",
    tasks=("segmentation",),
    display_name="mIoU",
    reads_units=True,
    bounds=(0, 1),
)
def miou(evaluation: Evaluation) -> Reading:
    """Mean over classes of n_ii / (t_i + p_i - n_ii), pixels summed over the whole dataset.

    "Mean IU" of Long et al. 2015, section 5; a fraction. Void pixels don't count. A class that
    neither truth nor prediction has is left out and named in `absent`.
    """
    return mean_over_classes(class_iou(confusion_of(evaluation)), evaluation.names)
