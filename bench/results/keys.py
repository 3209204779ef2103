"""Measurements and their keys: a hash of what a measurement's value depends on, and of nothing else.

static    resolved axes, input shape, sources of the family and of the metric, library versions
speed     all of that, and batch, device, driver, library build, threads, dtype, clock and numeric policy,
          and how a forward pass is run: memory layout, compiled or not, replayed from a CUDA graph or not
accuracy  all of static, and task, dataset with fingerprint, recipe, seed, dtype, kind of device, numeric policy; of a
          search run the fraction held back; of a training with a budget of time the device, build and threads, as of
          a speed
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.hardware.environment import device_facts, device_kind, torch_build
from bench.registry import Axis, Entry, Metric, RegistryError, targets
from bench.registry.catalogue import Source, declarations, package_folder, source_of
from bench.registry.entries import FRACTION
from bench.registry.foreign import is_foreign
from bench.registry.losses import loss_sources
from bench.registry.versions import library_version
from bench.results.sources import closure, code_digest, digest, file_digest, libraries
from bench.results.weights import Named
from bench.spec.ablation import Ablation
from bench.spec.losses import AUTO
from bench.spec.variant import Variant
from bench.spec.weights import weights_of
from bench.spec.workload import Workload

Fingerprint = Mapping[str, str]
"""Split of a dataset -> digest of its data."""

KINDS = ("static", "speed", "accuracy")
"""Kinds of metrics, in the order in which they are measured."""

SUBSET = "order by hash, 1"
"""How a fraction of the training split is chosen (`bench.data.subset`); a new method makes its training runs due."""

HELD_BACK = "order by hash, 1"
"""How a search holds a fraction of the training split back; a new method makes the search runs due."""

UNKNOWN = "chosen by the search"
"""Takes the place of a value of the recipe that a search has still to choose."""

CONTRIBUTIONS = "jackknife of blocks, 1"
"""How contributions are computed; a new method makes the scores that have them due."""


@dataclass(frozen=True, slots=True)
class Request:
    """One number to measure. `training run` is the key of the training it needs, empty where it needs none.

    `weights` is the file of the weights that training begins with, empty where these are random.
    `shared` are the parts of its key but for the seed: requests that differ only in the seed have one mapping.
    """

    key: str
    variant: Variant
    workload: Workload
    metric: str
    kind: str
    seed: int | None
    training_run: str = ""
    weights: str = ""
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


def requests(
    ablation: Ablation,
    fingerprint: Fingerprint | Callable[[Workload], Fingerprint],
    kinds: Sequence[str] = KINDS,
    weights: Mapping[str, Named] = MappingProxyType({}),
) -> Iterator[Request]:
    """Every measurement that the ablation asks for: by kind of metric, variants in the ablation's order.

    `fingerprint` is that of the dataset, empty where none is used; or what gives it for the workload of a variant.
    Requests of variants that differ only in what a metric does not depend on have equal keys. `weights` are the files
    behind texts of `train.weights`.
    """
    maker = _Maker(ablation, fingerprint, weights)
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


OF_BOTH = ("code", "libraries", "file", "weights")
"""Parts of a score's key to which the training and the metric each add."""
WEIGHTS = "train.weights"
"""What the digest of the weights that training begins with is called in a key."""


class _Maker:
    """Makes the measurements of one ablation; what they share is computed once."""

    def __init__(
        self,
        ablation: Ablation,
        fingerprint: Fingerprint | Callable[[Workload], Fingerprint],
        weights: Mapping[str, Named] = MappingProxyType({}),
    ) -> None:
        self.ablation, self.weights = ablation, weights
        self.fingerprint = fingerprint if callable(fingerprint) else lambda work: fingerprint
        self.registries = declarations(ablation.plugins)
        self.code = functools.cache(self._code)
        self.axes = functools.cache(lambda name: targets.declared(name, ablation.plugins).axes)

    def cost(self, variant: Variant, metric: Metric) -> Request:
        """The request of a metric that needs no trained network."""
        parts = self.static(variant, metric)
        parts["code"] = parts["code"] | instrument("subject")
        if metric.kind == "speed":
            parts |= self.speed(variant)
        work = self.ablation.workload_of(variant)
        return Request(hashed(parts), variant, work, metric.name, metric.kind, None, shared=parts)

    def scores(self, variant: Variant, metrics: Sequence[Metric]) -> Iterator[Request]:
        """The requests of a variant's accuracy metrics: by seed, then by metric."""
        training, seeds = self.training(variant), self.ablation.seeds
        runs = tuple(keys_by_seed(training, seeds))
        for requests in zip(*(self._by_seed(variant, metric, training, runs) for metric in metrics), strict=True):
            yield from requests

    def _by_seed(
        self, variant: Variant, metric: Metric, training: Mapping[str, Any], runs: Sequence[str]
    ) -> Iterator[Request]:
        own, work, seeds = self.static(variant, metric), self.ablation.workload_of(variant), self.ablation.seeds
        shared = {
            **training,
            **own,
            **{part: training[part] | own.get(part, {}) for part in OF_BOTH if part in training},
        }
        shared |= {"contributions": CONTRIBUTIONS} if metric.reads_units else {}
        for key, seed, run in zip(keys_by_seed(shared, seeds), seeds, runs, strict=True):
            yield Request(key, variant, work, metric.name, metric.kind, seed, run, self.file(variant), shared)

    def file(self, variant: Variant) -> str:
        """The file of the weights that a variant's training begins with; empty where there is none."""
        text = self.ablation.recipe_of(variant).weights
        return self.weights[text].path if text is not None and text in self.weights else ""

    def initial(self, variant: Variant) -> dict[str, Any]:
        """The content of the file of weights, and how it is read; nothing where the weights are random."""
        text = self.ablation.recipe_of(variant).weights
        if text is None:
            return {}
        digest = self.weights[text].digest if text in self.weights else None
        return {WEIGHTS: digest, **{f"{WEIGHTS} {name}": value for name, value in weights_of(text).options.items()}}

    def network(self, variant: Variant) -> Request:
        work, code = self.ablation.workload_of(variant), self.code(variant.architecture)
        parts = {
            "architecture": variant.architecture,
            "axes": variant.values,
            "shape": list(work.shape),
            **{**code, "code": code["code"] | instrument("signature") | instrument("subject")},
            **self.named(variant),
        }
        return Request(hashed(parts), variant, work, "", "static", None)

    def static(self, variant: Variant, metric: Metric) -> dict[str, Any]:
        return {
            "metric": metric.name,
            "architecture": variant.architecture,
            "axes": variant.values,
            "shape": list(self.ablation.workload_of(variant).shape),
            **self.code(variant.architecture, metric),
            **self.named(variant),
        }

    def _code(self, architecture: str, *entries: Entry) -> dict[str, Any]:
        """Digests of the sources behind a family and `entries`, and the versions of the libraries they import."""
        modules = _entry_modules(architecture, entries, self.ablation.plugins)
        family = targets.declared(architecture, self.ablation.plugins)
        foreign = () if "architecture" in modules else LIBRARIES.get(family.module, (family.module,))
        versions = {"python": platform.python_version().rpartition(".")[0]} | dict(
            libraries(tuple(modules.values()), foreign)
        )
        return {"code": {role: code_digest([module]) for role, module in modules.items()}, "libraries": versions}

    def speed(self, variant: Variant) -> dict[str, Any]:
        work = self.ablation.workload_of(variant)
        how = {"layout": work.layout, "compile": work.compile, "graph": work.graph, **_numeric(work)}
        return {"batch": work.batch, "dtype": work.dtype, **_machine(work), **how}

    def training(self, variant: Variant) -> dict[str, Any]:
        """What a trained network depends on besides the seed: everything but the metric that is read off it."""
        work, held_back = self.ablation.workload_of(variant), self.ablation.held_back
        task, dataset = self.registries.tasks.get(work.task), self.registries.datasets.get(work.dataset)
        code, recipe = self.code(variant.architecture, task, dataset), self.ablation.recipe_of(variant)
        named = self.named(variant, (dataset.axes, dict(work.dataset_axes)))
        initial = self.initial(variant)
        weights = {**named.get("weights", {}), **initial}
        further = (instrument("budget") if recipe.flops else {}) | (instrument("weights") if initial else {})
        losses = _loss_modules(recipe.loss, work.task) if recipe.trains else ()
        further |= _loss_code(losses)
        return {
            "architecture": variant.architecture,
            "axes": variant.values,
            "shape": list(work.shape),
            "code": code["code"] | instrument("training") | further,
            "libraries": code["libraries"] | dict(libraries(losses) if losses else ()),
            "task": work.task,
            "dataset": {"name": work.dataset, **dict(work.dataset_axes)},
            "fingerprint": dict(self.fingerprint(work)),
            "recipe": self.recipe(variant),
            "dtype": work.dtype,
            "device": device_kind(work.device),
            **(_machine(work) if recipe.seconds else {}),
            **_numeric(work),
            **named,
            **({"weights": weights} if weights else {}),
            **_named_files(task.files),
            **({"subset": SUBSET} if FRACTION.name in dict(work.dataset_axes) else {}),
            **({"held_back": {"fraction": held_back, "method": HELD_BACK}} if held_back else {}),
        }

    def recipe(self, variant: Variant) -> dict[str, Any]:
        """How a variant is trained; what a search that has not ended will choose is not a value that anything has."""
        fields = self.ablation.recipe_of(variant).parts()
        searched = self.ablation.tune.names if self.ablation.tune and self.ablation.waits(variant) else ()
        return {**fields, **dict.fromkeys((name.partition(".")[2] for name in searched), UNKNOWN)}

    def named(self, variant: Variant, *more: tuple[Sequence[Axis], Mapping[str, Any]]) -> dict[str, Any]:
        """Digests of the files that axes name, and what stands behind `file:PATH` and `package:NAME`."""
        pairs = ((self.axes(variant.architecture), variant.values), *more)
        files = [path for axes, values in pairs for path in named_files(axes, values)]
        return _weights(variant) | ({"file": {path: file_digest(Path(path)) for path in files}} if files else {})


def _loss_modules(loss: str, task: str) -> tuple[tuple[str, Path], ...]:
    """The modules that a named loss stands in; nothing for the network's or the task's own."""
    sources = [] if loss in (AUTO, UNKNOWN) else loss_sources(loss, task)
    return tuple((source.module, source.path) for source in sources)


def _loss_code(modules: Sequence[tuple[str, Path]]) -> dict[str, dict[str, str]]:
    """Digests of the modules of a named loss, and of what applies it; nothing without one."""
    return {"loss": instrument("loss")["loss"] | code_digest(modules)} if modules else {}


def _machine(work: Workload) -> dict[str, Any]:
    """What times depend on: the device, the build of torch, and the threads."""
    return {"threads": work.threads, "machine": {**device_facts(work.device), "build": torch_build()}}


def _numeric(work: Workload) -> dict[str, Any]:
    """The numeric policy; nothing where it is PyTorch's on a device without TF32."""
    return {"numeric": work.numeric} if work.numeric else {}


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


def named_files(axes: Sequence[Axis], values: Mapping[str, Any]) -> Iterator[str]:
    """The values of axes of the type `File`, relative to the current folder as they are written."""
    for axis in axes:
        if axis.names_files and (value := values.get(axis.name)) is not None:
            yield from [value] if isinstance(value, str) else value


def refuse_missing_files(ablation: Ablation) -> None:
    """Raises RegistryError for the first value of a `File` axis that is no file."""
    names = {variant.architecture: None for variant in ablation.variants}
    families = {name: targets.declared(name, ablation.plugins) for name in names}
    for variant in ablation.variants:
        _refuse_missing(families[variant.architecture], variant.values)
    for work in ablation.workloads if ablation.trains else ():
        _refuse_missing(declarations(ablation.plugins).datasets.get(work.dataset), dict(work.dataset_axes))


def _refuse_missing(entry: Entry, values: Mapping[str, Any]) -> None:
    for axis in entry.axes:
        missing = next((path for path in named_files([axis], values) if not Path(path).is_file()), None)
        if missing is not None:
            where = f"; it is looked for in {Path.cwd()}" if not Path(missing).is_absolute() else ""
            raise RegistryError(f"axis '{axis.name}' of '{entry.name}' names {missing}: no such file{where}")


def _entry_modules(architecture: str, entries: Sequence[Entry], plugins: Sequence[str]) -> dict[str, tuple[str, Path]]:
    """Role -> (module, file) of a family, where it is not of a zoo, and of `entries`."""
    source = targets.source(targets.declared(architecture, plugins), plugins)
    sources = {"architecture": source} if source else {}
    sources |= {"outputs": Source(*_own(OUTPUTS))} if is_foreign(architecture) else {}
    sources |= {type(entry).__name__.lower(): source_of(entry, plugins) for entry in entries}
    return {role: (source.module, source.path) for role, source in sources.items()}


OUTPUTS = "bench.registry.outputs"
"""The module that says which output of a network is scored, where no registered architecture says so."""
LIBRARIES: Mapping[str, tuple[str, ...]] = {"smp": ("segmentation_models_pytorch", "timm")}
"""The libraries behind a zoo, where it is not called like its library or has encoders of another one."""

INSTRUMENTS = {
    "subject": (("bench.hardware.subject", False), ("bench.sweep.subjects", False)),
    "signature": (("bench.sweep.signature", True),),
    "budget": (
        ("bench.structure.costs", True),
        ("bench.hardware.subject", False),
        ("bench.sweep.subjects", False),
        ("bench.spec.budget", False),
    ),
    "training": (
        ("bench.training.loop", True),
        ("bench.sweep.training_run", False),
        ("bench.metrics.effective_receptive_field", False),
    ),
    "weights": (("bench.training.weights", True),),
    "loss": (("bench.training.chosen_loss", False),),
}
"""Modules of ours that take part in every measurement of a kind, by role; True: with all that they import."""


@functools.cache
def instrument(role: str) -> dict[str, dict[str, str]]:
    """Role -> (module -> digest) of the modules of ours that take part in every measurement of a kind."""
    code: dict[str, str] = {}
    for name, path, whole in _instrument_files(role):
        code |= code_digest([(name, path)]) if whole else {name: digest(path)}
    return {role: code}


def _instrument_files(role: str) -> Iterator[tuple[str, Path, bool]]:
    for module, whole in INSTRUMENTS[role]:
        yield *_own(module), whole


def _own(module: str) -> tuple[str, Path]:
    return module, package_folder("bench").joinpath(*module.split(".")[1:]).with_suffix(".py")


@functools.cache
def files_behind(
    architecture: str, metric: str, trained: tuple[str, str, str] | None, plugins: tuple[str, ...]
) -> tuple[Path, ...]:
    """The files whose code a key names. `metric` is empty for a network or a training run itself.

    `trained` is (task, dataset, loss) of what needs a training run.
    """
    registries = declarations(plugins)
    entries: list[Entry] = [registries.metrics.get(metric)] if metric else []
    if trained is not None:
        entries += [registries.tasks.get(trained[0]), registries.datasets.get(trained[1])]
    modules = _entry_modules(architecture, entries, plugins).values()
    losses = _loss_modules(trained[2], trained[0]) if trained is not None else ()
    paths = {path: None for module in (*modules, *losses) for _, path in closure(*module)}
    for role in ("training",) if trained is not None else ("subject",) if metric else ("subject", "signature"):
        for name, path, whole in _instrument_files(role):
            paths |= {file: None for _, file in closure(name, path)} if whole else {path: None}
    return tuple(paths)


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
