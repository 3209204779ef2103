"""PCK@0.2: joints predicted within a fifth of the torso's length."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.keypoints import correct_fraction


@metric(
    unit="", better="higher", kind="accuracy", tasks=("pose",), display_name="PCK@0.2", reads_units=True, bounds=(0, 1)
)
def pck(evaluation: Evaluation) -> Reading:
    """Fraction of annotated joints no farther from the truth than 0.2 of the torso (Yang & Ramanan 2013; Sapp 2013).

    The dataset defines the torso. Over all joints of the split; `per_class` by kind of joint.
    """
    return correct_fraction(evaluation, "torso", 0.2)
