"""How long a sample takes."""

from __future__ import annotations

from bench.measurement import Evaluation, Reading
from bench.registry import metric


@metric(unit="s", better="lower", kind="accuracy", tasks=("generation",))
def sample_seconds(evaluation: Evaluation) -> Reading:
    """Wall-clock seconds that an image took of those that evaluation drew, in batches, once.

    For orientation: other work may have run beside it, so it is never gated.
    """
    seconds = evaluation.facts.get("sample_seconds")
    if seconds is None:
        return Reading(None, error=evaluation.facts.get("missing", {}).get("sample", "no samples were drawn"))
    return Reading(float(seconds), {"samples": len(evaluation.samples["sample"])})
