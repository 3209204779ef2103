"""From what is stored to what tables, figures and pages read: one ablation's results, and where they come from.

Only reads. What the local store lacks is read from the ablation's committed results bundle, if that was measured under
the settings that the ablation states. All numbers of one kind (static, speed, accuracy) come from one place: times
of two machines never share a column.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.registry.catalogue import declarations
from bench.registry.project import project
from bench.results.bundle import Bundle, folder_of, is_bundle, read
from bench.results.conditions import conditions_of, differences, stated
from bench.results.failures import failures_of
from bench.results.frame import frame_of
from bench.results.keys import KINDS, Request, networks
from bench.results.measurement import EARLIER, Evaluation, Record
from bench.results.results import Results
from bench.results.signature import Signature
from bench.results.store import Store, is_damaged
from bench.results.tuned import Tuning
from bench.spec.ablation import Ablation
from bench.spec.variant import Variant
from bench.stats.descriptive import median

Runs = Mapping[tuple[Variant, int], Evaluation]


@dataclass(frozen=True)
class Stored:
    """What is stored of an ablation's requests.

    `bundled` maps each kind of metric that was read from a bundle to the bundle's folder; `origin` says in words what
    does not come from the local store; `notes` are what a person remarked on the runs.
    """

    records: tuple[Record, ...]
    evaluations: Runs = field(default_factory=dict)
    signatures: Mapping[Variant, Signature] = field(default_factory=dict)
    bundled: Mapping[str, str] = field(default_factory=dict)
    origin: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def load_results(
    ablation: Ablation,
    requests: Sequence[Request],
    store: Store | None,
    bundle: Path | None = None,
    evaluations: bool = True,
    tuning: Tuning | None = None,
) -> Results:
    """Everything that is stored of these requests, variants named as this ablation names them.

    `tuning` is what the search over the recipe gave, where the ablation has one.

    `store` None reads the bundle alone. `bundle` is a bundle's folder; default: `results/reference/NAME` of the
    project, or of fovbench for an ablation of its own. Without `evaluations` those of the store stay unread.
    Raises BundleError for a folder that is named and is no bundle.
    """
    stored = stored_of(ablation, requests, store, bundle, evaluations)
    remarks = (*stored.notes, *ablation.remarks, *stored.origin)
    notes = tuple(dict.fromkeys(remark for remark in remarks if remark))
    return replace(results_of(ablation, requests, stored, notes), tuning=tuning)


def stored_of(
    ablation: Ablation, requests: Sequence[Request], store: Store | None, folder: Path | None, evaluations: bool = True
) -> Stored:
    """The records of the store, and of the bundle for each kind of metric of which the store has none."""
    local = _of_store(ablation, requests, store, evaluations) if store else Stored(())
    place = folder or folder_of(ablation.name, ablation.builtin)
    if folder is None and not is_bundle(place):
        return local
    present = {record.kind for record in local.records}
    lacking = [request for request in requests if request.kind not in present]
    return _joined(local, _of_bundle(read(place), lacking, place)) if lacking else local


def _joined(local: Stored, committed: Stored) -> Stored:
    return Stored(
        (*local.records, *committed.records),
        {**committed.evaluations, **local.evaluations},
        {**committed.signatures, **local.signatures},
        committed.bundled,
        (*local.origin, *committed.origin),
        (*local.notes, *(committed.notes if committed.records else ())),
    )


def _of_store(ablation: Ablation, requests: Sequence[Request], store: Store, evaluations: bool) -> Stored:
    stored = (record for record in store.records(each.key for each in requests) if not is_damaged(record))
    earlier = store.earlier_samples(each.key for each in requests if each.kind == "speed")
    records = [_with_earlier(record, earlier) for record in named_by(requests, stored)]
    note = store.note(ablation.name)
    signatures = stored_signatures(ablation, store)
    runs = _evaluations(requests, store) if evaluations else {}
    notes = (note,) if note else ()
    return Stored(tuple(records), runs, signatures, origin=tuple(_damage(store, requests)), notes=notes)


def _with_earlier(record: Record, earlier: Mapping[str, Sequence[Sequence[float]]]) -> Record:
    """The record; its detail has the medians of other processes that measured the same before, if there were any."""
    samples = earlier.get(record.measurement.key)
    if not samples or record.measurement.error is not None:
        return record
    detail = dict(record.measurement.detail)
    medians = [*detail.get(EARLIER, ()), *map(median, samples)]
    return replace(record, measurement=replace(record.measurement, detail={**detail, EARLIER: medians}))


def _damage(store: Store, requests: Sequence[Request]) -> Iterator[str]:
    """A remark on each stored thing of these requests that is left out, named as the ablation names it."""
    names = {r.key: f"{r.variant.name} {r.metric}" + ("" if r.seed is None else f" seed {r.seed}") for r in requests}
    for key, text in store.damage.items():
        if key in names:
            yield f"the measurement {names[key]}, key {key}, is damaged and left out; bench run makes it again"
        else:
            yield f"{text} and left out"


def named_by(requests: Sequence[Request], records: Iterable[Record]) -> list[Record]:
    """The record of each request that has one, in the order of the requests and named as they name it."""
    by_key = {record.measurement.key: record for record in records}
    return [_renamed(by_key[request.key], request) for request in requests if request.key in by_key]


def _renamed(record: Record, request: Request) -> Record:
    """The record as this ablation names it; another may have measured it, or another variant of this one."""
    measurement = replace(record.measurement, variant=request.variant, workload=request.workload)
    return replace(record, measurement=measurement)


def _evaluations(requests: Sequence[Request], store: Store) -> dict[tuple[Variant, int], Evaluation]:
    runs = {(request.variant, request.seed or 0): request.training_run for request in requests if request.training_run}
    evaluations = {key: store.evaluation(key) for key in dict.fromkeys(runs.values())}
    chosen = ((run, evaluations[key]) for run, key in runs.items())
    return {run: evaluation for run, evaluation in chosen if evaluation is not None}


def stored_signatures(ablation: Ablation, store: Store) -> dict[Variant, Signature]:
    """What earlier runs recorded of the ablation's networks; a variant that was never recorded is left out."""
    requests = networks(ablation)
    facts = store.signatures(request.key for request in requests)
    return {request.variant: Signature(**facts[request.key]) for request in requests if request.key in facts}


def _of_bundle(bundle: Bundle, requests: Sequence[Request], place: Path) -> Stored:
    """The bundle's records of these requests that were measured under the settings that the requests state."""
    by_place = {(request.variant, request.metric, request.seed): request for request in requests}
    pairs = [(record, by_place[_place(record)]) for record in bundle.records if _place(record) in by_place]
    other = [list(_other_settings(request, record)) for record, request in pairs]
    fits = [not settings for settings in other]
    fitting = [_renamed(record, request) for (record, request), fit in zip(pairs, fits, strict=True) if fit]
    names = {request.variant: request.variant for request in requests}
    trained = {record.measurement.variant for record in fitting if record.kind == "accuracy"}
    return Stored(
        tuple(fitting),
        {(names[v], seed): each for (v, seed), each in bundle.evaluations.items() if v in trained},
        {names[v]: each for v, each in bundle.signatures.items() if v in names},
        dict.fromkeys(_kinds(fitting), place.as_posix()),
        tuple(_origin(fitting, other, place)),
        bundle.notes,
    )


def _place(record: Record) -> tuple[Variant, str, int | None]:
    return record.measurement.variant, record.measurement.metric, record.measurement.seed


def _other_settings(request: Request, record: Record) -> Iterator[str]:
    return differences(stated(conditions_of(request.parts)), stated(record.conditions))


def _origin(fitting: Sequence[Record], other: Sequence[list[str]], place: Path) -> Iterator[str]:
    if kinds := _kinds(fitting):
        dates = sorted(record.created[:10] for record in fitting)
        when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
        yield f"{_listed(kinds)} measurements read from {place.as_posix()} (measured {when})"
    odd = [settings for settings in other if settings]
    if odd:
        yield f"{len(odd)} measurements of {place.as_posix()} are not used: other settings ({odd[0][0]})"


def _kinds(records: Iterable[Record]) -> list[str]:
    present = {record.kind for record in records}
    return [kind for kind in KINDS if kind in present]


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def results_of(ablation: Ablation, requests: Sequence[Request], stored: Stored, notes: tuple[str, ...]) -> Results:
    """The results as tables and figures read them."""
    return Results(
        name=ablation.name,
        question=ablation.question,
        source=ablation.source,
        baseline=ablation.baseline.name,
        variants=tuple(variant.name for variant in ablation.variants),
        axes={variant.name: variant.texts for variant in (*ablation.variants, *(v for v, _ in ablation.excluded))},
        varied=ablation.varied,
        excluded=tuple((variant.name, because) for variant, because in ablation.excluded),
        frame=frame_of(stored.records),
        evaluations={(variant.name, seed): each for (variant, seed), each in stored.evaluations.items()},
        contributions=_contributions(stored.records),
        provenance=_provenance(ablation, stored.records),
        signatures=stored.signatures,
        claims=ablation.claims,
        labels=ablation.labels,
        main=ablation.main or "",
        answers=ablation.answers,
        bundled=stored.bundled,
        notes=notes,
        failures=failures_of(stored.records),
        plugins=ablation.plugins,
        steps=ablation.steps,
        raced=ablation.raced,
        looks=ablation.adaptive.sizes if ablation.adaptive and ablation.trains else (),
        expected=tuple((request.variant.name, request.metric, request.seed) for request in requests),
    )


def _contributions(records: Iterable[Record]) -> dict[tuple[str, str, int], np.ndarray]:
    """What each block of images contributes to each score; nothing of a metric to which all blocks contribute alike."""
    rows = [record.measurement for record in records if record.measurement.contributions]
    varying = {m.metric for m in rows if min(m.contributions) < max(m.contributions)}
    return {(m.variant.name, m.metric, m.seed or 0): np.array(m.contributions) for m in rows if m.metric in varying}


def _provenance(ablation: Ablation, records: Sequence[Record]) -> dict[str, Any]:
    work = ablation.workload
    workload = {"shape": list(work.shape), "batch": work.batch, "device": work.device, "dtype": work.dtype}
    recipe = ablation.recipe.stated() if ablation.trains else {}
    dataset = _datasets(ablation) if work.dataset else {}
    return {
        "command": shlex.join(_command(ablation)),
        "file": _relative(ablation.path),
        "environment": _environment(records),
        "recipe": _common(recipe, "train", ablation),
        "dataset": _common(dataset, "dataset", ablation),
        "workload": _common({**workload, "threads": work.threads, **work.options}, "workload", ablation),
        "seeds": ablation.adaptive.text if ablation.adaptive else list(ablation.seeds),
        "metrics": {m.name: _definition(m) for m in ablation.metrics},
    }


BY_VARIANT = "differs by variant"


def _common(values: Mapping[str, Any], section: str, ablation: Ablation) -> dict[str, Any]:
    """The values of a section; of a setting that is not the same in all variants, that it differs."""
    rows = [variant.settings for variant in ablation.variants]
    differing = [name for name in rows[0] if any(row[name] != rows[0][name] for row in rows)]
    fields = [name.partition(".")[2] for name in differing if name.startswith(f"{section}.")]
    return {**values, **(dict.fromkeys(fields, BY_VARIANT) if values else {})}


def _definition(metric: Any) -> dict[str, Any]:
    names = {"doc": metric.summary, "display_name": metric.display_name or metric.name}
    return {**names, "unit": metric.unit, "better": metric.better, "kind": metric.kind}


def _command(ablation: Ablation) -> list[str]:
    """The command that measures this again; where its data are is for the reader to say."""
    settings = [word for override in ablation.overrides for word in ("--set", override)]
    named = [plugin for plugin in ablation.plugins if plugin not in project().plugins]
    plugins = [word for plugin in named for word in ("--plugin", _relative(plugin))]
    return ["bench", "run", _relative(ablation.target), *settings, *plugins]


def _relative(path: str) -> str:
    """A path below the working directory; of another one only its name, which says nothing of a machine."""
    place = Path(path)
    if not place.is_absolute():
        return place.as_posix()
    inside = place.is_relative_to(Path.cwd())
    return place.relative_to(Path.cwd()).as_posix() if inside else place.name


def _datasets(ablation: Ablation) -> Mapping[str, Any]:
    """What the report says of the dataset of the baseline with its options; of several datasets, what each is."""
    registry = declarations(ablation.plugins).datasets
    entries = [registry.get(name) for name in dict.fromkeys(work.dataset for work in ablation.workloads)]
    facts = {
        "name": [entry.name for entry in entries],
        "licence": [entry.licence for entry in entries],
        "source": [entry.source for entry in entries],
        "train": [entry.splits[0] for entry in entries],
        "evaluation": [entry.splits[1] for entry in entries],
    }
    texts = {name: "; ".join(dict.fromkeys(values)) for name, values in facts.items()}
    return {**texts, **dict(ablation.workload.dataset_axes)}


def _environment(records: Sequence[Record]) -> dict[str, Any]:
    """What the measurements say of the machine; a fact with several values keeps all of them."""
    facts: dict[str, set[str]] = {}
    for record in records:
        for name, value in record.measurement.environment.items():
            facts.setdefault(name, set()).add(_text(value))
    return {name: " / ".join(sorted(values)) for name, values in sorted(facts.items())}


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v}" for k, v in sorted(value.items()) if v is not None)
    return str(value)
