"""Measurements and their keys: a hash of what a measurement's value depends on, and of nothing else.

static    resolved axes, input shape, sources of the family and of the metric, library versions
speed     all of that, and batch, device, driver, library build, threads, dtype, clock policy, and how a
          forward pass is run: memory layout, compiled or not, replayed from a CUDA graph or not
accuracy  all of static, and task, dataset with fingerprint, recipe, seed, dtype, kind of device
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.hardware.environment import device_facts, device_kind, torch_build
from bench.registry import Entry, Metric, targets
from bench.registry.catalogue import declarations, package_folder, source_of
from bench.registry.versions import library_version
from bench.results.sources import code_digest, digest, file_digest, libraries
from bench.spec.ablation import Ablation
from bench.spec.variant import Variant
from bench.spec.workload import Workload

Fingerprint = Mapping[str, str]

KINDS = ("static", "speed", "accuracy")
"""Kinds of metrics, in the order in which they are measured."""

CONTRIBUTIONS = "jackknife of blocks, 1"
"""How contributions are computed; a new method makes the scores that have them due."""


@dataclass(frozen=True, slots=True)
class Request:
    """One number to measure. `training run` is the key of the training it needs, empty where it needs none.

    `shared` are the parts of its key but for the seed: requests that differ only in the seed have one mapping.
    """

    key: str
    variant: Variant
    workload: Workload
    metric: str
    kind: str
    seed: int | None
    training_run: str = ""
    shared: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def parts(self) -> dict[str, Any]:
        """What the key is a hash of."""
        return dict(self.shared) if self.seed is None else {**self.shared, "seed": self.seed}


def hashed(parts: Mapping[str, Any]) -> str:
    """The key that a set of parts gives: 20 hexadecimal digits.

    Code enters by its role (architecture, metric, task, ...) and its content. The names of the modules are stored with
    the key for `bench why`, and are not part of it: moving a file makes nothing due.
    """
    return _shortened(hashlib.sha256(_written(_without_names(parts)).encode()))


def keys_by_seed(shared: Mapping[str, Any], seeds: Iterable[int]) -> Iterator[str]:
    """`hashed({**shared, "seed": seed})` for each seed; what the seeds share is written and hashed once."""
    parts = _without_names(shared)
    before, after = ({n: v for n, v in parts.items() if (n < "seed") is first} for first in (True, False))
    begun = hashlib.sha256(f'{_written(before)[:-1]},"seed":'.encode())
    rest = f",{_written(after)[1:]}" if after else "}"
    for seed in seeds:
        whole = begun.copy()
        whole.update(f"{seed}{rest}".encode())
        yield _shortened(whole)


def _without_names(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The parts with the digests of the code, without the names of its modules."""
    code = {role: sorted(digests.values()) for role, digests in parts.get("code", {}).items()}
    return {**parts, "code": code}


def _written(parts: Mapping[str, Any]) -> str:
    return json.dumps(parts, sort_keys=True, separators=(",", ":"), default=list)


def _shortened(digest: hashlib._Hash) -> str:
    return digest.hexdigest()[:20]


def requests(ablation: Ablation, fingerprint: Fingerprint, kinds: Sequence[str] = KINDS) -> Iterator[Request]:
    """Every measurement that the ablation asks for: by kind of metric, variants in the ablation's order.

    `fingerprint` maps each split of the dataset to a digest of its data; empty where none is used.
    """
    maker = _Maker(ablation, fingerprint)
    for kind in kinds:
        metrics = [m for m in ablation.metrics if m.kind == kind]
        for variant in ablation.variants if metrics else ():
            if kind == "accuracy":
                yield from maker.scores(variant, metrics)
            else:
                yield from (maker.cost(variant, metric) for metric in metrics)


def networks(ablation: Ablation) -> list[Request]:
    """One static measurement for each variant, standing for the network itself: what the no-op check records."""
    maker = _Maker(ablation, {})
    return [maker.network(variant) for variant in ablation.variants]


class _Maker:
    """Makes the measurements of one ablation; what they share is computed once."""

    def __init__(self, ablation: Ablation, fingerprint: Fingerprint) -> None:
        self.ablation, self.fingerprint = ablation, fingerprint
        self.registries = declarations(ablation.plugins)
        self.code = functools.cache(self._code)

    def cost(self, variant: Variant, metric: Metric) -> Request:
        """The request of a metric that needs no trained network."""
        parts = self.static(variant, metric)
        parts["code"] = parts["code"] | _subject()
        if metric.kind == "speed":
            parts |= self.speed()
        return Request(hashed(parts), variant, self.ablation.workload, metric.name, metric.kind, None, "", parts)

    def scores(self, variant: Variant, metrics: Sequence[Metric]) -> Iterator[Request]:
        """The requests of a variant's accuracy metrics: by seed, then by metric."""
        training, seeds = self.training(variant), self.ablation.seeds
        runs = tuple(keys_by_seed(training, seeds))
        for requests in zip(*(self._by_seed(variant, metric, training, runs) for metric in metrics), strict=True):
            yield from requests

    def _by_seed(
        self, variant: Variant, metric: Metric, training: Mapping[str, Any], runs: Sequence[str]
    ) -> Iterator[Request]:
        own, work, seeds = self.static(variant, metric), self.ablation.workload, self.ablation.seeds
        shared = {**training, **own, **{part: training[part] | own[part] for part in ("code", "libraries")}}
        shared |= {"contributions": CONTRIBUTIONS} if metric.reads_units else {}
        for key, seed, run in zip(keys_by_seed(shared, seeds), seeds, runs, strict=True):
            yield Request(key, variant, work, metric.name, metric.kind, seed, run, shared)

    def network(self, variant: Variant) -> Request:
        work, code = self.ablation.workload, self.code(variant.architecture)
        parts = {
            "architecture": variant.architecture,
            "axes": dict(variant.axes),
            "shape": list(work.shape),
            **{**code, "code": code["code"] | _instrument("signature", "bench.sweep.signature") | _subject()},
            **_weights(variant),
        }
        return Request(hashed(parts), variant, work, "", "static", None)

    def static(self, variant: Variant, metric: Metric) -> dict[str, Any]:
        return {
            "metric": metric.name,
            "architecture": variant.architecture,
            "axes": dict(variant.axes),
            "shape": list(self.ablation.workload.shape),
            **self.code(variant.architecture, metric),
            **_weights(variant),
        }

    def _code(self, architecture: str, *entries: Entry) -> dict[str, Any]:
        """Digests of the sources behind a family and `entries`, and the versions of the libraries they import."""
        family = targets.declared(architecture, self.ablation.plugins)
        source = targets.source(family, self.ablation.plugins)
        sources = {"architecture": source} if source else {}
        sources |= {type(entry).__name__.lower(): source_of(entry, self.ablation.plugins) for entry in entries}
        modules = {role: (source.module, source.path) for role, source in sources.items()}
        code = {role: code_digest([module]) for role, module in modules.items()}
        return {"code": code, "libraries": dict(libraries(tuple(modules.values()), () if source else (family.module,)))}

    def speed(self) -> dict[str, Any]:
        work = self.ablation.workload
        machine = {**device_facts(work.device), "build": torch_build()}
        how = {"layout": work.layout, "compile": work.compile, "graph": work.graph}
        return {"batch": work.batch, "dtype": work.dtype, "threads": work.threads, "machine": machine, **how}

    def training(self, variant: Variant) -> dict[str, Any]:
        """What a trained network depends on besides the seed: everything but the metric that is read off it."""
        work = self.ablation.workload
        task, dataset = self.registries.tasks.get(work.task), self.registries.datasets.get(work.dataset)
        code = self.code(variant.architecture, task, dataset)
        return {
            "architecture": variant.architecture,
            "axes": dict(variant.axes),
            "shape": list(work.shape),
            "code": code["code"] | _instrument("training", "bench.training.loop"),
            "libraries": code["libraries"],
            "task": work.task,
            "dataset": {"name": work.dataset, **dict(work.dataset_axes)},
            "fingerprint": dict(self.fingerprint),
            "recipe": self.ablation.recipe.model_dump(),
            "dtype": work.dtype,
            "device": device_kind(work.device),
            **_weights(variant),
            **_named_files(task.files),
        }


def _weights(variant: Variant) -> dict[str, Any]:
    """What stands behind axis values `file:PATH` (a digest) and `package:NAME` (its version); nothing without them."""
    digests: dict[str, str | None] = {}
    for value in variant.values.values():
        kind, _, name = value.partition(":") if isinstance(value, str) else ("", "", "")
        if kind == "file":
            digests[value] = file_digest(Path(name))
        elif kind == "package":
            digests[value] = library_version(name)
    return {"weights": digests} if digests else {}


def _named_files(variables: Sequence[str]) -> dict[str, Any]:
    """Digests of the files that these environment variables name; nothing where none is set."""
    digests = {name: file_digest(Path(os.environ[name])) for name in variables if os.environ.get(name)}
    return {"files": digests} if digests else {}


def _subject() -> dict[str, dict[str, str]]:
    """The one module that every network passes through before it is recorded or timed."""
    path = package_folder("bench") / "hardware" / "subject.py"
    return {"subject": {"bench.hardware.subject": digest(path)}}


@functools.cache
def _instrument(role: str, module: str) -> dict[str, dict[str, str]]:
    """A module of ours that takes part in every measurement of a kind, with all that it imports."""
    path = package_folder("bench").joinpath(*module.split(".")[1:]).with_suffix(".py")
    return {role: code_digest([(module, path)])}


def difference(new: Mapping[str, Any], old: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Each part of a key that differs, as `code.bench.train: 1a2b -> 3c4d`."""
    for name in sorted({*new, *old}):
        before, now = old.get(name), new.get(name)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            yield from difference(now, before, f"{prefix}{name}.")
        elif before != now and _plain(before) != _plain(now):
            yield f"{prefix}{name}: {_shown(before)} -> {_shown(now)}"


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=list))


def _shown(value: Any) -> str:
    return "absent" if value is None else json.dumps(value, default=list)
