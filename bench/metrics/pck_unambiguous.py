"""PCK@0.2 of the joints of which there is one."""

from __future__ import annotations

from bench.keypoints import correct_share, of_joints
from bench.measurement import Evaluation, Reading
from bench.registry import metric
from bench.skeleton import ambiguous


@metric(unit="", better="higher", kind="accuracy", tasks=("pose",))
def pck_unambiguous(evaluation: Evaluation) -> Reading:
    """Share of the joints along the middle (head, neck, pelvis) within 0.2 of the torso from the truth."""
    return correct_share(evaluation, "torso", 0.2, ~of_joints(evaluation, ambiguous(evaluation.names)))
