"""From the store to a results bundle, and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bench.results.bundle import Bundle
from bench.results.loading import stored_of
from bench.results.measurement import Record
from bench.results.store import Store
from bench.spec.ablation import Ablation
from bench.sweep.plan import dataset_name, fingerprint_text, plan
from bench.sweep.reading import chosen_recipes
from bench.sweep.tracebacks import without_folders


def bundle_of(ablation: Ablation, store: Store, data: Path | None) -> tuple[Bundle, int]:
    """(the bundle of what is stored of an ablation, how many of its measurements are missing).

    Of an ablation with `tune:` it has the search runs, too. Kinds of metrics of which the store has nothing are taken
    over from the present bundle.
    """
    planned, search, _ = chosen_recipes(plan(ablation, store, data, reading=True), store, store, None)
    stored = stored_of(planned.ablation, planned.requests, store, None)
    records = (*stored.records, *map(_of_search, search.records))
    bundle = Bundle(
        name=ablation.name,
        records=tuple(_without_machine(record) for record in records),
        evaluations=stored.evaluations,
        signatures=stored.signatures,
        notes=stored.notes,
    )
    return bundle, len(planned.whole) - len(records)


def _of_search(record: Record) -> Record:
    """A search run as a bundle has it: no interval is computed from it, so that it needs no contributions."""
    return replace(record, measurement=replace(record.measurement, contributions=()))


def _without_machine(record: Record) -> Record:
    """The record; an error without the folders of this machine."""
    m = record.measurement
    return record if m.error is None else replace(record, measurement=replace(m, error=without_folders(m.error)))


def add_bundle(bundle: Bundle, store: Store) -> tuple[int, int]:
    """Add the bundle's measurements to the store; (how many were new, how many have no key and were skipped).

    What the store has is left as it is. A dataset that the store never met is remembered with the fingerprint that the
    bundle records, so that its scores can be read where the dataset is absent.
    """
    keyed = [record for record in bundle.records if record.measurement.key]
    added = store.add_records(keyed)
    prints = {
        dataset_name(record.measurement.workload): fingerprint_text(record.conditions["fingerprint"])
        for record in keyed
        if record.conditions.get("fingerprint") and not record.conditions.get("held_back")
    }
    for name, text in prints.items():
        if store.fingerprint(name) is None:
            store.remember_fingerprint(name, text)
    return added, len(bundle.records) - len(keyed)
