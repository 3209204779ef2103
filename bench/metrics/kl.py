"""How far the posterior is from the prior."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading
from bench.tasks.generative import mean_reading, says_what_lacks, units


@metric(unit="nats", better=None, kind="accuracy", tasks=("generation",), display_name="KL", reads_units=True)
@says_what_lacks
def kl(evaluation: Evaluation) -> Reading:
    """Mean over images of KL(q(z|x) || p(z)): what the code says of an image, the rate."""
    return mean_reading(units(evaluation, "kl", "elbo"))
