"""The importance-weighted bound of the log-likelihood."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import error_where_lacking, importance_bound, impossible, units


@metric(
    unit="nats", better="higher", kind="accuracy", tasks=("generation",), display_name="IWAE bound", reads_units=True
)
@error_where_lacking
def iwae_nats(evaluation: Evaluation) -> Reading:
    """Mean over images of E log (1/k) sum of k importance weights, k in the detail (Burda et al. 2016).

    The ELBO of all images plus `gain`, which the weights add on `images` of them. An error where the dataset states its
    entropy and the bound exceeds it by more than chance.
    """
    bound = importance_bound(evaluation)
    gain = bound.mean - float(units(evaluation, "elbo", "elbo").mean())
    detail = {"k": evaluation.facts["importance_samples"], "images": len(bound.by_image), "gain": gain}
    if refused := impossible(evaluation, bound):
        return Reading(None, detail, error=refused)
    return Reading(bound.mean, {**detail, "standard_error": bound.standard_error})
