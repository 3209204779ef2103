"""An ablation: one YAML file, one question. Everything wrong with it is refused here, before any work.

question: Do skip connections sharpen an FCN, and what do they cost?
architecture: fcn
baseline: {stride: 32, skips: false}
vary: {stride: [16, 8]}            # one axis at a time, from the baseline
grid: {stride: [16, 8], skips: [false, true]}   # every combination
zip: {stride: [16, 8], width: [0.5, 0.25]}      # in step
exclude:
  - {when: {stride: 32, skips: true}, because: there is nothing to fuse at stride 32}
beside:                            # variants of other architectures, compared with the same baseline
  - {architecture: unet, axes: {width: 0.25}}
metrics: [params, macs, miou]
workload: {dataset: camvid, shape: [3, 120, 160], batch: 8}
train: {steps: 800}
seeds: 3
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.registry import Architecture, Dataset, Metric, RegistryError, resolve, suggestion, text_of
from bench.registry.catalogue import declarations
from bench.registry.targets import declared
from bench.spec.claims import ClaimError, Scope, Statement, parse
from bench.spec.recipe import Recipe
from bench.spec.variant import Variant
from bench.spec.workload import Layout, Workload, check_graph
from bench.spec.yamlfile import Document, FileError, parse_value, read

MAX_VARIANTS = 10_000
MAX_SEEDS = 10_000


class AblationError(FileError):
    """An ablation that cannot be run as it stands; one line for each thing that is wrong."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Exclusion(_Section):
    """Variants that are left out, and the reason that the report gives."""

    when: dict[str, Any] = Field(min_length=1)
    because: str = Field(min_length=1)


class Beside(_Section):
    """A variant of another architecture, measured beside the baseline's."""

    architecture: str
    axes: dict[str, Any] = {}


class Claim(_Section):
    """What the source says about these variants, in words of the table."""

    says: str = Field(min_length=1)
    source: str = ""


class WorkloadSection(_Section):
    """What the variants are measured on."""

    dataset: str | dict[str, Any] | None = None
    shape: list[int] = Field(default=[3, 64, 64], min_length=1, max_length=4)
    batch: int = Field(default=1, ge=1)
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?|mps)$")
    dtype: str = Field(default="float32", pattern=r"^(float32|float64|bfloat16|float16)$")
    threads: int = Field(default=1, ge=1)
    layout: Layout = "contiguous"
    compile: bool = False
    graph: bool = False


class AblationFile(_Section):
    """The keys of an ablation file."""

    question: str = Field(min_length=1)
    architecture: str
    source: str = ""
    baseline: dict[str, Any] = {}
    vary: dict[str, list[Any]] = {}
    grid: dict[str, list[Any]] = {}
    zip: dict[str, list[Any]] = {}
    exclude: list[Exclusion] = []
    beside: list[Beside] = []
    metrics: list[str] = Field(min_length=1)
    workload: WorkloadSection = WorkloadSection()
    train: Recipe = Recipe()
    seeds: int | list[int] = 1
    timeout: float = Field(default=3600.0, gt=0, le=1e7, allow_inf_nan=False, description="seconds a cell may take")
    claims: list[Claim] = []


@dataclass(frozen=True)
class Ablation:
    """A checked ablation. `variants` begins with the baseline; `excluded` holds (variant, because)."""

    name: str
    path: str
    question: str
    source: str
    variants: tuple[Variant, ...]
    excluded: tuple[tuple[Variant, str], ...]
    varied: tuple[str, ...]
    metrics: tuple[Metric, ...]
    workload: Workload
    recipe: Recipe
    seeds: tuple[int, ...]
    timeout: float
    claims: tuple[Statement, ...] = ()
    plugins: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()

    @property
    def baseline(self) -> Variant:
        return self.variants[0]

    @property
    def trains(self) -> bool:
        """Whether any metric needs a trained network."""
        return any(m.kind == "accuracy" for m in self.metrics)


def load(path: str | Path, overrides: Sequence[str] = (), plugins: Sequence[str] = ()) -> Ablation:
    """Read and check an ablation file; `overrides` are `key.sub=value` with YAML values.

    Raises AblationError (or RegistryError for an unreadable plug-in) whose text says file, line and
    what would have worked.
    """
    file = find(path)
    document = override(read(file), overrides)
    checked = _validated(document)
    found = _Checker(document, checked, tuple(plugins)).ablation(file.stem)
    claims = _claims(document, checked.claims, found, strict=not overrides)
    return replace(found, claims=claims, overrides=tuple(overrides))


def _claims(document: Document, given: Sequence[Claim], found: Ablation, strict: bool) -> tuple[Statement, ...]:
    """The claims, their variants resolved; with overrides, one of a variant that is no more says so."""
    scope = Scope(tuple(metric.name for metric in found.metrics), found.variants, found.excluded)
    told: list[Statement] = []
    for number, claim in enumerate(given):
        try:
            told.append(parse(claim.says, claim.source, scope))
        except ClaimError as error:
            if strict:
                raise AblationError(f"{document.at(['claims', number, 'says'])}: claim: {error}") from None
            told.append(Statement(claim.says, claim.source, problem=str(error)))
    return tuple(told)


def find(path: str | Path) -> Path:
    """The file that was meant: a path, or the name of a file in `ablations/`. Raises AblationError."""
    given = Path(path)
    if given.suffix in (".yaml", ".yml"):
        if given.exists():
            return given
        raise AblationError(f"{path}: there is no such file{suggestion(given.stem, names())}")
    named = Path("ablations") / f"{path}.yaml"
    if named.exists():
        return named
    raise AblationError(f"no ablation is called '{path}' in the folder ablations/ here{suggestion(str(path), names())}")


def names() -> list[str]:
    """The ablations of the folder `ablations/` under the working directory."""
    return sorted(p.stem for p in Path("ablations").glob("*.yaml"))


def override(document: Document, overrides: Sequence[str]) -> Document:
    """The document with `train.steps=50` and the like written over it. Raises AblationError."""
    data = _copied(document.data)
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise AblationError(f"--set {text}: write it as key=value, for instance train.steps=50")
        parts = key.split(".")
        inner = data
        for part in parts[:-1]:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise AblationError(f"--set {text}: '{part}' holds no keys")
        inner[parts[-1]] = parse_value(value)
    return Document(document.path, data, document.positions)


def _copied(data: Any) -> Any:
    if isinstance(data, dict):
        return {k: _copied(v) for k, v in data.items()}
    return [_copied(v) for v in data] if isinstance(data, list) else data


def _validated(document: Document) -> AblationFile:
    try:
        return AblationFile.model_validate(document.data)
    except ValidationError as error:
        raise AblationError("\n".join(_explained(document, e) for e in error.errors()[:2])) from None


_MODELS: dict[tuple[str, ...], type[BaseModel]] = {
    (): AblationFile,
    ("workload",): WorkloadSection,
    ("train",): Recipe,
    ("exclude",): Exclusion,
    ("beside",): Beside,
    ("claims",): Claim,
}


def _explained(document: Document, error: Any) -> str:
    """One line for one of pydantic's errors: position, key, what would have worked."""
    path = tuple(error["loc"])
    where, key = document.at(path), ".".join(str(p) for p in path)
    if error["type"] == "extra_forbidden":
        section = tuple(p for p in path[:-1] if isinstance(p, str))
        known = list(_MODELS.get(section, AblationFile).model_fields)
        return f"{where}: there is no key '{path[-1]}'{suggestion(str(path[-1]), known)}"
    if error["type"] == "missing":
        return f"{where}: key '{key}' is missing"
    message = error["msg"][0].lower() + error["msg"][1:]
    return f"{where}: '{key}': {message}, not {text_of(error['input'])[:60]}"


class _Checker:
    """Turns a file whose keys are right into an Ablation whose names and values are."""

    def __init__(self, document: Document, file: AblationFile, plugins: tuple[str, ...]) -> None:
        self.document, self.file, self.plugins = document, file, plugins
        self.registries = declarations(plugins)
        self.base: dict[str, Any] = {}

    def fail(self, path: Sequence[Any], message: object) -> AblationError:
        return AblationError(f"{self.document.at(path)}: {message}")

    def ablation(self, name: str) -> Ablation:
        architecture = self.architecture()
        metrics = self.metrics(architecture)
        workload = self.workload(architecture, metrics)
        self.base = self.fitted(architecture, workload, self.file.baseline, ["baseline"])
        kept, excluded = self.variants(architecture)
        kept += self.beside(architecture, workload, kept)
        return Ablation(
            name=name,
            path=self.document.path,
            question=self.file.question,
            source=self.file.source or architecture.source,
            variants=kept,
            excluded=excluded,
            varied=self.varied(),
            metrics=metrics,
            workload=workload,
            recipe=self.file.train,
            seeds=self.seeds(),
            timeout=self.file.timeout,
            plugins=self.plugins,
        )

    def varied(self) -> tuple[str, ...]:
        """The axes that differ between variants, `architecture` first where there are several."""
        several = ["architecture"] if self.file.beside else []
        return tuple(dict.fromkeys((*several, *self.file.vary, *self.file.grid, *self.file.zip)))

    def architecture(self) -> Architecture:
        return self.declared(self.file.architecture, ["architecture"])

    def declared(self, name: str, where: list[Any]) -> Architecture:
        try:
            return declared(name, self.plugins)
        except RegistryError as error:
            raise self.fail(where, error) from None

    def beside(self, architecture: Architecture, workload: Workload, kept: Sequence[Variant]) -> tuple[Variant, ...]:
        """The variants of other architectures, each with the axes that it states and that the dataset decides."""
        found: dict[Variant, None] = {}
        for number, entry in enumerate(self.file.beside):
            other = self.declared(entry.architecture, ["beside", number, "architecture"])
            if other.task != architecture.task:
                told = f"'{other.name}' is for {other.task or 'no task'}, but '{architecture.name}' for"
                raise self.fail(["beside", number, "architecture"], f"{told} {architecture.task or 'none'}")
            self.checked_value(other, ["beside", number, "axes"], entry.axes)
            axes = self.fitted(other, workload, entry.axes, ["beside", number, "axes"])
            variant = self.variant(other, axes, ["beside", number], stated=axes)
            if variant in found or variant in kept:
                raise self.fail(["beside", number], f"'{variant.name}' stands here for the second time")
            found[variant] = None
        return tuple(found)

    def fitted(
        self, architecture: Architecture, workload: Workload, given: Mapping[str, Any], where: list[Any]
    ) -> dict[str, Any]:
        """The axes given, and those that the dataset decides (its number of classes) set to fit it.

        What the dataset requires follows its own axis of that name where it has one (its number of levels).
        """
        dataset = self.registries.datasets.get(workload.dataset) if workload.dataset else None
        axes, own = {axis.name for axis in architecture.axes}, dict(workload.dataset_axes)
        needed = {k: own.get(k, v) for k, v in (dataset.requires if dataset else {}).items() if k in axes}
        for name, value in needed.items():
            if given.get(name, value) != value:
                told = f"'{workload.dataset}' needs {name}: {text_of(value)}; leave '{name}' out to have it set"
                raise self.fail([*where, name], told)
        return {**given, **needed}

    def variants(self, architecture: Architecture) -> tuple[tuple[Variant, ...], tuple[tuple[Variant, str], ...]]:
        kept: dict[Variant, None] = {}
        excluded: dict[Variant, str] = {}
        used: set[int] = set()
        self.check_axes(architecture)
        for where, axes in self.combinations():
            number, because = self.exclusion(architecture, axes)
            if because is not None:
                used.add(number)
                excluded[self.variant(architecture, axes, where, constrained=False)] = because
            else:
                kept[self.variant(architecture, axes, where)] = None
            if len(kept) + len(excluded) > MAX_VARIANTS:
                raise self.fail(where, f"more than {MAX_VARIANTS} variants")
        self.check_exclusions(used, kept)
        return tuple(kept), tuple(excluded.items())

    def check_axes(self, architecture: Architecture) -> None:
        """Every axis exists and every value fits it, each said where it stands."""
        self.checked_value(architecture, ["baseline"], self.file.baseline)
        for section in ("vary", "grid", "zip"):
            for axis, values in getattr(self.file, section).items():
                if not values:
                    raise self.fail([section, axis], f"'{section}.{axis}' lists no values")
                for index, value in enumerate(values):
                    self.checked_value(architecture, [section], {axis: value}, index)
                parsed = [next(a for a in architecture.axes if a.name == axis).parse(v) for v in values]
                if section != "zip" and len(set(parsed)) < len(parsed):
                    raise self.fail([section, axis], f"'{section}.{axis}' lists a value twice")
        lengths = {axis: len(values) for axis, values in self.file.zip.items()}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{axis} has {n}" for axis, n in lengths.items())
            raise self.fail(["zip"], f"the lists of 'zip' must be of one length: {told}")

    def checked_value(
        self, architecture: Architecture, section: list[Any], axes: Mapping[str, Any], index: int | None = None
    ) -> None:
        known = {axis.name: axis for axis in architecture.axes}
        for name, value in axes.items():
            path = [*section, name] if index is None else [*section, name, index]
            if name not in known:
                message = f"'{architecture.name}' has no axis '{name}'{suggestion(name, list(known))}"
                raise self.fail([*section, name], message)
            try:
                known[name].parse(value)
            except RegistryError as error:
                raise self.fail(path, error) from None

    def combinations(self) -> Iterator[tuple[list[str], dict[str, Any]]]:
        """The baseline, then what `vary`, `grid` and `zip` make of it, with the section to blame."""
        base = self.base
        yield ["baseline"], dict(base)
        for axis, values in self.file.vary.items():
            for value in values:
                yield ["vary", axis], {**base, axis: value}
        if self.file.grid:
            for point in itertools.product(*self.file.grid.values()):
                yield ["grid"], {**base, **dict(zip(self.file.grid, point))}
        if self.file.zip:
            for point in zip(*self.file.zip.values()):
                yield ["zip"], {**base, **dict(zip(self.file.zip, point))}

    def variant(
        self,
        architecture: Architecture,
        axes: Mapping[str, Any],
        where: list[Any],
        constrained: bool = True,
        stated: Collection[str] | None = None,
    ) -> Variant:
        try:
            resolved = architecture.resolve(axes) if constrained else self.unconstrained(architecture, axes)
        except RegistryError as error:
            hint = "; leave it out with 'exclude'" if where[0] in ("vary", "grid", "zip") else ""
            raise self.fail(where, f"{error}{hint}") from None
        named = {*self.base, *self.file.vary, *self.file.grid, *self.file.zip} if stated is None else stated
        return Variant(architecture.name, tuple(resolved.items()), tuple(n for n in resolved if n in named))

    @staticmethod
    def unconstrained(architecture: Architecture, axes: Mapping[str, Any]) -> dict[str, Any]:
        return resolve(architecture.name, architecture.axes, axes)

    def exclusion(self, architecture: Architecture, axes: Mapping[str, Any]) -> tuple[int, str | None]:
        resolved = self.unconstrained(architecture, axes)
        known = {axis.name: axis for axis in architecture.axes}
        for number, exclusion in enumerate(self.file.exclude):
            self.checked_value(architecture, ["exclude", number, "when"], exclusion.when)
            if all(resolved[k] == known[k].parse(v) for k, v in exclusion.when.items()):
                return number, exclusion.because
        return -1, None

    def check_exclusions(self, used: set[int], kept: Mapping[Variant, None]) -> None:
        for number in range(len(self.file.exclude)):
            if number not in used:
                raise self.fail(["exclude", number], "excludes nothing: no variant is like that")
        if not kept or next(iter(kept)) != self.baseline_variant():
            raise self.fail(["exclude"], "excludes the baseline, against which all else is compared")

    def baseline_variant(self) -> Variant:
        return self.variant(self.architecture(), self.base, ["baseline"], constrained=False)

    def metrics(self, architecture: Architecture) -> tuple[Metric, ...]:
        found: list[Metric] = []
        for index, name in enumerate(self.file.metrics):
            try:
                metric = self.registries.metrics.get(name)
            except RegistryError as error:
                raise self.fail(["metrics", index], error) from None
            if not metric.fits(architecture.task):
                told = f"'{name}' is for {' and '.join(metric.tasks)}"
                raise self.fail(["metrics", index], f"{told}, but '{architecture.name}' is for {architecture.task}")
            if metric in found:
                raise self.fail(["metrics", index], f"'{name}' stands here for the second time")
            found.append(metric)
        return tuple(found)

    def workload(self, architecture: Architecture, metrics: Sequence[Metric]) -> Workload:
        section = self.file.workload
        if any(side < 1 for side in section.shape):
            raise self.fail(
                ["workload", "shape"], f"'workload.shape' needs positive sizes, not {text_of(section.shape)}"
            )
        try:
            check_graph(section.graph, section.device)
        except ValueError as error:
            raise self.fail(["workload", "graph"], error) from None
        needed = section.dataset is not None or any(m.kind == "accuracy" for m in metrics)
        name, axes = self.dataset(architecture) if needed else ("", {})
        return Workload(
            task=architecture.task,
            dataset=name,
            dataset_axes=tuple(axes.items()),
            shape=tuple(section.shape),
            batch=section.batch,
            device=section.device,
            dtype=section.dtype,
            threads=section.threads,
            layout=section.layout,
            compile=section.compile,
            graph=section.graph,
        )

    def dataset(self, architecture: Architecture) -> tuple[str, dict[str, Any]]:
        given = self.file.workload.dataset
        axes = dict(given) if isinstance(given, dict) else {}
        name = axes.pop("name", None) if isinstance(given, dict) else given
        path = ["workload", "dataset"]
        if isinstance(given, dict) and not isinstance(name, str):
            raise self.fail(path, "'workload.dataset' needs a name: {name: context, distance: 14}")
        try:
            dataset = self.default_dataset(architecture) if name is None else self.registries.datasets.get(name)
            if dataset.task != architecture.task:
                told = f"'{dataset.name}' is for {dataset.task}, but '{architecture.name}' is for {architecture.task}"
                raise RegistryError(told)
            return dataset.name, dataset.resolve(axes)
        except RegistryError as error:
            raise self.fail(path, error) from None

    def default_dataset(self, architecture: Architecture) -> Dataset:
        for dataset in self.registries.datasets:
            if dataset.task == architecture.task and dataset.embedded:
                return dataset
        raise RegistryError(f"no embedded dataset for {architecture.task}; name one in workload.dataset")

    def seeds(self) -> tuple[int, ...]:
        given = self.file.seeds
        many = given > MAX_SEEDS if isinstance(given, int) else any(seed >= 2**63 for seed in given)
        if many:
            raise self.fail(["seeds"], f"'seeds' is at most {MAX_SEEDS}, and a seed is below 2**63")
        seeds = tuple(range(given)) if isinstance(given, int) else tuple(given)
        if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
            raise self.fail(
                ["seeds"], f"'seeds' is a number from 1, or a list of different seeds, not {text_of(given)}"
            )
        return seeds
