"""The accuracy of telling left from right."""

from __future__ import annotations

import numpy as np

from bench.data.skeleton import ambiguous, mirrored
from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.keypoints import decoding_of, mean_over_joints, partners


@metric(
    unit="",
    better="higher",
    kind="accuracy",
    tasks=("pose",),
    display_name="left/right accuracy",
    reads_units=True,
    bounds=(0, 1),
)
def left_right(evaluation: Evaluation) -> Reading:
    """Fraction of left and right joints predicted nearer to their truth than to their twin's; chance is 1/2.

    Over the joints whose twin is annotated too, and lies elsewhere. A tie counts one half.
    """
    places, truth = evaluation.units[decoding_of(evaluation)], evaluation.units["truth"]
    chosen, values = np.zeros(len(truth), dtype=bool), np.zeros(len(truth))
    order = mirrored(evaluation.names)
    for joint in ambiguous(evaluation.names):
        own, other = partners(evaluation, joint, order[joint])
        chosen[own] = (truth[own] != truth[other]).any(axis=-1)
        nearer = np.linalg.norm(places[own] - truth[other], axis=-1) - np.linalg.norm(places[own] - truth[own], axis=-1)
        values[own] = 0.5 + 0.5 * np.sign(nearer)
    return mean_over_joints(evaluation, values, chosen)
