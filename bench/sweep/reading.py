"""Reading an ablation's results: what is stored locally, completed from its committed results bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.results.loading import load_results
from bench.results.results import Results
from bench.results.store import Store
from bench.spec.ablation import Ablation
from bench.sweep.plan import Plan, plan


def _outdated(planned: Plan) -> tuple[str, ...]:
    """A note where stored measurements were made of files that changed since; they are shown all the same."""
    lines = [planned.outdated[0] for planned in planned.planned if planned.outdated]
    what = "1 measurement was" if len(lines) == 1 else f"{len(lines)} measurements were"
    return (
        (f"{what} made of other files ({lines[0]}); measure again: bench run {planned.ablation.name}",) if lines else ()
    )


def read_results(
    ablation: Ablation,
    store: Store,
    data: Path | None = None,
    bundle: Path | None = None,
    evaluations: bool = True,
) -> Results:
    """The ablation's results. Needs neither the dataset nor torch; `notes` say what does not come from the store.

    `bundle` names a bundle's folder, which is then read in place of the store. Without `evaluations` (tables need none)
    those of the store stay unread. Raises BundleError where `bundle` is none.
    """
    planned = plan(ablation, store, data, reading=True)
    local = store if bundle is None else None
    results = load_results(ablation, planned.requests, local, bundle, evaluations)
    results = replace(results, notes=(*results.notes, *_outdated(planned))) if local else results
    if results.bundled or not planned.note:
        return results
    return replace(results, notes=(*results.notes, planned.note))
