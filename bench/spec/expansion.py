"""From the keys of an ablation file to its variants."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.registry import Architecture, RegistryError, text_of
from bench.registry.foreign import OUTPUT, is_fitted, required
from bench.spec.context import Context
from bench.spec.settings import all_names, workload_with
from bench.spec.variant import Variant, setting_names
from bench.spec.workload import Workload

MAX_VARIANTS = 10_000


@dataclass(frozen=True)
class Expansion:
    """`variants` begins with the baseline; `excluded` holds (variant, reason); `labels` those of `compare_with`."""

    variants: tuple[Variant, ...]
    excluded: tuple[tuple[Variant, str], ...]
    varied: tuple[str, ...]
    labels: Mapping[str, str]


def expanded(context: Context, architecture: Architecture, workload: Workload) -> Expansion:
    """The variants of an ablation. Raises AblationError for axes, values and combinations that do not exist."""
    family = _Family(context, architecture, _with_required(context, architecture, workload, "baseline"))
    variants, excluded = family.variants()
    others = _others(context, architecture, workload, variants)
    labels = {variant.name: label for variant, label in others.items() if label}
    return Expansion((*variants, *others), excluded, _varied(context), labels)


def _varied(context: Context) -> tuple[str, ...]:
    """The axes that differ between variants, `architecture` first where there are several."""
    file = context.file
    several = ["architecture"] if file.compare_with else []
    return tuple(dict.fromkeys((*several, *file.vary, *file.grid, *file.zip)))


def _others(
    context: Context, architecture: Architecture, workload: Workload, variants: Sequence[Variant]
) -> dict[Variant, str | None]:
    """The variants of `compare_with` with their labels."""
    others: dict[Variant, str | None] = {}
    for number, entry in enumerate(context.file.compare_with):
        path = ["compare_with", number]
        other = context.architecture(entry.architecture, [*path, "architecture"])
        if other.task != architecture.task:
            tasks = f"is for {other.task or 'no task'}, but '{architecture.name}' for {architecture.task or 'none'}"
            raise context.error([*path, "architecture"], f"'{other.name}' {tasks}")
        axes = _with_required(context, other, workload, *path, "axes")
        variant = _variant(context, other, axes, path, stated=axes)
        if variant in others or variant in variants:
            raise context.error(path, f"'{variant.name}' is listed twice")
        others[variant] = entry.label
    return others


def _with_required(context: Context, architecture: Architecture, workload: Workload, *path: Any) -> dict[str, Any]:
    """The axes that the file lists at `path`, and those that the dataset requires (its number of classes).

    A required value is that of the dataset's own axis of that name, where it has one (its number of levels).
    """
    section: Any = context.file
    for part in path:
        section = section[part] if isinstance(part, int) else getattr(section, part)
    context.check_values(architecture, section, path)
    section = _with_output(context, architecture, section, path)
    own = _workload(context, section, path) if setting_names(section) else workload
    for name, value in _required(context, architecture, own).items():
        if section.get(name, value) != value:
            message = f"'{own.dataset}' needs {name}: {text_of(value)}; leave '{name}' out to have it set"
            raise context.error([*path, name], message)
        section = {**section, name: value}
    return dict(section)


def _with_output(
    context: Context, architecture: Architecture, section: Mapping[str, Any], path: Sequence[Any]
) -> Mapping[str, Any]:
    """The axes with the output that the key `output` beside the architecture names."""
    above = path[:-1]
    output = (context.file.compare_with[above[-1]] if above else context.file).output
    if output is None:
        return section
    if not is_fitted(architecture):
        message = f"'output' is for networks of libraries and files; '{architecture.name}' has one output"
        raise context.error([*above, "output"], message)
    if OUTPUT in section:
        raise context.error([*path, OUTPUT], "'output' is stated twice; keep one of the two")
    return {**section, OUTPUT: output}


def _required(context: Context, architecture: Architecture, workload: Workload) -> dict[str, Any]:
    """The axes that the dataset requires of this architecture, with their values."""
    dataset = context.registries.datasets.get(workload.dataset) if workload.dataset else None
    own = dict(workload.dataset_axes)
    requires = {name: own.get(name, value) for name, value in (dataset.requires if dataset else {}).items()}
    return required(architecture, requires, workload.shape[0] if dataset else None)


def _fitting(
    context: Context, architecture: Architecture, axes: dict[str, Any], chosen: Mapping[str, Any], path: Sequence[Any]
) -> dict[str, Any]:
    """The axes with what the variant's dataset requires of the network, where it or an option of it is `chosen`."""
    if not any(name.startswith(("dataset.", "workload.dataset")) for name in chosen):
        return axes
    required = _required(context, architecture, _workload(context, axes, path))
    return {**axes, **{name: value for name, value in required.items() if name not in chosen}}


def _workload(context: Context, axes: Mapping[str, Any], path: Sequence[Any]) -> Workload:
    """What a variant is measured on. Raises AblationError for settings that do not go together."""
    try:
        return workload_with(context.settings.workload, _settings(context, axes), context.registries.datasets.get)
    except ValueError as error:
        raise context.error(path, error) from None


def _settings(context: Context, axes: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting that the file names, with the value of the variant with these axes."""
    file = context.file
    others = [entry.axes for entry in file.compare_with]
    names = all_names([file.baseline, file.vary, file.grid, file.zip, *others, *(each.when for each in file.exclude)])
    stated = {name: context.settings.axis(name).parse(axes[name]) for name in setting_names(axes)}
    return {**context.settings.values(names), **stated}


def _network(axes: Mapping[str, Any]) -> dict[str, Any]:
    """The axes without the settings."""
    settings = {*setting_names(axes)}
    return {name: value for name, value in axes.items() if name not in settings}


def _variant(
    context: Context, architecture: Architecture, axes: Mapping[str, Any], path: Sequence[Any], stated: Collection[str]
) -> Variant:
    """Raises AblationError for a combination that the architecture does not have, or settings that do not fit."""
    try:
        resolved = architecture.resolve(_network(axes))
    except RegistryError as error:
        hint = "; leave it out with 'exclude'" if path[0] in ("vary", "grid", "zip") else ""
        raise context.error(path, f"{error}{hint}") from None
    _workload(context, axes, path)
    return _named(architecture, {**resolved, **_settings(context, axes)}, stated)


def _named(architecture: Architecture, resolved: Mapping[str, Any], stated: Collection[str]) -> Variant:
    return Variant(architecture.name, tuple(resolved.items()), tuple(name for name in resolved if name in stated))


class _Family:
    """The variants of the ablation's own architecture; `base` holds the axes of the baseline."""

    def __init__(self, context: Context, architecture: Architecture, base: dict[str, Any]) -> None:
        self.context, self.file = context, context.file
        self.architecture, self.base = architecture, {**self.defaults(context, architecture, base), **base}
        self.stated = {*base, *self.file.vary, *self.file.grid, *self.file.zip}

    def defaults(self, context: Context, architecture: Architecture, base: Mapping[str, Any]) -> dict[str, Any]:
        """What the baseline has of axes that other variants name, where the library shows it."""
        file = context.file
        named = [*file.vary, *file.grid, *file.zip, *(name for each in file.exclude for name in each.when)]
        try:
            return architecture.defaults([name for name in named if name not in base])
        except RegistryError as error:
            raise context.error(["baseline"] if file.baseline else ["architecture"], error) from None

    def variants(self) -> tuple[tuple[Variant, ...], tuple[tuple[Variant, str], ...]]:
        """The variants, the baseline first, and the excluded ones with their reasons."""
        self.check()
        variants: dict[Variant, None] = {}
        excluded: dict[Variant, str] = {}
        used: set[int] = set()
        for path, axes in self.combinations():
            resolved = self.resolved(axes)
            number = self.exclusion(resolved)
            if number is None:
                variants[_variant(self.context, self.architecture, axes, path, self.stated)] = None
            else:
                used.add(number)
                excluded[_named(self.architecture, resolved, self.stated)] = self.file.exclude[number].because
        self.check_exclusions(used)
        return tuple(variants), tuple(excluded.items())

    def combinations(self) -> Iterator[tuple[list[str], dict[str, Any]]]:
        """The baseline, then the combinations of `vary`, `grid` and `zip`, each with the key that it comes from."""
        yield ["baseline"], dict(self.base)
        for path, chosen in self.chosen():
            yield path, _fitting(self.context, self.architecture, {**self.base, **chosen}, chosen, path)

    def chosen(self) -> Iterator[tuple[list[str], dict[str, Any]]]:
        """The values of `vary`, `grid` and `zip` that differ from the baseline's."""
        for axis, values in self.file.vary.items():
            yield from ((["vary", axis], {axis: value}) for value in values)
        for key, section, combined in (("grid", self.file.grid, itertools.product), ("zip", self.file.zip, zip)):
            for point in combined(*section.values()) if section else ():
                yield [key], dict(zip(section, point, strict=True))

    def resolved(self, axes: Mapping[str, Any]) -> dict[str, Any]:
        """Every axis and setting with its value, also of a combination that the architecture does not have."""
        network = self.architecture.values(_network(axes))
        return {**network, **_settings(self.context, axes)}

    def parsed(self, axis: str, value: Any) -> Any:
        return self.context.axis(self.architecture, axis, []).parse(value)

    def check(self) -> None:
        """Raises AblationError for axes and values that do not exist, lists that do not fit, too many variants."""
        for section in ("vary", "grid", "zip"):
            for axis, values in getattr(self.file, section).items():
                self.check_list(section, axis, values)
        for number, exclusion in enumerate(self.file.exclude):
            self.context.check_values(self.architecture, exclusion.when, ["exclude", number, "when"])
        lengths = {axis: len(values) for axis, values in self.file.zip.items()}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{axis} has {length}" for axis, length in lengths.items())
            raise self.context.error(["zip"], f"the lists of 'zip' must be of one length: {counts}")
        self.check_count(max(lengths.values(), default=0))

    def check_list(self, section: str, axis: str, values: Sequence[Any]) -> None:
        path: list[Any] = [section, axis]
        name = f"'{section}.{axis}'"
        self.context.axis(self.architecture, axis, path)
        if not values:
            raise self.context.error(path, f"{name} lists no values")
        for index, value in enumerate(values):
            self.context.check_value(self.architecture, axis, value, [*path, index])
        if section != "zip" and len({self.parsed(axis, value) for value in values}) < len(values):
            raise self.context.error(path, f"{name} lists a value twice")

    def check_count(self, zipped: int) -> None:
        grid = math.prod(map(len, self.file.grid.values())) if self.file.grid else 0
        count = 1 + sum(map(len, self.file.vary.values())) + grid + zipped
        if count > MAX_VARIANTS:
            section = max((grid, "grid"), (zipped, "zip"), (count - grid - zipped, "vary"))[1]
            raise self.context.error([section], f"{count:,} combinations; an ablation has at most {MAX_VARIANTS:,}")

    def exclusion(self, resolved: Mapping[str, Any]) -> int | None:
        """The number of the first exclusion that a combination falls under."""
        for number, exclusion in enumerate(self.file.exclude):
            if all(resolved[axis] == self.parsed(axis, value) for axis, value in exclusion.when.items()):
                return number
        return None

    def check_exclusions(self, used: Collection[int]) -> None:
        """Raises AblationError where an exclusion has no effect, or excludes the baseline."""
        for number in range(len(self.file.exclude)):
            if number not in used:
                raise self.context.error(["exclude", number], "excludes nothing: no variant is like that")
        if self.exclusion(self.resolved(self.base)) is not None:
            raise self.context.error(["exclude"], "excludes the baseline, with which all others are compared")
