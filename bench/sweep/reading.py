"""Reading an ablation's results: what is stored locally, completed from its committed results bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.results.loading import load_results
from bench.results.results import Results
from bench.results.store import Store
from bench.spec.ablation import Ablation
from bench.sweep.plan import plan


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
    if results.bundled or not planned.note:
        return results
    return replace(results, notes=(*results.notes, planned.note))
