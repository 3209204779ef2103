"""Registration: how an architecture, metric, task, dataset or plot becomes known by its name.

The name is that of the decorated function or class. Its *axes* are the keyword-only parameters of that function:
annotations are their schema, defaults the default variant. `facts`, at the end of a family's file, adds the published
numbers. Nothing here imports torch, and decorating has no effect but the entry in the registry.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar

from bench.registry.axes import Axis, Bounds, axes_of, resolve, text_of
from bench.registry.errors import RegistryError, suggestion
from bench.registry.places import place_of
from bench.registry.published import Fact

Better = Literal["higher", "lower"] | None
Kind = Literal["static", "speed", "accuracy"]


@dataclass(frozen=True)
class Constraint:
    """A combination of axis values that the architecture does not have, and why."""

    when: Mapping[str, Any] = field(hash=False)
    because: str

    def holds(self, axes: Mapping[str, Any]) -> bool:
        """Whether `axes` is such a combination; a tuple in `when` lists alternatives."""
        return all(axes[k] in v if isinstance(v, (tuple, list)) else axes[k] == v for k, v in self.when.items())


@dataclass(frozen=True)
class Entry:
    """What every registered thing has: its name, the function or class, the module that defines it, its axes."""

    name: str
    call: Callable[..., Any]
    module: str
    axes: tuple[Axis, ...]

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.call) or "").split("\n", 1)[0].strip()

    def axis(self, name: str) -> Axis | None:
        """The axis of this name, if there is one."""
        return next((axis for axis in self.axes if axis.name == name), None)

    def values(self, stated: Mapping[str, Any]) -> dict[str, Any]:
        """All axes with values; raises RegistryError for a wrong axis or value."""
        return resolve(self.name, self.axes, stated)

    def resolve(self, stated: Mapping[str, Any]) -> dict[str, Any]:
        """The same, of a combination that exists. Raises RegistryError for one that does not."""
        return self.values(stated)


@dataclass(frozen=True)
class Architecture(Entry):
    """A family of networks. `call(**axes)` builds one as `torch.nn.Module`.

    `small` holds axis values of a network that a test can train within a fraction of a second. `inputs` is what the
    network is called with where that is not one image, in the grammar of `bench.spec.inputs`.
    """

    task: str
    source: str
    facts: tuple[Fact, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    small: Mapping[str, Any] = field(default_factory=dict, hash=False)
    inputs: str = ""

    def resolve(self, stated: Mapping[str, Any]) -> dict[str, Any]:
        resolved = super().resolve(stated)
        for constraint in self.constraints:
            if constraint.holds(resolved):
                what = ", ".join(f"{k}={text_of(resolved[k])}" for k in constraint.when)
                raise RegistryError(f"'{self.name}' does not exist with {what}: {constraint.because}")
        return resolved

    def defaults(self, names: Iterable[str]) -> dict[str, Any]:
        """The values that a baseline gets of these axes though it does not state them: a variant has all axes anyway.

        Raises RegistryError where a value is needed and not known.
        """
        return {}

    def build(self, **axes: Any) -> Any:
        """A network with these axis values, the others at their defaults."""
        return self.call(**self.resolve(axes))


@dataclass(frozen=True)
class Metric(Entry):
    """A number about a variant. `call(subject)` or `call(evaluation)` gives it, by `kind`.

    `display_name` is how people read it (`mIoU`, `PCK@0.2`). `reads_units` says that the metric is a function of the
    evaluation's units (images, joints), so that the noise of evaluation can be estimated by leaving blocks of them out.
    `of_graph` says that a speed depends on the operators of a forward pass and not on the weights, so that variants
    whose graphs are equal share one timing. `bounds` are the least and the largest value that it can have by its
    definition, None where there is none: a claim that no such value can make false is refused.
    """

    unit: str
    better: Better
    kind: Kind
    tasks: tuple[str, ...] = ()
    display_name: str = ""
    reads_units: bool = False
    of_graph: bool = False
    bounds: tuple[float | None, float | None] = (None, None)

    def fits(self, task: str) -> bool:
        return not self.tasks or task in self.tasks


@dataclass(frozen=True)
class Task(Entry):
    """What a network is trained and judged on. `call` is a class with the functions of the task.

    `files`: environment variables that name files which an evaluation reads; their content is part of its key.
    """

    unit: str
    files: tuple[str, ...] = ()


FRACTION = Axis("fraction", "float", 1.0, bounds=Bounds(1e-6, 1))
"""The option that every dataset has: the fraction of its training split that is used (`bench.data.subset`)."""


@dataclass(frozen=True)
class Dataset(Entry):
    """Labelled examples. `call(root, split, shape, **axes)` loads them into memory.

    `requires` are the axis values that a network needs to fit this data (`{"classes": 11}`).
    """

    task: str
    licence: str
    source: str
    splits: tuple[str, ...]
    get: str = ""
    embedded: bool = False
    requires: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def options(self) -> tuple[Axis, ...]:
        """What can be chosen of it: its axes, and the fraction of the training split."""
        return (*self.axes, FRACTION)

    def resolve(self, stated: Mapping[str, Any]) -> dict[str, Any]:
        """All axes with values, and the fraction where it is not the whole. Raises RegistryError."""
        resolved = resolve(self.name, self.options, stated)
        return {name: value for name, value in resolved.items() if (name, value) != (FRACTION.name, 1.0)}


READABLE = 50
"""The variants that a figure with a row, a line or a panel for each can show."""


@dataclass(frozen=True)
class Plot(Entry):
    """A figure of the report. `call(results)` yields named figures, none where it has nothing to show.

    It is drawn of at most `most` variants, None: of any number.
    """

    order: int = 50
    most: int | None = READABLE


T = TypeVar("T", bound=Entry)


class Registry(Generic[T]):
    """Names to entries of one kind. No name can be registered twice; an unknown one is an error."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, entry: T) -> None:
        """Raises RegistryError where the name is registered already, or a text would garble a terminal or a page."""
        for text in _texts(entry):
            if not all(sign.isprintable() or sign in "\n\t\xa0" for sign in text):
                problem = f"{text[:60]!a} holds a control character: leave it out"
                raise RegistryError(f"{self.kind} {entry.name!a}: {problem}")
        first = self._entries.get(entry.name)
        if first is not None:
            places = f"{place_of(first.call)} and {place_of(entry.call)}"
            raise RegistryError(f"{self.kind} '{entry.name}' is registered twice: {places}; choose another name")
        self._entries[entry.name] = entry

    def copy(self) -> Registry[T]:
        """Another registry with the same entries."""
        copied: Registry[T] = Registry(self.kind)
        copied._entries = dict(self._entries)
        return copied

    def get(self, name: str) -> T:
        """The entry of this name. Raises RegistryError with the most similar name where there is none."""
        if name not in self._entries:
            raise RegistryError(f"no {self.kind} is called '{name}'{suggestion(name, self.names())}")
        return self._entries[name]

    def replace(self, entry: T) -> None:
        """Put `entry` in place of the one of the same name. Raises RegistryError where there is none."""
        self.get(entry.name)
        self._entries[entry.name] = entry

    def drop(self, module: str) -> None:
        """Remove the entries of a module."""
        self._entries = {name: entry for name, entry in self._entries.items() if entry.module != module}

    def names(self) -> list[str]:
        return sorted(self._entries)

    def __iter__(self) -> Iterator[T]:
        return iter(self._entries[name] for name in self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __len__(self) -> int:
        return len(self._entries)


def _texts(entry: Entry) -> Iterator[str]:
    """The texts of an entry that tables and pages show."""
    for value in vars(entry).values():
        yield from (each for each in (value if isinstance(value, tuple) else (value,)) if isinstance(each, str))


F = TypeVar("F", bound=Callable[..., Any])


_POSITIONAL = {"architecture": (), "metric": ("subject or evaluation",), "plot": ("results",)}
_POSITIONAL |= {"dataset": ("root", "split", "shape")}
"""The positional parameters of a registered function, by kind; its axes are keyword-only."""

_WORDS: Mapping[str, tuple[Any, ...]] = {
    "kind": ("static", "speed", "accuracy"),
    "better": ("higher", "lower", None),
}


def _check(kind: str, call: Callable[..., Any], extra: Mapping[str, Any]) -> None:
    """Raises RegistryError for a decorator's argument, or a function's parameters, that cannot work."""
    name = call.__name__
    for argument, words in _WORDS.items():
        if argument in extra and extra[argument] not in words:
            choice = ", ".join(map(str, words))
            raise RegistryError(f"{kind} '{name}': {argument} is {extra[argument]!r}; it is one of {choice}")
    for argument in ("unit", "task", "licence", "source"):
        if not isinstance(extra.get(argument, ""), str):
            raise RegistryError(f"{kind} '{name}': {argument} is {extra[argument]!r}; it must be text")
    if "bounds" in extra and not _are_bounds(extra["bounds"]):
        raise RegistryError(
            f"{kind} '{name}': bounds is {extra['bounds']!r}; it must be (least, largest), as (0, None)"
        )
    splits = extra.get("splits", ("train", "val"))
    if len(splits) < 2 or any(not isinstance(split, str) or len(split) < 2 for split in splits):
        raise RegistryError(f"dataset '{name}': splits must be a tuple of two names or more, as ('train', 'val')")


def _are_bounds(value: Any) -> bool:
    """Whether a value is two numbers in ascending order, either of them None where there is none."""
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    numbers = [each for each in value if each is not None]
    return all(type(each) in (int, float) for each in numbers) and numbers == sorted(numbers)


def check_parameters(kind: str, call: Callable[..., Any]) -> None:
    """Raises RegistryError where a function takes other positional parameters than those of its kind."""
    if isinstance(call, type) or kind not in _POSITIONAL:
        return
    parameters = inspect.signature(call).parameters.values()
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
        return
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in positional if p.default is inspect.Parameter.empty]
    names = _POSITIONAL[kind]
    if kind == "architecture" and positional:
        raise RegistryError(
            f"an axis is a keyword-only parameter: write def {call.__name__}(*, {positional[0].name}=...)"
        )
    if not len(needed) <= len(names) <= len(positional):
        own = ", ".join(p.name for p in positional)
        raise RegistryError(f"{kind} '{call.__name__}' takes ({own}); it must take ({', '.join(names)})")


class Registries:
    """One registry of each kind, and the decorators that fill them."""

    def __init__(self) -> None:
        self.architectures: Registry[Architecture] = Registry("architecture")
        self.metrics: Registry[Metric] = Registry("metric")
        self.tasks: Registry[Task] = Registry("task")
        self.datasets: Registry[Dataset] = Registry("dataset")
        self.plots: Registry[Plot] = Registry("plot")

    def copy(self) -> Registries:
        """Others with the same entries."""
        copied = Registries()
        for name, entries in vars(self).items():
            setattr(copied, name, entries.copy())
        return copied

    def architecture(
        self,
        *,
        task: str,
        source: str,
        facts: Sequence[Fact] = (),
        constraints: Sequence[Constraint] = (),
        small: Mapping[str, Any] | None = None,
        inputs: str = "",
    ) -> Callable[[F], F]:
        """Register the builder below as an architecture of `task`, citing `source`.

        `small` and `inputs` as in `Architecture`.
        Published numbers are given here as `facts`, or below the builder by the function `facts`.
        """
        extra: dict[str, Any] = {"task": task, "source": source, "small": small or {}, "inputs": inputs}
        extra |= {"facts": tuple(facts), "constraints": tuple(constraints)}
        return self._register(self.architectures, Architecture, extra)

    def facts(self, builder: Callable[..., Any], *facts: Fact) -> None:
        """Add published numbers to the architecture that `builder` is registered as.

        Raises RegistryError where `builder` is not a registered architecture.
        """
        entry = next((entry for entry in self.architectures if entry.call is builder), None)
        if entry is None:
            raise RegistryError(f"facts are stated for '{builder.__name__}', which is not a registered architecture")
        self.architectures.replace(replace(entry, facts=entry.facts + facts))

    def metric(
        self,
        *,
        unit: str,
        better: Better,
        kind: Kind,
        tasks: Sequence[str] = (),
        name: str = "",
        display_name: str = "",
        reads_units: bool = False,
        of_graph: bool = False,
        bounds: tuple[float | None, float | None] = (None, None),
    ) -> Callable[[F], F]:
        """Register the function below as a metric; no `tasks` means that it fits every task.

        `name` is for a module in which a public function has the metric's name already. `display_name`, `reads_units`,
        `of_graph` and `bounds` as in `Metric`; a metric that reads units is accompanied by its jackknife contributions.
        """
        extra: dict[str, Any] = {"unit": unit, "better": better, "kind": kind, "tasks": tuple(tasks)}
        extra |= {"display_name": display_name, "reads_units": reads_units, "of_graph": of_graph}
        extra["bounds"] = bounds
        return self._register(self.metrics, Metric, extra, name)

    def task(self, *, unit: str, files: Sequence[str] = ()) -> Callable[[F], F]:
        """Register the class below as a task whose evaluation unit is `unit`; `files`: see `Task`."""
        return self._register(self.tasks, Task, {"unit": unit, "files": tuple(files)})

    def dataset(
        self,
        *,
        task: str,
        licence: str,
        source: str,
        splits: Sequence[str] = ("train", "val"),
        get: str = "",
        embedded: bool = False,
        requires: Mapping[str, Any] | None = None,
    ) -> Callable[[F], F]:
        """Register the loader below as a dataset for `task`; `get` tells a person how to obtain it."""
        extra = {"task": task, "licence": licence, "source": source, "get": get, "embedded": embedded}
        return self._register(self.datasets, Dataset, extra | {"splits": tuple(splits), "requires": requires or {}})

    def plot(self, *, order: int = 50, most: int | None = READABLE) -> Callable[[F], F]:
        """Register the function below as a figure; a report shows figures by ascending `order`, of `most` variants."""
        return self._register(self.plots, Plot, {"order": order, "most": most})

    def _register(
        self, registry: Registry[Any], entry: type[Entry], extra: Mapping[str, Any], name: str = ""
    ) -> Callable[[F], F]:
        def register(call: F) -> F:
            _check(registry.kind, call, extra)
            axes = () if isinstance(call, type) else axes_of(call)
            if entry is Dataset and any(axis.name == FRACTION.name for axis in axes):
                raise RegistryError(
                    f"dataset '{call.__name__}': every dataset has a 'fraction' already: rename the axis"
                )
            own_name = call.__name__.lower() if isinstance(call, type) else call.__name__
            registry.add(entry(name=name or own_name, call=call, module=call.__module__, axes=axes, **extra))
            return call

        return register


LIVE = Registries()

architecture = LIVE.architecture
metric = LIVE.metric
task = LIVE.task
dataset = LIVE.dataset
plot = LIVE.plot
facts = LIVE.facts
