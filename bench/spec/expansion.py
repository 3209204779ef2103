"""From the keys of an ablation file to its variants."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.registry import Architecture, RegistryError, text_of
from bench.registry.foreign import OUTPUT, is_fitted, required
from bench.spec.context import Context
from bench.spec.designs import (
    MOST_FACTORS,
    WITH_AXES,
    basic_factors,
    design_axes,
    factorial_points,
    is_greedy,
    path_points,
    sample_points,
)
from bench.spec.greedy import MOST_COMPONENTS, Greedy, Names, combinations
from bench.spec.settings import all_names, workload_with
from bench.spec.variant import Variant, setting_names
from bench.spec.workload import Workload

MAX_VARIANTS = 10_000
SECTIONS = tuple(place[0] for place in WITH_AXES)
"""The keys of a file that make variants of the baseline."""


@dataclass(frozen=True)
class Expansion:
    """`variants` begins with the baseline; `excluded` holds (variant, reason); `labels` those of `compare_with`.

    `removed` says of each section how many of its combinations are excluded, where any is. `greedy` is the path whose
    order the results choose, None without one; `variants` has its first step.
    """

    variants: tuple[Variant, ...]
    excluded: tuple[tuple[Variant, str], ...]
    varied: tuple[str, ...]
    labels: Mapping[str, str]
    removed: Mapping[str, int]
    greedy: Greedy | None = None


def expanded(context: Context, architecture: Architecture, workload: Workload) -> Expansion:
    """The variants of an ablation. Raises AblationError for axes, values and combinations that do not exist."""
    family = _Family(context, architecture, _with_required(context, architecture, workload, "baseline"))
    variants, excluded, removed = family.variants()
    others = _others(context, architecture, workload, variants)
    labels = {variant.name: label for variant, label in others.items() if label}
    return Expansion((*variants, *others), excluded, _varied(context), labels, removed, family.greedy())


def _varied(context: Context) -> tuple[str, ...]:
    """The axes that differ between variants, `architecture` first where there are several."""
    file = context.file
    several = ["architecture"] if file.compare_with else []
    return tuple(dict.fromkeys((*several, *design_axes(file))))


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
    varied = dict.fromkeys(design_axes(file))
    names = all_names([file.baseline, varied, *others, *(each.when for each in file.exclude)])
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
        hint = "; leave it out with 'exclude'" if path[0] in SECTIONS else ""
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
        self.stated = {*base, *design_axes(self.file)}

    def defaults(self, context: Context, architecture: Architecture, base: Mapping[str, Any]) -> dict[str, Any]:
        """What the baseline has of axes that other variants name, where the library shows it."""
        file = context.file
        named = [*design_axes(file), *(name for each in file.exclude for name in each.when)]
        try:
            return architecture.defaults([name for name in named if name not in base])
        except RegistryError as error:
            raise context.error(["baseline"] if file.baseline else ["architecture"], error) from None

    def variants(self) -> tuple[tuple[Variant, ...], tuple[tuple[Variant, str], ...], Counter[str]]:
        """The variants, the baseline first, the excluded ones with their reasons, and how many each section lost."""
        self.check()
        variants: dict[Variant, None] = {}
        excluded: dict[Variant, str] = {}
        removed: Counter[str] = Counter()
        used: set[int] = set()
        for path, axes in self.combinations():
            variant = self.variant(path, axes, excluded, used)
            variants |= {variant: None} if variant else {}
            removed[path[0]] += variant is None
        for axes in self.later_steps().values():
            self.variant(["path"], axes, excluded, used)
        self.check_exclusions(used)
        return tuple(variants), tuple(excluded.items()), +removed

    def variant(
        self, path: list[str], axes: Mapping[str, Any], excluded: dict[Variant, str], used: set[int]
    ) -> Variant | None:
        """The variant of a combination; None where it is excluded, which is noted."""
        resolved = self.resolved(axes)
        number = self.exclusion(resolved)
        if number is None:
            return _variant(self.context, self.architecture, axes, path, self.stated)
        used.add(number)
        excluded[_named(self.architecture, resolved, self.stated)] = self.file.exclude[number].because
        return None

    def later_steps(self) -> dict[Names, dict[str, Any]]:
        """The combinations that steps of a greedy path after the first one may reach."""
        to = self.file.path.to if self.file.path and is_greedy(self.file) else {}
        return {frozenset(names): self.on_path({name: to[name] for name in names}) for names in combinations(list(to))}

    def on_path(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        return _fitting(self.context, self.architecture, {**self.base, **chosen}, chosen, ["path"])

    def greedy(self) -> Greedy | None:
        """The path whose order the results choose; `variants` has checked it."""
        if self.file.path is None or not is_greedy(self.file):
            return None
        to = self.file.path.to
        first = {frozenset([name]): self.on_path({name: value}) for name, value in to.items()}
        points = {**first, **self.later_steps()}
        every = {names: self.variant(["path"], axes, {}, set()) for names, axes in points.items()}
        return Greedy(tuple(to), {names: variant for names, variant in every.items() if variant is not None})

    def combinations(self) -> Iterator[tuple[list[str], dict[str, Any]]]:
        """The baseline, then the combinations of every section, each with the key that it comes from."""
        yield ["baseline"], dict(self.base)
        for path, chosen in self.chosen():
            yield path, _fitting(self.context, self.architecture, {**self.base, **chosen}, chosen, path)

    def chosen(self) -> Iterator[tuple[list[str], dict[str, Any]]]:
        """The values of each section that differ from the baseline's."""
        for axis, values in self.file.vary.items():
            yield from ((["vary", axis], {axis: value}) for value in values)
        for key, section, combined in (("grid", self.file.grid, itertools.product), ("zip", self.file.zip, zip)):
            for point in combined(*section.values()) if section else ():
                yield [key], dict(zip(section, point, strict=True))
        for key in ("leave_out", "add_in"):
            yield from (([key], {axis: value}) for axis, value in self.components(key).items())
        for key, points in (
            ("factorial", factorial_points(self.file.factorial) if self.file.factorial else ()),
            ("sample", sample_points(self.file.sample) if self.file.sample else ()),
            ("path", path_points(self.file)),
        ):
            yield from (([key], point) for point in points)

    def components(self, key: str) -> dict[str, Any]:
        """Axis -> value of `leave_out` or `add_in`: as stated, or of a list the value that is without, or with."""
        section = getattr(self.file, key)
        if isinstance(section, dict):
            return dict(section)
        return {axis: self.switched(key, number, axis) for number, axis in enumerate(section)}

    def switched(self, key: str, number: int, axis: str) -> Any:
        """The value without a component: false, or `none` where the axis takes that; with it: true."""
        parser = self.context.axis(self.architecture, axis, [key, number])
        for value in (False, "none") if key == "leave_out" else (True,):
            try:
                parser.parse(value)
            except RegistryError:
                continue
            return value
        which = "without" if key == "leave_out" else "with"
        message = f"'{axis}' is no switch; write the value {which} it: {key}: {{{axis}: VALUE}}"
        raise self.context.error([key, number], message)

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
                self.check_list([section, axis], values)
        for number, exclusion in enumerate(self.file.exclude):
            self.context.check_values(self.architecture, exclusion.when, ["exclude", number, "when"])
        lengths = {axis: len(values) for axis, values in self.file.zip.items()}
        if len(set(lengths.values())) > 1:
            counts = ", ".join(f"{axis} has {length}" for axis, length in lengths.items())
            raise self.context.error(["zip"], f"the lists of 'zip' must be of one length: {counts}")
        self.check_designs()
        self.check_count(max(lengths.values(), default=0))

    def check_designs(self) -> None:
        """Raises AblationError for a design that cannot be made of this architecture and baseline."""
        for key in ("leave_out", "add_in"):
            self.check_components(key)
        for name, section in (("factorial", self.file.factorial), ("sample", self.file.sample)):
            for axis, values in section.over.items() if section else ():
                self.check_list([name, "over", axis], values)
        self.check_factorial()
        self.check_sample()
        self.check_path()

    def check_components(self, key: str) -> None:
        section = getattr(self.file, key)
        repeated = [axis for axis in section if [*section].count(axis) > 1]
        if repeated:
            raise self.context.error([key], f"'{key}' lists '{repeated[0]}' twice")
        for number, (axis, value) in enumerate(self.components(key).items()):
            path: list[Any] = [key, axis if isinstance(section, dict) else number]
            self.context.check_value(self.architecture, axis, value, path)
            if self.at_baseline(axis) == self.parsed(axis, value):
                lacks = f"the baseline is without '{axis}'" if key == "leave_out" else f"the baseline has '{axis}'"
                other = "; use add_in, or set it in 'baseline'" if key == "leave_out" else "; use leave_out"
                raise self.context.error(path, f"{lacks} already ({axis}: {text_of(value)}){other}")

    def at_baseline(self, axis: str) -> Any:
        """The value of an axis or setting of the baseline."""
        return self.resolved(self.base)[axis]

    def check_factorial(self) -> None:
        section = self.file.factorial
        if section is None:
            return
        for axis, values in section.over.items():
            if len(values) != 2:
                message = f"'factorial.over.{axis}' has two values, not {len(values)}; 'sample' and 'grid' take more"
                raise self.context.error(["factorial", "over", axis], message)
        if len(section.over) > MOST_FACTORS:
            message = f"'factorial' takes at most {MOST_FACTORS} axes, not {len(section.over)}"
            raise self.context.error(["factorial", "over"], message)
        try:
            basic_factors(len(section.over), section.count)
        except ValueError as error:
            raise self.context.error(["factorial", "count"], f"'factorial.count': {error}") from None

    def check_sample(self) -> None:
        section = self.file.sample
        if section is None:
            return
        total = math.prod(map(len, section.over.values()))
        if section.count > min(total, MAX_VARIANTS):
            limit = f"there are {total:,} combinations" if total < section.count else f"at most {MAX_VARIANTS:,}"
            raise self.context.error(["sample", "count"], f"'sample.count' is {section.count:,}, but {limit}")

    def check_path(self) -> None:
        section = self.file.path
        if section is None:
            return
        self.context.check_values(self.architecture, section.to, ["path", "to"])
        for axis, value in section.to.items():
            if self.at_baseline(axis) == self.parsed(axis, value):
                raise self.context.error(["path", "to", axis], f"the baseline has {axis}: {text_of(value)} already")
        if is_greedy(self.file):
            self.check_greedy(len(section.to))
        elif section.order and sorted(section.order) != sorted(section.to):
            message = f"'path.order' lists each axis of 'path.to' once: {', '.join(section.to)}"
            raise self.context.error(["path", "order"], message)

    def check_greedy(self, components: int) -> None:
        if components > MOST_COMPONENTS:
            message = f"a greedy path has at most {MOST_COMPONENTS} components, not {components}; state 'path.order'"
            raise self.context.error(["path", "to"], message)
        if not self.file.main:
            raise self.context.error(["path", "order"], "a greedy path needs 'main', by which each step is decided")
        if self.file.tune:
            message = "a greedy path and 'tune' exclude each other; list the axes in 'path.order'"
            raise self.context.error(["path", "order"], message)

    def check_list(self, path: Sequence[Any], values: Sequence[Any]) -> None:
        axis, name = path[-1], f"'{'.'.join(path)}'"
        self.context.axis(self.architecture, axis, path)
        if not values:
            raise self.context.error(path, f"{name} lists no values")
        for index, value in enumerate(values):
            self.context.check_value(self.architecture, axis, value, [*path, index])
        if path[0] != "zip" and len({self.parsed(axis, value) for value in values}) < len(values):
            raise self.context.error(path, f"{name} lists a value twice")

    def check_count(self, zipped: int) -> None:
        """Raises AblationError where the sections make too many variants together."""
        file = self.file
        factorial = 2 ** basic_factors(len(file.factorial.over), file.factorial.count) if file.factorial else 0
        counts = {
            "grid": math.prod(map(len, file.grid.values())) if file.grid else 0,
            "zip": zipped,
            "factorial": factorial,
            "sample": file.sample.count if file.sample else 0,
            "vary": sum(map(len, file.vary.values())),
        }
        count = 1 + sum(counts.values()) + len(file.leave_out) + len(file.add_in)
        if count > MAX_VARIANTS:
            section = max(counts, key=lambda name: counts[name])
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
