"""Mean intersection over union of the bands along the boundaries."""

from __future__ import annotations

import numpy as np

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.confusion import mean_over_classes, ratio


@metric(
    unit="",
    better="higher",
    kind="accuracy",
    tasks=("segmentation",),
    display_name="boundary IoU",
    reads_units=True,
    bounds=(0, 1),
)
def boundary_iou(evaluation: Evaluation) -> Reading:
    """Boundary IoU (Cheng et al. 2021, arXiv:2103.16562), over the dataset, mean over classes.

    A class's band is the part of its mask within d pixels (chessboard distance) of the mask's
    contour; d is 2 % of the image diagonal, at least one pixel, as in the paper. Band
    intersections and unions are summed over the images before they are divided, as for mIoU.
    """
    bands = evaluation.units["boundary"].sum(axis=0, dtype=np.float64)
    reading = mean_over_classes(ratio(bands[:, 0], bands[:, 1]), evaluation.names)
    width = {"band_px": evaluation.facts["boundary_band_px"]}
    return Reading(reading.value, {**reading.detail, **width}, reading.error)
