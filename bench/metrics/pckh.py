"""PCKh@0.5: joints predicted within half the head's length."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.keypoints import correct_fraction


@metric(
    unit="", better="higher", kind="accuracy", tasks=("pose",), display_name="PCKh@0.5", reads_units=True, bounds=(0, 1)
)
def pckh(evaluation: Evaluation) -> Reading:
    """Fraction of annotated joints no farther from the truth than half the head's length (Andriluka et al. 2014).

    The length is the dataset's: MPII's is 0.6 of the diagonal of the head's box, that of Leeds Sports Pose from neck
    to head top. Over all joints of the split; MPII's published totals leave out pelvis and thorax.
    """
    return correct_fraction(evaluation, "head", 0.5)
