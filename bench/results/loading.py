"""From the store to what tables and reports read: the kept measurements of one ablation and their provenance."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.registry.catalogue import declarations, live
from bench.results.keys import Request, networks
from bench.results.measurement import Evaluation, Reading
from bench.results.results import Results
from bench.results.signature import Signature
from bench.results.store import Store, load
from bench.spec.ablation import Ablation
from bench.spec.variant import Variant
from bench.stats.inference import pseudovalues

if TYPE_CHECKING:
    import pandas as pd

    from bench.stats.inference import Floats


def gather(ablation: Ablation, requests: Sequence[Request], store: Store, note: str = "") -> Results:
    """Everything that is kept of these cells. Variants bear the names that this ablation gives them."""
    names = {request.key: request.variant.name for request in requests}
    frame = load(store.path, names)
    frame["variant"] = frame["key"].map(names)
    evaluations = _evaluations(requests, store)
    return Results(
        name=ablation.name,
        question=ablation.question,
        source=ablation.source,
        baseline=ablation.baseline.name,
        variants=tuple(v.name for v in ablation.variants),
        varied=ablation.varied,
        excluded=tuple((v.name, because) for v, because in ablation.excluded),
        frame=frame,
        evaluations=evaluations,
        units=dict(_units(ablation, evaluations, frame)),
        provenance=_provenance(ablation, requests, store),
        signatures=kept_signatures(ablation, store),
        claims=ablation.claims,
        notes=tuple(text for text in (store.note(ablation.name), note) if text),
        expected=tuple((request.variant.name, request.metric, request.seed) for request in requests),
    )


def kept_signatures(ablation: Ablation, store: Store) -> dict[Variant, Signature]:
    """What earlier runs found the ablation's networks to be; a variant that none looked at is left out."""
    requests = networks(ablation)
    kept = store.signatures(request.key for request in requests)
    return {request.variant: Signature(**kept[request.key]) for request in requests if request.key in kept}


def _evaluations(requests: Sequence[Request], store: Store) -> dict[tuple[str, int], Evaluation]:
    training_runs = {
        request.training_run: (request.variant.name, request.seed) for request in requests if request.training_run
    }
    found = ((named, store.evaluation(training_run)) for training_run, named in training_runs.items())
    return {(name, seed or 0): evaluation for (name, seed), evaluation in found if evaluation is not None}


def _units(
    ablation: Ablation, evaluations: Mapping[tuple[str, int], Evaluation], frame: pd.DataFrame
) -> Iterator[tuple[tuple[str, str, int], Floats]]:
    """What each block of evaluation units contributes to each score; nothing of a metric that doesn't look at units."""
    good = frame[(frame["kind"] == "accuracy") & frame["value"].notna()]
    for name in dict.fromkeys(good["metric"]):
        call = live(declarations(ablation.plugins).metrics.get(name), ablation.plugins).call
        rows = good[good["metric"] == name]
        scored = [(variant, int(seed)) for variant, seed in zip(rows["variant"], rows["seed"], strict=True)]
        found = {(v, name, s): contributions(call, evaluations[v, s]) for v, s in scored if (v, s) in evaluations}
        told = {key: values for key, values in found.items() if values is not None}
        if any(values.min() < values.max() for values in told.values()):
            yield from told.items()


def contributions(call: Callable[[Evaluation], Any], evaluation: Evaluation) -> Floats | None:
    """A metric's pseudovalues over blocks of the evaluation's units; None where it reads none, or they don't allow any.

    Units that say of which `image` they are (joints) stay together with the others of it.
    """
    import numpy as np

    counts = {len(values) for values in evaluation.units.values()}
    if len(counts) != 1:
        return None
    images, owner = np.unique(evaluation.units.get("image", np.arange(counts.pop())), return_inverse=True)

    def over(chosen: Any) -> float | None:
        rows = np.flatnonzero(np.isin(owner, chosen))
        units = _Watched({name: values[rows] for name, values in evaluation.units.items()})
        reading = call(replace(evaluation, units=units))
        value = reading.value if isinstance(reading, Reading) else reading
        return value if units.read and isinstance(value, (int, float)) else None

    return pseudovalues(over, len(images))


class _Watched(Mapping[str, Any]):
    """A mapping that knows whether a value was taken from it.

    A distance between sets of samples takes none, and its jackknife would run for minutes.
    """

    def __init__(self, held: Mapping[str, Any]) -> None:
        self.held, self.read = held, False

    def __getitem__(self, name: str) -> Any:
        value = self.held[name]
        self.read = True
        return value

    def __contains__(self, name: object) -> bool:
        return name in self.held

    def __iter__(self) -> Iterator[str]:
        return iter(self.held)

    def __len__(self) -> int:
        return len(self.held)


def _provenance(ablation: Ablation, requests: Sequence[Request], store: Store) -> dict[str, Any]:
    work = ablation.workload
    registries = declarations(ablation.plugins)
    metrics = {m.name: {"doc": m.summary, "unit": m.unit, "better": m.better, "kind": m.kind} for m in ablation.metrics}
    workload = {"shape": list(work.shape), "batch": work.batch, "device": work.device, "dtype": work.dtype}
    return {
        "command": shlex.join(_command(ablation)),
        "file": _shown(ablation.path),
        "environment": _environment(requests, store),
        "recipe": ablation.recipe.model_dump() if ablation.trains else {},
        "dataset": _dataset(registries.datasets.get(work.dataset), ablation) if work.dataset else {},
        "workload": {**workload, "threads": work.threads, **work.options},
        "seeds": list(ablation.seeds),
        "metrics": metrics,
    }


def _command(ablation: Ablation) -> list[str]:
    """What measures this again; where its data lie is the reader's to say."""
    settings = [word for override in ablation.overrides for word in ("--set", override)]
    plugins = [word for plugin in ablation.plugins for word in ("--plugin", _shown(plugin))]
    return ["bench", "run", _shown(ablation.path), *settings, *plugins]


def _shown(path: str) -> str:
    """A path as it stands below the working directory; elsewhere only its name, which tells nothing of a machine."""
    given = Path(path)
    if not given.is_absolute():
        return given.as_posix()
    inside = given.is_relative_to(Path.cwd())
    return given.relative_to(Path.cwd()).as_posix() if inside else given.name


def _dataset(entry: Any, ablation: Ablation) -> Mapping[str, Any]:
    train, held_out = entry.splits[:2]
    told = {
        "name": entry.name,
        "licence": entry.licence,
        "source": entry.source,
        "train": train,
        "evaluation": held_out,
    }
    return {**told, **dict(ablation.workload.dataset_axes)}


def _environment(requests: Sequence[Request], store: Store) -> dict[str, Any]:
    """What the kept measurements say of the machine; a fact with several values keeps all of them."""
    facts: dict[str, set[str]] = {}
    for measurement, _, _ in store.measurements(request.key for request in requests):
        for name, value in measurement.environment.items():
            facts.setdefault(name, set()).add(_text(value))
    return {name: " / ".join(sorted(values)) for name, values in sorted(facts.items())}


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {v}" for k, v in sorted(value.items()) if v is not None)
    return str(value)
