"""Negative log-likelihood in bits per dimension."""

from __future__ import annotations

import math

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import error_where_lacking, impossible, log_likelihood


@metric(
    unit="bits/dim", better="lower", kind="accuracy", tasks=("generation",), display_name="bits/dim", reads_units=True
)
@error_where_lacking
def bits_per_dim(evaluation: Evaluation) -> Reading:
    """Mean of -log2 q(x) / (C H W) over the evaluation split: exact, or an upper bound where q has only bounds.

    `kind` in the detail says which. Where the dataset states its entropy, a value that is lower by more than chance is
    an error.
    """
    likelihood = log_likelihood(evaluation)
    per_image = evaluation.facts["dims"] * math.log(2)
    detail = {"kind": likelihood.kind, "standard_error": likelihood.standard_error / per_image, "nats": likelihood.mean}
    if likelihood.kind == "bound":
        detail |= {"importance_samples": evaluation.facts["importance_samples"], "images": len(likelihood.by_image)}
    if refused := impossible(evaluation, likelihood):
        return Reading(None, detail, error=refused)
    return Reading(-likelihood.mean / per_image, detail)
