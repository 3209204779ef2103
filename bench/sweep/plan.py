"""Plan: every measurement that an ablation asks for, and whether it is kept already."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.analysis.looks import Looks, looks_at
from bench.analysis.race import walked
from bench.registry.catalogue import declarations, live
from bench.results.freshness import Places, checker, places
from bench.results.keys import KINDS, Request, refuse_missing_files, requests
from bench.results.loading import Stored, named_by, results_of, stored_of
from bench.results.results import Results
from bench.results.store import Row, Store
from bench.results.tuned import chosen_of, tuned_of
from bench.results.weights import Named, named_weights, refuse_missing_weights
from bench.spec.ablation import Ablation
from bench.spec.search import search_of
from bench.spec.variant import Variant
from bench.spec.workload import Workload
from bench.sweep.plugin_checks import check_files

ERRORS = ("failed", "oom", "timeout", "died", "diverged")
"""Kinds of errors; `--rerun failed` means all of them."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A requested measurement and its status: `due`, `cached`, `failed` (kept as an error, not run again), or `waits`.

    What waits depends on a search over the recipe that has not ended with a choice; its key is not its own yet.
    `outdated` says which files changed since the stored measurement was made; it is then due, and will be replaced.
    """

    request: Request
    status: str
    error: str | None = None
    outdated: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What a run of the ablation would do.

    `data_stamp` is that of the dataset's files before their content was read; empty where none was. `search` is the
    plan of the search runs of an ablation with `tune:`; `ablation` then has the recipes that are chosen so far.
    `later` are the measurements of adaptive seeds that no look has asked for so far, `look` the number of the look that
    the planned ones are for, from 1; 0 where the seeds are fixed.
    """

    ablation: Ablation
    planned: tuple[Planned, ...]
    data: Path | None
    note: str = ""
    data_stamp: str = ""
    search: Plan | None = None
    later: tuple[Planned, ...] = ()
    look: int = 0

    @property
    def at_most(self) -> Plan:
        """The plan with every measurement of adaptive seeds."""
        return replace(self, planned=(*self.planned, *self.later), later=())

    @property
    def whole(self) -> tuple[Planned, ...]:
        """The search runs, then the reported ones."""
        return (*(self.search.planned if self.search else ()), *self.planned)

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

    def as_due(self) -> Plan:
        """The plan with what waits for a search as due, for a forecast."""
        planned = tuple(replace(each, status="due") if each.status == "waits" else each for each in self.planned)
        return replace(self, planned=planned)

    @property
    def later_measurements(self) -> int:
        """How many measurements the steps of a greedy path after the open one make at most."""
        seeds = {"accuracy": len(self.ablation.seeds)}
        of_one = sum(seeds.get(metric.kind, 1) for metric in self.ablation.metrics)
        return self.ablation.greedy.later * of_one if self.ablation.greedy else 0

    @property
    def later_runs(self) -> tuple[int, str]:
        """The same as training runs, where networks are trained: (how many, what)."""
        if self.ablation.greedy is None or not self.ablation.trains:
            return self.later_measurements, "measurements"
        return self.ablation.greedy.later * len(self.ablation.seeds), "trainings"

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
    bundled: bool = False,
    bundle: Path | None = None,
) -> Plan:
    """Every measurement of the ablation with its status in `store`. Builds no network, imports no torch.

    `rerun` names kinds of errors that are due again; `force` makes everything due; `only` keeps these metrics, `kinds`
    these kinds of metrics. With `reading`, a dataset that is not here counts as what it was when it was last used, or,
    if it never was, as data whose measurements the store cannot have.
    Which variants a greedy path has by now is what the store says; with `bundled`, the ablation's committed results
    where the store has none, and those of the folder `bundle` alone where it is named.
    A stored measurement is due again where a file that it was made of changed.
    Raises DataNotFound where the data are needed and missing, RegistryError where an axis names a file that is.
    """
    how = _How(store, data, tuple(rerun), force, tuple(only), tuple(kinds), reading, bundled=bundled, bundle=bundle)
    if not _is_searched(ablation, how):
        return _plan(ablation, how)
    search = _plan(search_of(ablation), replace(how, only=(), kinds=("accuracy",)))
    made = [planned.request.key for planned in search.planned if planned.status in ("cached", "failed")]
    chosen = chosen_of(tuned_of(ablation, named_by(search.requests, store.records(made))))
    return replace(_plan(replace(ablation, chosen=chosen), how), search=search)


def plan_with(planned: Plan, chosen: Mapping[Variant, Mapping[str, Any]], store: Store, **options: Any) -> Plan:
    """The plan of an ablation with `tune:` once its search has ended; `options` are those of `plan`."""
    how = _How(store, planned.data, **options)
    return replace(_plan(replace(planned.ablation, chosen=chosen), how), search=planned.search)


def plan_on(planned: Plan, store: Store, made: Collection[str], **options: Any) -> Plan:
    """The plan of an ablation with adaptive seeds after another look; `options` are those of `plan`.

    `made` are the keys that this run has measured: neither `force` nor `rerun` makes them due again.
    """
    how = _How(store, planned.data, made=frozenset(made), **options)
    return replace(_plan(planned.ablation, how), search=planned.search)


@dataclass(frozen=True)
class _How:
    """What a plan is made of, and how: the arguments of `plan`."""

    store: Store
    data: Path | None
    rerun: tuple[str, ...] = ()
    force: bool = False
    only: tuple[str, ...] = ()
    kinds: tuple[str, ...] = KINDS
    reading: bool = False
    made: frozenset[str] = frozenset()
    bundled: bool = False
    bundle: Path | None = None


def _is_searched(ablation: Ablation, how: _How) -> bool:
    """Whether the plan has measurements that depend on a search."""
    trained = [metric.name for metric in ablation.metrics if metric.kind == "accuracy"]
    asked = not how.only or bool({*how.only} & {*trained})
    return ablation.tune is not None and "accuracy" in how.kinds and asked


def _plan(ablation: Ablation, how: _How) -> Plan:
    """The plan of an ablation as it is, without its search; of adaptive seeds those that the looks so far ask for."""
    ablation = walked(ablation, lambda step: _of_step(step, how))
    planned = _every(ablation, how)
    if ablation.adaptive is None or not any(each.request.training_run for each in planned.planned):
        return planned
    looks = _looks(planned, how.store)
    asked = [is_asked(each.request, looks.counts) for each in planned.planned]
    now, later = (tuple(itertools.compress(planned.planned, some)) for some in (asked, map(operator.not_, asked)))
    return replace(planned, planned=now, later=later, look=looks.taken + looks.waits)


def _looks(planned: Plan, store: Store) -> Looks:
    """What the looks at the stored scores gave; what is due again is not stored."""
    return looks_at(_made(planned, store))


def _made(planned: Plan, store: Store) -> Results:
    made = [each.request for each in planned.planned if each.status in ("cached", "failed")]
    stored = Stored(tuple(named_by(made, store.records(request.key for request in made))))
    return results_of(planned.ablation, planned.requests, stored, ())


def _of_step(step: Ablation, how: _How) -> Results:
    """The results of the candidates of one step of a greedy path."""
    planned = _every(step, replace(how, only=(), kinds=KINDS))
    if not how.bundled:
        return _made(planned, how.store)
    local = how.store if how.bundle is None else None
    return results_of(step, planned.requests, stored_of(step, planned.requests, local, how.bundle, False), ())


def is_asked(request: Request, counts: Mapping[str, int]) -> bool:
    """Whether a measurement needs no seed, or one of those that its variant has by now."""
    return request.seed is None or request.seed < counts[request.variant.name]


def _every(ablation: Ablation, how: _How) -> Plan:
    """The plan with all seeds."""
    if not how.reading:
        refuse_missing_files(ablation)
    trains = "accuracy" in how.kinds
    weights = named_weights(ablation, how.store.path) if trains else {}
    if not how.reading:
        refuse_missing_weights(ablation, weights)
    stamp = "" if how.reading or not trains else data_stamp(ablation, how.data)
    prints, note = _fingerprints(ablation, how.store, how.data, how.reading) if trains else ({}, "")
    remembered = _remembered_too(weights, how.store, how.reading)
    asked = requests(ablation, lambda work: prints.get(dataset_name(work), {}), how.kinds, remembered)
    chosen = [request for request in asked if not how.only or request.metric in how.only]
    rows = how.store.measured(request.key for request in chosen)
    changed = checker(places_of(ablation, how.data))
    planned = tuple(
        Planned(request, "waits")
        if request.kind == "accuracy" and ablation.waits(request.variant)
        else _status(request, rows.get(request.key), how, changed)
        for request in chosen
    )
    return Plan(ablation, planned, how.data, note=note, data_stamp=stamp)


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
    """Size and dates of the files of the ablation's datasets, hashed; empty where it has none, or one is not here."""
    if not ablation.trains:
        return ""
    from bench.data.fingerprint import stamp

    different = dict.fromkeys((work.dataset, work.dataset_axes) for work in ablation.workloads)
    stamps = []
    try:
        for name, options in different:
            dataset = live(declarations(ablation.plugins).datasets.get(name), ablation.plugins)
            check_files(dataset)
            stamps.append(stamp(dataset, data, dataset.splits[:2], dict(options)))
        return " ".join(stamps)
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
    splits = dataset.splits[: 1 if ablation.held_back else 2]
    try:
        prints = {split: fingerprint(dataset, data, split, work.shape, dict(work.dataset_axes)) for split in splits}
    except LookupError:
        if not reading:
            raise
        prints, note = _remembered(store.fingerprint(name), work.dataset)
        return {split: digest for split, digest in prints.items() if split in splits}, note
    if not reading and not ablation.held_back:
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


def _status(request: Request, row: Row | None, how: _How, changed: Callable[[str], tuple[str, ...]]) -> Planned:
    if row is None or (how.force and request.key not in how.made):
        return Planned(request, "due")
    if outdated := changed(row.files):
        return Planned(request, "due", outdated=outdated)
    if row.error is None:
        return Planned(request, "cached")
    if row.is_damaged:
        return Planned(request, "due", row.error)
    kind = row.error.split(":", 1)[0]
    again = request.key not in how.made and ("failed" in how.rerun or kind in how.rerun)
    return Planned(request, "due" if again else "failed", row.error)
