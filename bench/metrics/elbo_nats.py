"""The evidence lower bound."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import every, impossible, mean_reading, says_what_lacks, units


@metric(unit="nats", better="higher", kind="accuracy", tasks=("generation",), display_name="ELBO", reads_units=True)
@says_what_lacks
def elbo_nats(evaluation: Evaluation) -> Reading:
    """Mean over images of E log p(x|z) - KL(q(z|x) || p(z)), one draw of z an image (Kingma & Welling 2014).

    Detail: its two parts, `reconstruction` - `kl`. An error where the data's own entropy is known and no bound can
    be so high.
    """
    elbo = units(evaluation, "elbo", "elbo")
    if refused := impossible(evaluation, every(elbo, "bound")):
        return Reading(None, error=refused)
    parts = {name: float(units(evaluation, name, "elbo").mean()) for name in ("reconstruction", "kl")}
    return mean_reading(elbo, **parts)
