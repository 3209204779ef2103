"""PCP: limbs both of whose ends are predicted correctly."""

from __future__ import annotations

import numpy as np

from bench.data.skeleton import parts
from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.keypoints import decoding_of, errors, partners

FRACTION = 0.5


@metric(
    unit="", better="higher", kind="accuracy", tasks=("pose",), display_name="PCP@0.5", reads_units=True, bounds=(0, 1)
)
def pcp(evaluation: Evaluation) -> Reading:
    """Fraction of limbs each of whose ends is within half the limb's length of its truth (Ferrari et al. 2008).

    The strict reading, both ends (Pishchulin et al. 2012), averaged over kinds of limbs, `per_class` in the detail:
    upper and lower arms and legs and the head, those whose ends the dataset has.
    """
    off, truth = errors(evaluation), evaluation.units["truth"]
    per_class: dict[str, float] = {}
    for part, (outer, inner) in parts(evaluation.names).items():
        a, b = partners(evaluation, outer, inner)
        limit = FRACTION * np.linalg.norm(truth[a] - truth[b], axis=-1)
        if len(a):
            per_class[part] = float(((off[a] <= limit) & (off[b] <= limit)).mean())
    if not per_class:
        return Reading(None, error="no limb has both ends annotated in the evaluation split")
    return Reading(float(np.mean([*per_class.values()])), {"per_class": per_class, "decoding": decoding_of(evaluation)})
