"""The importance-weighted bound of the log-likelihood."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import importance_bound, impossible, says_what_lacks, units


@metric(
    unit="nats", better="higher", kind="accuracy", tasks=("generation",), display_name="IWAE bound", reads_units=True
)
@says_what_lacks
def iwae_nats(evaluation: Evaluation) -> Reading:
    """Mean over images of E log (1/k) sum of k importance weights, k in the detail (Burda et al. 2016).

    The ELBO of all images, and what the weights add to it on `images` of them; `gain` is that. An error where
    the data's own entropy is known and no bound can be so high.
    """
    found = importance_bound(evaluation)
    gain = found.mean - float(units(evaluation, "elbo", "elbo").mean())
    detail = {"k": evaluation.facts["importance_samples"], "images": len(found.by_image), "gain": gain}
    if refused := impossible(evaluation, found):
        return Reading(None, detail, error=refused)
    return Reading(found.mean, {**detail, "standard_error": found.standard_error})
