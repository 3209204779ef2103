"""Negative log-likelihood in bits per dimension."""

from __future__ import annotations

import math

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import impossible, log_likelihood, says_what_lacks


@metric(
    unit="bits/dim", better="lower", kind="accuracy", tasks=("generation",), display_name="bits/dim", reads_units=True
)
@says_what_lacks
def bits_per_dim(evaluation: Evaluation) -> Reading:
    """Mean of -log2 q(x) / (C H W) over the evaluation split: exact, or an upper bound where q has only bounds.

    `kind` says which. Where the data's own entropy is known, a value below it by more than chance is an error.
    """
    found = log_likelihood(evaluation)
    per_image = evaluation.facts["dims"] * math.log(2)
    detail = {"kind": found.kind, "standard_error": found.standard_error / per_image, "nats": found.mean}
    if found.kind == "bound":
        detail |= {"importance_samples": evaluation.facts["importance_samples"], "images": len(found.by_image)}
    if refused := impossible(evaluation, found):
        return Reading(None, detail, error=refused)
    return Reading(-found.mean / per_image, detail)
