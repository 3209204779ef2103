"""Plan: every measurement that an ablation asks for, and whether it is kept already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.registry.catalogue import declarations, live
from bench.results.freshness import Places, checker, places
from bench.results.keys import KINDS, Request, refuse_missing_files, requests
from bench.results.store import Row, Store
from bench.results.weights import Named, named_weights, refuse_missing_weights
from bench.spec.ablation import Ablation
from bench.spec.workload import Workload
from bench.sweep.plugin_checks import check_files

ERRORS = ("failed", "oom", "timeout", "died", "diverged")
"""Kinds of errors; `--rerun failed` means all of them."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A requested measurement and its status: `due`, `cached`, or `failed` (kept as an error, not run again).

    `outdated` says which files changed since the stored measurement was made; it is then due, and will be replaced.
    """

    request: Request
    status: str
    error: str | None = None
    outdated: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What a run of the ablation would do.

    `data_stamp` is that of the dataset's files before their content was read; empty where none was.
    """

    ablation: Ablation
    planned: tuple[Planned, ...]
    data: Path | None
    note: str = ""
    data_stamp: str = ""

    @property
    def requests(self) -> tuple[Request, ...]:
        return tuple(p.request for p in self.planned)

    @property
    def due(self) -> tuple[Request, ...]:
        """What is to be measured, once for each key."""
        return tuple({p.request.key: p.request for p in self.planned if p.status == "due"}.values())

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(p.request.key for p in self.planned)

    def count(self, status: str) -> int:
        """Measurements of a status; one that several variants have in common counts once."""
        return len({p.request.key for p in self.planned if p.status == status})


def plan(
    ablation: Ablation,
    store: Store,
    data: Path | None = None,
    *,
    rerun: Sequence[str] = (),
    force: bool = False,
    only: Sequence[str] = (),
    kinds: Sequence[str] = KINDS,
    reading: bool = False,
) -> Plan:
    """Every measurement of the ablation with its status in `store`. Builds no network, imports no torch.

    `rerun` names kinds of errors that are due again; `force` makes everything due; `only` keeps these metrics, `kinds`
    these kinds of metrics. With `reading`, a dataset that is not here counts as what it was when it was last used, or,
    if it never was, as data whose measurements the store cannot have.
    A stored measurement is due again where a file that it was made of changed.
    Raises DataNotFound where the data are needed and missing, RegistryError where an axis names a file that is.
    """
    if not reading:
        refuse_missing_files(ablation)
    weights = named_weights(ablation, store.path) if "accuracy" in kinds else {}
    if not reading:
        refuse_missing_weights(ablation, weights)
    stamp = "" if reading or "accuracy" not in kinds else data_stamp(ablation, data)
    prints, note = ({}, "") if "accuracy" not in kinds else _fingerprints(ablation, store, data, reading)
    every = requests(
        ablation, lambda w: prints.get(dataset_name(w), {}), kinds, _remembered_too(weights, store, reading)
    )
    chosen = [r for r in every if not only or r.metric in only]
    rows = store.measured(request.key for request in chosen)
    changed = checker(places_of(ablation, data))
    planned = tuple(_status(request, rows.get(request.key), rerun, force, changed) for request in chosen)
    return Plan(ablation, planned, data, note=note, data_stamp=stamp)


def _remembered_too(weights: Mapping[str, Named], store: Store, reading: bool) -> dict[str, Named]:
    """The weights; for reading, a missing file counts as what it was when it was last used."""
    if not reading:
        for text, each in weights.items():
            store.remember_fingerprint(f"weights {text}", each.digest or "")
        return dict(weights)
    last = {text: store.fingerprint(f"weights {text}") for text, each in weights.items() if each.digest is None}
    return {text: replace(each, digest=each.digest or last.get(text)) for text, each in weights.items()}


def places_of(ablation: Ablation, data: Path | None) -> Places:
    """The folders below which files that an ablation's measurements are made of are recorded."""
    return places(ablation.plugins, [variant.architecture for variant in ablation.variants], data)


def data_stamp(ablation: Ablation, data: Path | None) -> str:
    """Size and dates of the files of the ablation's dataset, hashed; empty where it has none, or they are not here."""
    if not ablation.trains:
        return ""
    from bench.data.fingerprint import stamp

    dataset = live(declarations(ablation.plugins).datasets.get(ablation.workload.dataset), ablation.plugins)
    options = dict.fromkeys(work.dataset_axes for work in ablation.workloads)
    try:
        check_files(dataset)
        return " ".join(stamp(dataset, data, dataset.splits[:2], dict(each)) for each in options)
    except (LookupError, OSError, ValueError):  # what is wrong with the files is said where their content is read
        return ""


def _fingerprints(
    ablation: Ablation, store: Store, data: Path | None, reading: bool
) -> tuple[dict[str, dict[str, str]], str]:
    """(data of the variants, as `dataset_name` -> fingerprint; a remark where the data are not here)."""
    if not ablation.trains:
        return {}, ""
    different = {dataset_name(work): work for work in ablation.workloads}
    pairs = {name: _fingerprint(ablation, work, store, data, reading) for name, work in different.items()}
    notes = dict.fromkeys(note for _, note in pairs.values() if note)
    return {name: prints for name, (prints, _) in pairs.items()}, "; ".join(notes)


def _fingerprint(
    ablation: Ablation, work: Workload, store: Store, data: Path | None, reading: bool
) -> tuple[dict[str, str], str]:
    """(split -> digest of its data, a remark where the data are not here)."""
    from bench.data.fingerprint import fingerprint

    name = dataset_name(work)
    dataset = live(declarations(ablation.plugins).datasets.get(work.dataset), ablation.plugins)
    check_files(dataset)
    try:
        prints = {s: fingerprint(dataset, data, s, work.shape, dict(work.dataset_axes)) for s in dataset.splits[:2]}
    except LookupError:
        if not reading:
            raise
        return _remembered(store.fingerprint(name), work.dataset)
    if not reading:
        store.remember_fingerprint(name, fingerprint_text(prints))
    return prints, ""


def dataset_name(work: Workload) -> str:
    """The dataset with its axes and the shape of its images: what a fingerprint is remembered under."""
    return f"{work.dataset}{dict(work.dataset_axes)}{work.shape}"


def fingerprint_text(prints: Mapping[str, str]) -> str:
    """A fingerprint as the store remembers it."""
    return ",".join(f"{split}={digest}" for split, digest in prints.items())


def _remembered(text: str | None, dataset: str) -> tuple[dict[str, str], str]:
    if text is None:
        return {}, f"the dataset {dataset} is not here (see: bench data get {dataset}); its scores can only be read"
    pairs = (pair.split("=") for pair in text.split(","))
    return dict(pairs), f"the dataset {dataset} is not here; read as it was last used"


def _status(
    request: Request, row: Row | None, rerun: Sequence[str], force: bool, changed: Callable[[str], tuple[str, ...]]
) -> Planned:
    if row is None or force:
        return Planned(request, "due")
    if outdated := changed(row.files):
        return Planned(request, "due", outdated=outdated)
    if row.error is None:
        return Planned(request, "cached")
    if row.is_damaged:
        return Planned(request, "due", row.error)
    kind = row.error.split(":", 1)[0]
    again = "failed" in rerun or kind in rerun
    return Planned(request, "due" if again else "failed", row.error)
