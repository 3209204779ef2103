"""Claims of the source as checks of the gate."""

from __future__ import annotations

from bench.analysis.summary import summarise
from bench.gate.expectations import Check
from bench.results.results import Results


def claim_checks(results: Results) -> list[Check]:
    """A check for each claim that the numbers decide: `same` where it is reproduced, `worse` where contradicted.

    A claim that is inconclusive, or that cannot be evaluated, has none: it never fails the gate.
    """
    decided = [claim for claim in summarise(results).claims if claim.answer in ("reproduced", "contradicted")]
    return [
        Check(
            results.name,
            "",
            f"claim {claim.statement.says}",
            "same" if claim.answer == "reproduced" else "worse",
            "reproduced",
            claim.answer,
        )
        for claim in decided
    ]
