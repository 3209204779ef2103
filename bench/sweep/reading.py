"""Reading an ablation's results: what is stored locally, completed from its committed results bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.analysis.looks import looks_at
from bench.results.loading import Stored, load_results, stored_of
from bench.results.results import Results
from bench.results.store import Store
from bench.results.tuned import Tuned, chosen_of, tuned_of, tuning_of
from bench.spec.ablation import Ablation
from bench.spec.variant import Variant
from bench.sweep.plan import Plan, plan, plan_with


def _outdated(planned: Plan) -> tuple[str, ...]:
    """A note where stored measurements were made of files that changed since; they are shown all the same."""
    lines = [each.outdated[0] for each in planned.whole if each.outdated]
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
    planned = plan(ablation, store, data, reading=True, bundled=True, bundle=bundle)
    local = store if bundle is None else None
    planned, search, tuned = chosen_recipes(planned, store, local, bundle)
    tuning = tuning_of(ablation, tuned)
    results = load_results(planned.ablation, planned.at_most.requests, local, bundle, evaluations, tuning)
    results = results.with_seeds(looks_at(results).counts) if results.looks else results
    results = replace(results, notes=(*results.notes, *(f"search runs: {note}" for note in search.origin)))
    results = replace(results, notes=(*results.notes, *_outdated(planned))) if local else results
    if results.bundled or not planned.note:
        return results
    return replace(results, notes=(*results.notes, planned.note))


def chosen_recipes(
    planned: Plan, store: Store, local: Store | None, bundle: Path | None
) -> tuple[Plan, Stored, dict[Variant, Tuned]]:
    """(the plan with the recipes that the stored search runs choose, these runs, what the search gave by variant).

    The search runs are those of the `local` store, or of the bundle. Without a search the plan is the one given.
    """
    if planned.search is None:
        return planned, Stored(()), {}
    search = stored_of(planned.search.ablation, planned.search.requests, local, bundle, evaluations=False)
    tuned = tuned_of(planned.ablation, search.records)
    return plan_with(planned, chosen_of(tuned), store, reading=True), search, tuned
