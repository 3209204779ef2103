"""The evidence lower bound."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import error_where_lacking, every, impossible, mean_reading, units


@metric(unit="nats", better="higher", kind="accuracy", tasks=("generation",), display_name="ELBO", reads_units=True)
@error_where_lacking
def elbo_nats(evaluation: Evaluation) -> Reading:
    """Mean over images of E log p(x|z) - KL(q(z|x) || p(z)), one draw of z an image (Kingma & Welling 2014).

    Detail: its two parts, `reconstruction` - `kl`. An error where the dataset states its entropy and
    the bound exceeds it by more than chance.
    """
    elbo = units(evaluation, "elbo", "elbo")
    if refused := impossible(evaluation, every(elbo, "bound")):
        return Reading(None, error=refused)
    parts = {name: float(units(evaluation, name, "elbo").mean()) for name in ("reconstruction", "kl")}
    return mean_reading(elbo, **parts)
