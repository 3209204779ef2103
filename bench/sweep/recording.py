"""What the history file gets of one commit: numbers of the store or of a bundle, and times of a paired run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.hardware.environment import device_facts, snapshot, torch_build
from bench.registry.catalogue import declarations
from bench.results.bundle import read as read_bundle
from bench.results.history import Entry, Number, PairedTime, numbers_of
from bench.results.keys import requests
from bench.results.location import Location
from bench.results.store import Store
from bench.results.turns import TIMED
from bench.spec.ablation import Ablation, load
from bench.spec.workload import Workload
from bench.sweep.commits import Commit, is_changed
from bench.sweep.running import measure_static


def entry_of(commit: Commit, numbers: Sequence[Number], *, here: bool = True) -> Entry:
    """The line of a commit; `here` says that the numbers are of the working tree, on this machine."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    facts = snapshot("cpu") if here else {}
    return Entry(commit.name, commit.date, commit.subject, now, tuple(numbers), here and is_changed(), facts)


def static_numbers(
    names: Sequence[str], store: Location, plugins: Sequence[str], settings: Sequence[str] = ()
) -> list[Number]:
    """The static numbers of ablations in the code of now; what is not stored is measured. `settings` are overrides."""
    ablations = [load(name, settings, plugins) for name in names]
    with Store(store) as stored:
        measure_static(ablations, stored)
        return [number for ablation in ablations for number in _stored(ablation, stored)]


def _stored(ablation: Ablation, stored: Store) -> Iterator[Number]:
    """Of each variant by its name in the ablation: the store has that under which a number was first measured."""
    asked = tuple(requests(ablation, {}, ("static",)))
    records = {record.measurement.key: record for record in stored.records(request.key for request in asked)}
    named = ((records[request.key], request.variant) for request in asked if request.key in records)
    yield from numbers_of(
        ablation.name,
        [replace(record, measurement=replace(record.measurement, variant=variant)) for record, variant in named],
    )


def numbers_of_bundle(folder: Path) -> list[Number]:
    """Every number of a results bundle. Raises BundleError."""
    return numbers_of(folder.name, read_bundle(folder).records)


def paired_numbers(
    times: Sequence[PairedTime], names: Sequence[str], plugins: Sequence[str], settings: Sequence[str] = ()
) -> list[Number]:
    """The times of a paired run under the conditions of this machine, and of the workload of their variant.

    `names` are those or the files of the ablations.
    """
    timed = {time.ablation for time in times}
    ablations = {Path(name).stem: load(name, settings, plugins) for name in names if Path(name).stem in timed}
    return [_paired(time, ablations[time.ablation]) for time in times]


def _paired(time: PairedTime, ablation: Ablation) -> Number:
    variant = next(each for each in ablation.variants if each.name == time.variant)
    metric = declarations(ablation.plugins).metrics.get(time.metric)
    timed = time.metric in TIMED
    return Number(
        time.ablation,
        time.variant,
        time.metric,
        "speed",
        time.value,
        "s" if timed else metric.unit,
        "lower" if timed else metric.better,
        _conditions(ablation.workload_of(variant)),
        time.error,
        time.detail,
    )


def _conditions(work: Workload) -> dict[str, Any]:
    """Those of a paired run; it is no repetition of what a store has, so that its method is one of them."""
    names = ("shape", "batch", "device", "dtype", "threads", "layout", "compile")
    machine = {**device_facts(work.device), "torch_build": torch_build()}
    settings = {name: getattr(work, name) for name in names}
    return {**settings, **work.numeric, "shape": list(work.shape), "machine": machine, "method": "paired"}
