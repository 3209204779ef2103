"""From the store to a results bundle."""

from __future__ import annotations

from pathlib import Path

from bench.results.bundle import Bundle
from bench.results.loading import stored_of
from bench.results.store import Store
from bench.spec.ablation import Ablation
from bench.sweep.plan import plan


def bundle_of(ablation: Ablation, store: Store, data: Path | None) -> tuple[Bundle, int]:
    """(the bundle of what is stored of an ablation, how many of its measurements are missing).

    Kinds of metrics of which the store has nothing are taken over from the present bundle.
    """
    requests = plan(ablation, store, data, reading=True).requests
    stored = stored_of(ablation, requests, store, None)
    bundle = Bundle(
        name=ablation.name,
        records=stored.records,
        evaluations=stored.evaluations,
        signatures=stored.signatures,
        notes=stored.notes,
    )
    return bundle, len(requests) - len(stored.records)
