"""The number of latents that the encoder uses."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import error_where_lacking, listed, units

THRESHOLD = 0.01


@metric(
    unit="",
    better=None,
    kind="accuracy",
    tasks=("generation",),
    display_name="active units",
    reads_units=True,
    bounds=(0, None),
)
@error_where_lacking
def active_units(evaluation: Evaluation) -> Reading:
    """Latents whose posterior mean varies by more than 0.01 over images (Burda et al. 2016, section 3).

    Detail: those variances, and mean and variance of the aggregate posterior, which a standard normal prior
    expects to be 0 and 1 (variance of the means and mean of the variances together).
    """
    means, variances = (units(evaluation, name, "encode") for name in ("code_mean", "code_variance"))
    if len(means) < 2:
        return Reading(None, error=f"a variance over images needs at least two images, not {len(means)}")
    spread = means.var(axis=0, ddof=1)
    aggregate = {"mean": listed(means.mean(axis=0)), "variance": listed(spread + variances.mean(axis=0))}
    detail = {"variance_of_means": listed(spread), "threshold": THRESHOLD, "aggregate_posterior": aggregate}
    return Reading(int((spread > THRESHOLD).sum()), {**detail, "latents": len(spread)})
