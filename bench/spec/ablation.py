"""An ablation: one YAML file, one question. Every fault of the file is refused here, before any work.

question: Do skip connections sharpen an FCN, and what do they cost?
source: Long, Shelhamer & Darrell 2015
architecture: fcn
baseline: {stride: 32, skips: false}
vary: {stride: [16, 8]}                         # one axis at a time, from the baseline
grid: {stride: [16, 8], skips: [false, true]}   # every combination
zip: {stride: [16, 8], width: [0.5, 0.25]}      # the first values together, then the second ones
                                                # leave_out, add_in, factorial, sample, path: see bench.spec.designs
                                                # any axis may be a setting: train.lr, workload.shape, dataset.noise
exclude:
  - {when: {stride: 32, skips: true}, because: there is nothing to fuse at stride 32}
compare_with:                                   # variants of other architectures, compared with the same baseline
  - {label: U-Net, architecture: unet, axes: {width: 0.25}}
labels: {"stride=8,skips=true": FCN-8s}         # short names for tables and figures
metrics: [params, macs, miou]
main: miou                                      # the metric that answers the question
workload: {dataset: camvid, shape: [3, 120, 160], batch: 8}
train: {steps: 800}
tune: {over: {train.lr: [3e-3, 1e-2]}, on: 0.15}  # every variant gets the same search; see bench.spec.tuning
seeds: 3                                        # or {min: 3, max: 10, until: decided}; see bench.spec.adaptive
answers:                                        # the contrasts that answer the question, in order
  - {compare: "stride=8,skips=true", with: "stride=8,skips=false"}
claims:                                         # what the source says; see bench.spec.claims
  - {says: "miou[stride=8,skips=true] > miou[stride=32]", source: Table 2}
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench.registry import Metric, RegistryError, suggestion, text_of
from bench.registry.builtin import all_names, folders, is_builtin, names
from bench.registry.catalogue import declarations
from bench.registry.project import located, project, with_project
from bench.spec.adaptive import Adaptive, adaptive_of
from bench.spec.claims import ClaimError, Scope, Statement, parse
from bench.spec.context import Context
from bench.spec.designs import WITH_AXES, design_remarks, is_greedy, path_points
from bench.spec.expansion import expanded
from bench.spec.greedy import Greedy
from bench.spec.measured import check_lengths, check_size, main_metric, metrics_of, seeds_of, workload_of
from bench.spec.recipe import Recipe
from bench.spec.references import VariantError, find_variant
from bench.spec.schema import OLD_KEYS, AblationError, validated, with_new_keys
from bench.spec.settings import Settings, recipe_with, stated_names, with_effect, workload_with
from bench.spec.shorthand import with_sections, with_setting_names
from bench.spec.tuning import Tune, check_runs, tune_of
from bench.spec.variant import Variant, setting_names
from bench.spec.workload import Workload
from bench.spec.yamlfile import Document, parse_value, read

__all__ = ["Ablation", "AblationError", "find", "load", "names", "override"]


OF_AXES = (("baseline",), *WITH_AXES)
"""The sections whose keys are axes."""
UNTRAINED = ("train.steps", "train.weights", "train.mode")
"""The settings of the recipe that matter where nothing is trained."""


@dataclass(frozen=True)
class Ablation:
    """A checked ablation.

    `variants` begins with the baseline; `excluded` holds (variant, reason); `labels` maps names of variants to short
    names; `main` is the name of the main metric, empty where there is none; `answers` holds the names of two variants
    for each contrast: the one that is compared, and the one that it is compared with. `workload` and `recipe` are those
    of the baseline; `workload_of` and `recipe_of` give those of each variant. `remarks` say what the file may not mean.
    `tune` is the search over the recipe that every variant gets, and `chosen` what it chose for each: setting -> value.
    `steps` are the answers that the steps of a `path` are: each of its variants and the one before.
    `greedy` is the path whose order the results choose, `raced` the seeds that its races gave their variants by now.
    With `adaptive`, `seeds` are the most that a variant can get.
    With `held_back`, networks are trained without this fraction of the training split, and judged on it alone.
    """

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
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    main: str = ""
    answers: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()
    tune: Tune | None = None
    chosen: Mapping[Variant, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    held_back: float = 0.0
    adaptive: Adaptive | None = None
    steps: tuple[tuple[str, str], ...] = ()
    greedy: Greedy | None = None
    raced: Mapping[str, int] = field(default_factory=dict, hash=False)

    @property
    def baseline(self) -> Variant:
        return self.variants[0]

    @property
    def builtin(self) -> bool:
        """Whether it is one of those that fovbench brings along."""
        return is_builtin(self.path)

    @property
    def target(self) -> str:
        """How a command names it: by its file, or by its name where that is enough."""
        return self.name if self.builtin and Path(self.path).is_absolute() else self.path

    @property
    def trains(self) -> bool:
        """Whether any metric needs a trained network."""
        return any(metric.kind == "accuracy" for metric in self.metrics)

    def workload_of(self, variant: Variant) -> Workload:
        """What a variant is measured on."""
        return workload_with(self.workload, variant.settings, declarations(self.plugins).datasets.get)

    def recipe_of(self, variant: Variant) -> Recipe:
        """How a variant is trained; of a variant whose search has not ended, as without it."""
        return recipe_with(self.recipe, {**variant.settings, **self.chosen.get(variant, {})})

    def waits(self, variant: Variant) -> bool:
        """Whether the recipe of a variant depends on a search that has not ended."""
        return self.tune is not None and variant not in self.chosen and self.recipe_of(variant).trains

    @property
    def searched(self) -> tuple[Variant, ...]:
        """The variants that a search is made for: those that are trained."""
        return tuple(variant for variant in self.variants if self.tune and self.recipe_of(variant).trains)

    def effective_settings(self, variant: Variant) -> dict[str, Any]:
        """The settings of a variant that any measurement of the ablation depends on.

        Where a variant is not trained, its recipe is the weights that it has and the precision mode.
        """
        recipe, settings = self.recipe_of(variant), variant.settings
        if not recipe.trains:
            settings = {n: v for n, v in settings.items() if not n.startswith("train.") or n in UNTRAINED}
        kinds, device = {metric.kind for metric in self.metrics}, self.workload_of(variant).device
        return with_effect(settings, kinds, device, recipe.seconds is not None)

    @property
    def workloads(self) -> tuple[Workload, ...]:
        """The different workloads of the variants, that of the baseline first."""
        return tuple(dict.fromkeys([self.workload, *map(self.workload_of, self.variants)]))

    @property
    def scope(self) -> Scope:
        """What claims, labels and answers may name."""
        bounds = {metric.name: metric.bounds for metric in self.metrics}
        better = {metric.name: metric.better for metric in self.metrics}
        return Scope(tuple(bounds), self.variants, self.excluded, bounds, better)


def load(path: str | Path, overrides: Sequence[str] = (), plugins: Sequence[str] = ()) -> Ablation:
    """Read and check an ablation file; `overrides` are `key.sub=value` with YAML values.

    The plug-ins of the project come before `plugins`, and its default device counts where the file names none.
    Overrides may remove variants and metrics that the file names elsewhere. Then such a claim has a `problem` in place
    of its comparisons, such labels and answers are left out, and `main` is empty. Without overrides they are faults.

    Raises AblationError (or RegistryError for an unreadable plug-in) whose text says file, line and what would have
    worked.
    """
    file = find(path)
    document = with_sections(_with_defaults(override(_extended(file), overrides)))
    context = Context(document, validated(document), with_project(plugins))
    ablation = replace(_checked(context, _name(file)), overrides=tuple(overrides))
    reader = _Texts(context, ablation.scope, frozenset(text.partition("=")[0].split(".")[0] for text in overrides))
    return replace(
        ablation,
        labels=reader.labels(ablation.labels),
        main=reader.main(),
        answers=reader.answers() or reader.steps(),
        steps=() if context.file.answers else reader.steps(),
        claims=reader.claims(),
    )


def from_document(document: Document, plugins: Sequence[str], name: str) -> Ablation:
    """The ablation of a document that is no file, without labels, answers and claims. Raises AblationError."""
    document = with_sections(document)
    return _checked(Context(document, validated(document), with_project(plugins)), name)


def find(path: str | Path) -> Path:
    """The file of an ablation from a path, or from a name. Raises AblationError where there is none.

    A path is relative to the current folder, or where it is not there, to the project's. A name is looked up in the
    project's folder `ablations/`, then among the ablations that fovbench brings along.
    """
    file = located(str(path))
    if file.suffix in (".yaml", ".yml"):
        if file.exists():
            return file
        raise AblationError(f"{path}: there is no such file{suggestion(file.stem, all_names())}")
    own, ours = (folder / f"{path}.yaml" for folder in folders())
    if own.exists() or ours.exists():
        return own if own.exists() else ours
    raise AblationError(
        f"no ablation is called '{path}' in the folder ablations/ here{suggestion(str(path), all_names())}"
    )


JOINED = ("train", "workload")
"""The sections that a file which extends another states field by field."""


def _extended(file: Path, chain: tuple[Path, ...] = ()) -> Document:
    """The document of a file, with the keys of the one that it `extends`, where it does. Raises AblationError."""
    document = with_new_keys(read(file))
    name = document.data.get("extends")
    if name is None:
        return document
    where = document.at(["extends"])
    if not isinstance(name, str) or not name:
        raise AblationError(f"{where}: 'extends' is the name of an ablation, or a file, not {text_of(name)}")
    base = _base_of(file, name, where)
    if base.resolve() in (file.resolve(), *chain):
        raise AblationError(f"{where}: '{name}' extends this file in turn")
    return _joined(document, _extended(base, (*chain, file.resolve())))


def _base_of(file: Path, name: str, where: str) -> Path:
    """The file that is extended: of the same folder, or found as on a command line. Raises AblationError."""
    beside = file.parent / (name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    if beside.is_file():
        return beside
    try:
        return find(name)
    except AblationError as error:
        raise AblationError(f"{where}: {error}") from None


def _joined(document: Document, base: Document) -> Document:
    """The keys of both; where both have one, that of the document, of the sections in JOINED field by field."""
    data = {**base.data, **document.data}
    for name in JOINED:
        parts = [each.data.get(name, {}) for each in (base, document)]
        if name in data and all(isinstance(part, dict) for part in parts):
            data[name] = {**parts[0], **parts[1]}
    return replace(document, data=data, base=base)


def _name(file: Path) -> str:
    """The name of an ablation, which is that of its folder under `reports/`. Raises AblationError for an unsafe one."""
    name = file.stem
    unsafe = name != name.strip(". ") or re.search(r"[/\\:]", name) or not name.isprintable()
    if unsafe or re.fullmatch(r"(?i)con|prn|aux|nul|(com|lpt)\d", name):
        raise AblationError(
            f"{str(file)!a}: the name of an ablation, {name!a}, is also that of a folder: rename the file, without a "
            "dot or space at either end, slashes, colons, control characters and names of devices"
        )
    return name


def override(document: Document, overrides: Sequence[str]) -> Document:
    """The document with values such as `train.steps=50` replaced or added. Raises AblationError."""
    data = _copied(document.data)
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise AblationError(f"--set {text}: write it as key=value, for instance train.steps=50")
        if key == "extends":
            raise AblationError(f"--set {text}: only a file extends another; name that file on the command line")
        *sections, last = _sections(key)
        inner = data
        for section in sections:
            inner = inner.setdefault(section, {})
            if not isinstance(inner, dict):
                raise AblationError(f"--set {text}: '{section}' holds no keys")
        inner[last] = parse_value(value)
    return replace(document, data=data)


def _with_defaults(document: Document) -> Document:
    """The document with the project's device where it has none; fovbench's own ablations stay as their bundles."""
    device, workload = project().device, document.data.get("workload", {})
    if device is None or is_builtin(document.path) or not isinstance(workload, dict):
        return document
    data = {**document.data, "workload": {"device": device, **workload}}
    return replace(document, data=data)


def _sections(key: str) -> list[str]:
    """The keys of the file that lead to `train.steps` or `vary.train.lr`: the name of a setting is one key."""
    first, *rest = key.split(".")
    first = OLD_KEYS.get(first, first)
    parts = [first, *rest]
    for place in OF_AXES:
        own, axis = tuple(parts[: len(place)]), parts[len(place) :]
        if own == place and axis and setting_names([f"{axis[0]}."]):
            return [*place, ".".join(axis)]
    return parts


def _copied(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _copied(value) for key, value in data.items()}
    return [_copied(value) for value in data] if isinstance(data, list) else data


def _checked(context: Context, name: str) -> Ablation:
    """The ablation without its overrides, claims, answers and `labels:`."""
    architecture = context.architecture(context.file.architecture, ["architecture"])
    context = with_setting_names(context, architecture)
    metrics = metrics_of(context, architecture)
    context = _with_settings(context, workload_of(context, architecture, metrics))
    expansion = expanded(context, architecture, context.settings.workload)
    seeds, adaptive = seeds_of(context), adaptive_of(context)
    check_lengths(context, expansion.variants)
    tune = tune_of(context, metrics, architecture.task, [*expansion.variants[0].settings], seeds)
    check_size(context, len(expansion.variants), metrics, len(seeds))
    if tune:
        recipes = [recipe_with(context.settings.recipe, variant.settings) for variant in expansion.variants]
        check_runs(context, tune, sum(recipe.trains for recipe in recipes))
    return Ablation(
        name=name,
        path=context.document.path,
        question=context.file.question,
        source=context.file.source or architecture.source,
        variants=expansion.variants,
        excluded=expansion.excluded,
        varied=expansion.varied,
        metrics=metrics,
        workload=context.settings.workload,
        recipe=context.settings.recipe,
        seeds=seeds,
        timeout=context.file.timeout,
        plugins=context.plugins,
        labels=expansion.labels,
        remarks=(
            *design_remarks(context.file, expansion.removed),
            *_remarks(context, expansion.varied, metrics),
            *_untrained(context, expansion.variants, metrics, seeds),
        ),
        tune=tune,
        adaptive=adaptive,
        greedy=expansion.greedy,
    )


def _with_settings(context: Context, workload: Workload) -> Context:
    """The context with the settings of the baseline: what the file states for all variants.

    Raises AblationError for a setting of `baseline` that does not exist, or that its section states too.
    """
    datasets = context.registries.datasets
    options = datasets.get(workload.dataset).options if workload.dataset else ()
    names = tuple(each.name for each in datasets if each.task == workload.task) if workload.dataset else ()
    settings = Settings(context.file.train, workload, options, names, context.plugins)
    _check_loss(context, settings)
    baseline: dict[str, Any] = {}
    for name in setting_names(context.file.baseline):
        path = ["baseline", name]
        try:
            baseline[name] = settings.axis(name).parse(context.file.baseline[name])
        except RegistryError as error:
            raise context.error(path, error) from None
        if name in stated_names(context.file):
            raise context.error(path, f"'{name}' is stated in 'baseline' and in its own section; keep one of the two")
    try:
        changed = workload_with(workload, baseline, datasets.get)
    except ValueError as error:
        raise context.error(["baseline"], error) from None
    return replace(
        context, settings=replace(settings, recipe=recipe_with(context.file.train, baseline), workload=changed)
    )


def _check_loss(context: Context, settings: Settings) -> None:
    """Raises AblationError where the section `train` names a loss that there is not."""
    try:
        settings.axis("train.loss").parse(context.file.train.loss)
    except RegistryError as error:
        raise context.error(["train", "loss"], error) from None


def _remarks(context: Context, varied: Sequence[str], metrics: Sequence[Metric]) -> Iterator[str]:
    """That training runs have another batch than the workload, where the file states the latter only."""
    stated = stated_names(context.file) | {*context.file.baseline, *varied}
    batches = context.settings.workload.batch, context.settings.recipe.batch
    differ = batches[0] != batches[1] or "workload.batch" in varied
    trains = any(metric.kind == "accuracy" for metric in metrics)
    if trains and differ and "workload.batch" in stated and "train.batch" not in stated:
        yield (
            f"'workload.batch' ({'an axis' if 'workload.batch' in varied else batches[0]}) is the batch of speed "
            f"metrics only; training runs have batches of {batches[1]}, which train.batch sets"
        )


def _untrained(
    context: Context, variants: Sequence[Variant], metrics: Sequence[Metric], seeds: Sequence[int]
) -> Iterator[str]:
    """What `train: none` means for the numbers of a table."""
    recipes = {variant: recipe_with(context.settings.recipe, variant.settings) for variant in variants}
    untrained = [variant for variant, recipe in recipes.items() if not recipe.trains]
    if not untrained or not any(metric.kind == "accuracy" for metric in metrics):
        return
    which = "no variant is" if len(untrained) == len(variants) else f"not all variants are: {_listed(untrained)} not"
    if len(seeds) > 1:
        yield (
            f"{which} trained (train: none), so that the seeds of such a variant repeat one evaluation; "
            "their spread is no training noise"
        )
    bare = [variant for variant in untrained if recipes[variant].weights is None]
    if bare:
        yield f"{_listed(bare)} without training (train: none) and without 'weights': evaluated as the builder made it"


def _listed(variants: Sequence[Variant]) -> str:
    return ", ".join(variant.name for variant in variants[:3]) + (" ..." if len(variants) > 3 else "")


class _Texts:
    """The texts of a file that name variants and metrics: labels, the main metric, answers, claims.

    Where other keys are overridden, they may name what that removed.
    """

    def __init__(self, context: Context, scope: Scope, overridden: frozenset[str]) -> None:
        self.context, self.scope, self.overridden = context, scope, overridden

    def strict(self, key: str) -> bool:
        """Whether a name in this section that does not exist is a fault."""
        return not self.overridden or key in self.overridden

    def labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Variant's name -> label, those of `compare_with` included."""
        labelled = dict(labels)
        for text, label in self.context.file.labels.items():
            variant = self.variant(text, ["labels", text])
            if variant in labelled:
                raise self.context.error(["labels", text], f"'{variant}' has two labels")
            if variant:
                labelled[variant] = label
        repeated = next((label for label in labelled.values() if [*labelled.values()].count(label) > 1), None)
        if repeated:
            raise self.context.error(["labels"], f"two variants have the label '{repeated}'")
        return labelled

    def main(self) -> str:
        measured = self.context.file.main in self.scope.metrics
        if measured or self.strict("main"):
            return main_metric(self.context, self.scope.metrics)
        return ""

    def answers(self) -> tuple[tuple[str, str], ...]:
        """The names of the two variants of each contrast."""
        answers = []
        for number, answer in enumerate(self.context.file.answers):
            pair = (
                self.variant(answer.compare, ["answers", number, "compare"]),
                self.variant(answer.reference, ["answers", number, "with"]),
            )
            if pair[0] and pair[0] == pair[1]:
                raise self.context.error(["answers", number], f"compares '{pair[0]}' with itself")
            if all(pair):
                answers.append(pair)
        return tuple(answers)

    def steps(self) -> tuple[tuple[str, str], ...]:
        """The names of each variant of a `path` and the one before; excluded ones are left out.

        Those of a greedy path are not known yet.
        """
        if is_greedy(self.context.file):
            return ()
        names = [self.scope.variants[0].name]
        for point in path_points(self.context.file):
            text = ",".join(f"{axis}={text_of(value)}" for axis, value in point.items())
            with contextlib.suppress(VariantError):
                names.append(find_variant(text, self.scope).name)
        return tuple((name, before) for before, name in itertools.pairwise(dict.fromkeys(names)))

    def claims(self) -> tuple[Statement, ...]:
        """The claims, their variants resolved."""
        statements: list[Statement] = []
        for number, claim in enumerate(self.context.file.claims):
            try:
                statements.append(parse(claim.says, claim.source, self.scope))
            except ClaimError as error:
                if self.strict("claims"):
                    raise self.context.error(["claims", number, "says"], f"claim: {error}") from None
                statements.append(Statement(claim.says, claim.source, problem=str(error)))
        return tuple(statements)

    def variant(self, text: str, path: Sequence[Any]) -> str:
        """The name of the variant that a reference names; empty where overrides removed it."""
        try:
            return find_variant(text, self.scope).name
        except VariantError as error:
            if self.strict(path[0]):
                raise self.context.error(path, error) from None
            return ""
