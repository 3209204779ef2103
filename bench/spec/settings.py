"""Settings as axes: fields of the recipe, of the workload and options of the dataset, beside the axes of a network.

    train.lr        a field of `train:`
    workload.batch  a field of `workload:`
    dataset.noise   an option of the dataset

A variant has a value for each setting that its ablation names: where it states none, that of the file, which `train:`
and `workload:` state, or `baseline`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError

from bench.registry import Axis, Dataset, RegistryError, suggestion
from bench.registry.catalogue import allow, is_named
from bench.registry.losses import check_loss
from bench.spec.losses import AUTO
from bench.spec.numeric import DEFAULTS, effective
from bench.spec.recipe import Recipe
from bench.spec.schema import AblationFile, WorkloadSection, reason
from bench.spec.variant import setting_names
from bench.spec.workload import Workload

SECTIONS: Mapping[str, type[BaseModel]] = {"train": Recipe, "workload": WorkloadSection}

IMAGE = ("channels", "height", "width")
MAX_VALUES = 2**31
"""Values of the largest example."""

NUMERIC = tuple(f"workload.{name}" for name in DEFAULTS)
OF_TRAINING = ("workload.shape", "workload.dtype", "workload.device", *NUMERIC)
"""Fields of the workload that a trained network depends on."""


class Parser(Protocol):
    """What takes a value of an axis, and refuses any other with a RegistryError."""

    def parse(self, value: Any) -> Any: ...


@dataclass(frozen=True)
class Setting:
    """A field of `train:` or `workload:` as an axis: it takes the values that the section takes."""

    name: str

    def parse(self, value: Any) -> Any:
        """The value in the type of the field. Raises RegistryError with what would have worked."""
        section, _, field = self.name.partition(".")
        try:
            parsed = getattr(SECTIONS[section].model_validate({field: value}), field)
        except ValidationError as error:
            raise RegistryError(f"'{self.name}': {reason(error.errors())}") from None
        if self.name == "workload.shape":
            check_shape(parsed, images=False)
        return tuple(parsed) if isinstance(parsed, list) else parsed


@dataclass(frozen=True)
class LossSetting(Setting):
    """`train.loss`: a loss that the task or a plug-in of the ablation has."""

    task: str = ""
    plugins: tuple[str, ...] = ()

    def parse(self, value: Any) -> Any:
        """The text. Raises RegistryError for a loss that there is not, and for code that no plug-in names."""
        loss = super().parse(value)
        if loss == AUTO or not self.task:
            return loss
        file = loss.rpartition(":")[0]
        if file and not is_named(file, self.plugins):
            raise RegistryError(f"'{self.name}': '{loss}' would run code from {file}; {allow(file)}")
        try:
            check_loss(loss, self.task)
        except RegistryError as error:
            raise RegistryError(f"'{self.name}': {error}") from None
        return loss


def check_shape(shape: Sequence[int], images: bool) -> None:
    """Raises RegistryError for sizes below 1, too many values, and where there are images, another form than theirs."""
    text = f"[{','.join(map(str, shape))}]"
    if any(side < 1 for side in shape):
        raise RegistryError(f"'workload.shape' needs positive sizes, not {text}")
    if math.prod(shape) > MAX_VALUES:
        raise RegistryError(f"'workload.shape' {text} has more than {MAX_VALUES:,} values")
    if images and len(shape) != len(IMAGE):
        raise RegistryError(f"'workload.shape' is {', '.join(IMAGE)} where there is a dataset, not {text}")


@dataclass(frozen=True)
class Settings:
    """The settings that an ablation may name, with the values that its file states for all variants.

    `options` are those of the dataset, `datasets` the names of those of its task; empty where it has no dataset.
    `plugins` may have losses.
    """

    recipe: Recipe = field(default_factory=Recipe)
    workload: Workload = field(default_factory=lambda: Workload("", "", (), (), 1))
    options: tuple[Axis, ...] = ()
    datasets: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Every setting, in the order in which the names of variants state them."""
        fields = [f"train.{name}" for name in Recipe.model_fields]
        fields += [f"workload.{name}" for name in WorkloadSection.model_fields if name != "dataset" or self.datasets]
        return fields + [f"dataset.{axis.name}" for axis in self.options]

    def axis(self, name: str) -> Parser:
        """What takes the values of a setting. Raises RegistryError for a name that is none."""
        if name not in self.names:
            hint = suggestion(name, self.names)
            none = "" if self.options or not name.startswith("dataset.") else self._without_options()
            raise RegistryError(f"there is no setting '{name}'{none or hint}")
        if name == "workload.dataset":
            return Axis(name, "choice", self.workload.dataset, self.datasets)
        if name == "train.loss":
            return LossSetting(name, self.workload.task, self.plugins)
        section, _, field = name.partition(".")
        if section != "dataset":
            return Setting(name)
        return next(replace(axis, name=name) for axis in self.options if axis.name == field)

    def _without_options(self) -> str:
        """Why no option of a dataset can be named."""
        if not self.workload.dataset:
            return ": no dataset is used; name one in workload.dataset"
        return f": the dataset '{self.workload.dataset}' has no options"

    def values(self, names: Set[str]) -> dict[str, Any]:
        """The values of these settings that the file states for all variants, in the order of `names`."""
        return {name: self._value(name) for name in self.names if name in names}

    def _value(self, name: str) -> Any:
        section, _, field = name.partition(".")
        if section == "dataset":
            default = next(axis.default for axis in self.options if axis.name == field)
            return dict(self.workload.dataset_axes).get(field, default)
        return getattr(self.recipe if section == "train" else self.workload, field)


def recipe_with(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with the values of a variant's settings."""
    fields = _section(settings, "train")
    return recipe.model_copy(update=fields) if fields else recipe


def workload_with(workload: Workload, settings: Mapping[str, Any], dataset: Callable[[str], Dataset]) -> Workload:
    """The workload with the values of a variant's settings; `dataset` gives the dataset of a name.

    Raises RegistryError for a form of input or an option that the dataset does not have, ValueError for a CUDA graph
    elsewhere.
    """
    fields, options = _section(settings, "workload"), _section(settings, "dataset")
    if not fields and not options:
        return workload
    name = fields.get("dataset", workload.dataset)
    own = dict(workload.dataset_axes) if name == workload.dataset else {}
    axes = dataset(name).resolve(own | options) if name else {}
    changed = replace(workload, **fields, dataset_axes=tuple(axes.items()))
    check_shape(changed.shape, images=bool(changed.dataset))
    return changed


def _section(settings: Mapping[str, Any], section: str) -> dict[str, Any]:
    pairs = ((name.partition("."), value) for name, value in settings.items())
    return {field: value for (head, _, field), value in pairs if head == section}


def with_effect(
    settings: Mapping[str, Any], kinds: Set[str], device: str = "cpu", timed: bool = False
) -> dict[str, Any]:
    """The settings that a measurement of one of these kinds of metrics on a device depends on.

    The recipe and the dataset matter where networks are trained, the shape everywhere, the rest of the workload where
    speed is measured; the numeric type, the device and what the numeric policy changes on it for either. The threads
    matter for trainings that are `timed`.
    """
    kinds = {*kinds, *(("timed",) if timed and "accuracy" in kinds else ())}
    return {name: value for name, value in settings.items() if _has_effect(name, kinds, device)}


def _has_effect(name: str, kinds: Set[str], device: str) -> bool:
    if name in NUMERIC and not effective(name.partition(".")[2], device):
        return False
    if not name.startswith("workload.") or name == "workload.dataset":
        return "accuracy" in kinds
    trains = ("accuracy" in kinds and name in OF_TRAINING) or ("timed" in kinds and name == "workload.threads")
    return trains or "speed" in kinds or (name == "workload.shape" and "static" in kinds)


def stated_names(file: AblationFile) -> set[str]:
    """The settings that `train:` and `workload:` of a file state."""
    dataset = file.workload.dataset if isinstance(file.workload.dataset, dict) else {}
    names = {f"train.{name}" for name in file.train.model_fields_set}
    names |= {f"workload.{name}" for name in file.workload.model_fields_set}
    return names | {f"dataset.{name}" for name in dataset}


def all_names(sections: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """The settings that any of these mappings names."""
    return frozenset(name for section in sections for name in setting_names(section))
