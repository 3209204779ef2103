"""The divergence of the posterior from the prior."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import error_where_lacking, mean_reading, units


@metric(unit="nats", better=None, kind="accuracy", tasks=("generation",), display_name="KL", reads_units=True)
@error_where_lacking
def kl(evaluation: Evaluation) -> Reading:
    """Mean over images of KL(q(z|x) || p(z)): the rate, nats that the code holds about an image."""
    return mean_reading(units(evaluation, "kl", "elbo"))
