"""The effective receptive field after training, after Luo et al. 2016; `bench.structure.effective` defines it."""

from __future__ import annotations

from bench.registry import metric
from bench.results.measurement import Evaluation, Reading

FACT = "effective_receptive_field"
MISSING = "this training run was evaluated before effective receptive fields were stored; --force trains again"


@metric(unit="px", better=None, kind="accuracy", display_name="effective receptive field, trained", bounds=(0, None))
def trained_effective_receptive_field(evaluation: Evaluation) -> Reading:
    """Radius that contains 95 % of the centre output's squared gradient around its centre of mass, after training.

    From the mean map over a few images of the evaluation split, in eval mode and fp32.
    """
    facts = evaluation.facts.get(FACT)
    if facts is None:
        return Reading(None, error=MISSING)
    if "error" in facts:
        return Reading(None, error=facts["error"])
    return Reading(facts["radius"], facts)
