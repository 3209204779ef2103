"""An ablation file with the registry that its names are looked up in; every fault is raised with its position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bench.registry import Architecture, Registries, RegistryError, suggestion
from bench.registry.catalogue import CatalogueError, allow, declarations, is_named, unregistered
from bench.registry.foreign import fitted, is_foreign
from bench.registry.targets import ZOOS, declared
from bench.spec.schema import AblationError, AblationFile
from bench.spec.settings import Parser, Settings
from bench.spec.variant import SETTINGS
from bench.spec.yamlfile import Document


@dataclass(frozen=True)
class Context:
    """A file whose keys are right, the plug-ins that were named for it, and the settings that it may name as axes."""

    document: Document
    file: AblationFile
    plugins: tuple[str, ...]
    settings: Settings = field(default_factory=Settings)

    @property
    def registries(self) -> Registries:
        return declarations(self.plugins)

    def error(self, path: Sequence[Any], message: object) -> AblationError:
        """An error about the key or item at `path`."""
        if isinstance(message, CatalogueError):  # says itself which file is wrong
            return AblationError(str(message))
        return AblationError(f"{self.document.at(path)}: {message}")

    def architecture(self, name: str, path: Sequence[Any]) -> Architecture:
        """The architecture that the file names at `path`. Raises AblationError for one that does not exist."""
        if not self._allowed(name):
            file = name.rpartition(":")[0]
            raise self.error(path, f"'{name}' would run code from {file}; {allow(file)}")
        try:
            entry = declared(name, self.plugins)
        except RegistryError as error:
            raise self.error(path, self.unregistered(error, name, "architecture")) from None
        return fitted(entry, self.task) if is_foreign(name) else entry

    def unregistered(self, error: RegistryError, name: str, kind: str) -> RegistryError:
        """The error about a name that is none; where a file of the project defines it, it says why it is not known."""
        why = "" if ":" in name or isinstance(error, CatalogueError) else unregistered(name, kind, self.plugins)
        return RegistryError(f"no {kind} is called '{name}'{why}") if why else error

    @cached_property
    def task(self) -> str:
        """What the file's networks are for: the task of its dataset, of a registered architecture, of its metrics.

        Empty where none of them says so.
        """
        file, names = self.file, self.registries
        dataset = file.workload.dataset or file.baseline.get("workload.dataset")
        dataset = dataset.get("name") if isinstance(dataset, dict) else dataset
        if isinstance(dataset, str) and dataset in names.datasets:
            return names.datasets.get(dataset).task
        families = [file.architecture, *(each.architecture for each in file.compare_with)]
        registered = [names.architectures.get(each).task for each in families if each in names.architectures]
        metrics = [names.metrics.get(each).tasks for each in file.metrics if each in names.metrics]
        single = [tasks[0] for tasks in metrics if len(tasks) == 1]
        return next(iter([*registered, *single]), "")

    def _allowed(self, name: str) -> bool:
        """Whether looking the name up runs no code, or only code of a plug-in that was named."""
        file, colon, _ = name.rpartition(":")
        return not colon or name.partition(":")[0] in ZOOS or is_named(file, self.plugins)

    def check_value(self, architecture: Architecture, axis: str, value: Any, path: Sequence[Any]) -> None:
        """Raises AblationError where there is no such axis or setting, or it does not take the value."""
        try:
            self.axis(architecture, axis, path).parse(value)
        except RegistryError as error:
            raise self.error(path, error) from None

    def check_values(self, architecture: Architecture, values: Mapping[str, Any], path: Sequence[Any]) -> None:
        """`check_value` for each axis of a mapping at `path`."""
        for axis, value in values.items():
            self.check_value(architecture, axis, value, [*path, axis])

    def axis(self, architecture: Architecture, name: str, path: Sequence[Any]) -> Parser:
        """An axis of the architecture, or a setting. Raises AblationError where there is none of that name."""
        axis = architecture.axis(name)
        if axis is not None:
            return axis
        if name.startswith(SETTINGS):
            try:
                return self.settings.axis(name)
            except RegistryError as error:
                raise self.error(path, error) from None
        axes = [each.name for each in architecture.axes]
        raise self.error(path, f"'{architecture.name}' has no axis '{name}'{self._hint(name, axes)}")

    def _hint(self, name: str, axes: Sequence[str]) -> str:
        """The axis or setting that may be meant: `lr` is `train.lr`."""
        meant = [setting for setting in self.settings.names if setting.partition(".")[2] == name]
        if meant:
            return f", did you mean '{meant[0]}'?"
        return suggestion(name, [*axes, *self.settings.names] if "." in name else axes)
