"""Registration: how an architecture, metric, task, dataset or plot becomes known by its name.

A thing is named once, by the function (or class) that its decorator stands on. Its *axes* are the
keyword-only parameters of that function: annotations are the schema, defaults the default variant.
Nothing here imports torch, and decorating has no effect but the entry in the registry.
"""

from __future__ import annotations

import difflib
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, TypeVar, Union

PREFIXES = {1.0: "", 1e3: "k", 1e6: "M", 1e9: "G"}
Better = Literal["higher", "lower"] | None
Kind = Literal["static", "speed", "accuracy"]


class RegistryError(ValueError):
    """An unknown or doubled name, or an axis or value that an entry does not have."""


def suggestion(word: str, known: Sequence[str]) -> str:
    """`", did you mean 'x'?"` with the nearest known word, or what exists where nothing is near."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if near:
        return f", did you mean '{near[0]}'?"
    return f" (there is: {', '.join(known)})" if known else " (there is none)"


@dataclass(frozen=True)
class Bounds:
    """Inclusive limits of a number: `Annotated[int, Bounds(1, 8)]`."""

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Fact:
    """A published number that the entry must reproduce: `when` names the axis values it holds for.

    `quantity` is a metric's name, or `metric/part` for a named part of its detail
    (`receptive_field/pool4`). `value` is the exact integer, or the number as printed: with `digits`
    decimals, in units of `scale`. A `convention` of `bench.structure.conventions` counts in place of the
    metric, as the table did that printed the number. A `disputed` one is known not to agree; `note` says why.
    """

    quantity: str
    value: float
    source: str
    when: Mapping[str, Any] = field(default_factory=dict, hash=False)
    shape: tuple[int, ...] | None = None
    digits: int | None = None
    scale: float = 1.0
    convention: str = ""
    disputed: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        if self.scale not in PREFIXES:
            raise RegistryError(f"a fact's scale is one of {', '.join(map(str, PREFIXES))}, not {self.scale}")
        if self.disputed and not self.note:
            raise RegistryError(f"a disputed fact needs a note that says why: {self.quantity} of {self.source}")

    @property
    def printed(self) -> str:
        """The number as its source prints it: `134 M`, `181.37 G`, `404`."""
        number = f"{self.value:,}" if self.digits is None else f"{self.value:,.{self.digits}f}"
        return f"{number} {PREFIXES[self.scale]}".rstrip()


@dataclass(frozen=True)
class Constraint:
    """A combination of axis values that the architecture does not have, and why."""

    when: Mapping[str, Any] = field(hash=False)
    because: str

    def holds(self, axes: Mapping[str, Any]) -> bool:
        """Whether `axes` is such a combination; a tuple in `when` lists alternatives."""
        return all(axes[k] in v if isinstance(v, (tuple, list)) else axes[k] == v for k, v in self.when.items())


@dataclass(frozen=True)
class Axis:
    """One keyword-only parameter: its name, the values it takes, its default."""

    name: str
    kind: str
    default: Any
    choices: tuple[Any, ...] = ()
    bounds: Bounds | None = None
    element: str = ""
    optional: bool = False

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    def accepts(self) -> str:
        """What the axis takes, in words, for help and errors."""
        if self.kind == "choice":
            words = " | ".join(text_of(c) for c in self.choices)
        else:
            words = f"list of {self.element}" if self.kind == "list" else self.kind
            words += f", {self.bounds}" if self.bounds else ""
        return words + (" | none" if self.optional else "")

    def parse(self, value: Any) -> Any:
        """The value in the axis's own type. Raises RegistryError with what would have worked."""
        if value is None and self.optional:
            return None
        try:
            return self._convert(value)
        except (TypeError, ValueError):
            raise RegistryError(f"axis '{self.name}' takes {self._refusal(value)}") from None

    def _refusal(self, value: Any) -> str:
        """`32 | 16 | 8, not 9`; with types where that of the value is wrong: `32 | 16 | 8 (int), not '32' (str)`."""
        types = {type(choice).__name__ for choice in self.choices} or {self.element or self.kind}
        texts = [text_of(choice) for choice in self.choices]
        if value is not None and (text_of(value) in texts or not self._has_type(value, types)):
            names = f" ({' or '.join(sorted(types))})" if self.choices else ""
            return f"{self.accepts()}{names}, not {_typed(value)}"
        hint = suggestion(value, texts) if texts and isinstance(value, str) else ""
        return f"{self.accepts()}, not {text_of(value)}{hint if 'mean' in hint else ''}"

    def _has_type(self, value: Any, types: Set[str]) -> bool:
        """Whether the value, or each element of a list, has one of these types; an int is a float too."""
        if self.kind == "list" and not _is_list(value):
            return False
        accepted = types | {"int"} if "float" in types else types
        return all(type(each).__name__ in accepted for each in (value if self.kind == "list" else [value]))

    def _convert(self, value: Any) -> Any:
        if self.kind == "choice":
            return _among(value, self.choices)
        if self.kind == "list":
            if not _is_list(value):
                raise TypeError
            return tuple(self._bounded(_scalar(v, self.element)) for v in value)
        return self._bounded(_scalar(value, self.kind))

    def _bounded(self, value: Any) -> Any:
        if self.bounds and not self.bounds.low <= value <= self.bounds.high:
            raise ValueError
        return value


def _among(value: Any, choices: Sequence[Any]) -> Any:
    for choice in choices:
        if choice == value and isinstance(choice, bool) == isinstance(value, bool):
            return choice
    raise ValueError


def _scalar(value: Any, kind: str) -> Any:
    if kind == "float" and isinstance(value, (int, float)) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ValueError
        return float(value)
    expected = {"bool": bool, "int": int, "str": str}.get(kind)
    if expected is None or not isinstance(value, expected) or (kind == "int" and isinstance(value, bool)):
        raise TypeError
    return value


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _typed(value: Any) -> str:
    """A value with its type, for messages: `'32' (str)`, `2.0 (float)`, `['2'] (list of str)`."""
    if _is_list(value):
        types = " and ".join(sorted({type(v).__name__ for v in value}))
        return f"[{', '.join(map(repr, value))}] (list of {types})"
    return f"{text_of(value) if isinstance(value, bool) else repr(value)} ({type(value).__name__})"


def text_of(value: Any) -> str:
    """A value as it stands in a variant's name and in YAML: `true`, `8`, `[1,2]`, `vgg16`."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(text_of(v) for v in value) + "]"
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)


def axis_of(parameter: inspect.Parameter, annotation: Any) -> Axis:
    """The axis that a keyword-only parameter declares.

    Annotations: `Literal[...]`, `bool`, `int`, `float`, `str`, `tuple[T, ...]`, any of them in
    `Annotated[..., Bounds(low, high)]`, or `| None`. Raises TypeError for any other.
    """
    bounds, optional = None, False
    if typing.get_origin(annotation) in (Union, types.UnionType):
        members = [m for m in typing.get_args(annotation) if m is not type(None)]
        optional = len(members) < len(typing.get_args(annotation))
        annotation = members[0] if len(members) == 1 else None
    if typing.get_origin(annotation) is Annotated:
        annotation, *extras = typing.get_args(annotation)
        bounds = next((e for e in extras if isinstance(e, Bounds)), None)
    shared = {"name": parameter.name, "default": parameter.default, "bounds": bounds, "optional": optional}
    if typing.get_origin(annotation) is Literal:
        return Axis(kind="choice", choices=typing.get_args(annotation), **shared)
    if typing.get_origin(annotation) is tuple:
        return Axis(kind="list", element=typing.get_args(annotation)[0].__name__, **shared)
    if annotation in (bool, int, float, str):
        return Axis(kind=annotation.__name__, **shared)
    raise TypeError(f"parameter '{parameter.name}' has no annotation that an axis can be made of")


def axes_of(builder: Callable[..., Any]) -> tuple[Axis, ...]:
    """The axes of a builder: its keyword-only parameters, in the order they stand in."""
    parameters = inspect.signature(builder).parameters.values()
    keyword = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    return tuple(axis_of(p, _evaluated(p.annotation, builder)) for p in keyword)


def _evaluated(annotation: Any, owner: Callable[..., Any]) -> Any:
    # typing.get_type_hints would evaluate the positional parameters too, whose types may be
    # imported for type checkers only.
    if not isinstance(annotation, str):
        return annotation
    return eval(annotation, getattr(owner, "__globals__", {}))


def resolve(owner: str, axes: Sequence[Axis], given: Mapping[str, Any]) -> dict[str, Any]:
    """Every axis with its value: the given one, checked, else the default.

    Raises RegistryError for a name that is no axis, a value outside it, or a required one missing.
    """
    known = {axis.name: axis for axis in axes}
    for name in given:
        if name not in known:
            raise RegistryError(f"'{owner}' has no axis '{name}'{suggestion(name, list(known))}")
    resolved = {n: a.parse(given[n]) if n in given else a.default for n, a in known.items()}
    missing = [n for n, v in resolved.items() if v is inspect.Parameter.empty]
    if missing:
        raise RegistryError(f"'{owner}' needs a value for '{missing[0]}' ({known[missing[0]].accepts()})")
    return resolved


@dataclass(frozen=True)
class Entry:
    """What every registered thing has: its name, what it calls, where it stands, its first line."""

    name: str
    call: Callable[..., Any]
    module: str
    axes: tuple[Axis, ...]

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.call) or "").split("\n", 1)[0].strip()

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All axes with values; raises RegistryError for a wrong axis or value."""
        return resolve(self.name, self.axes, given)


@dataclass(frozen=True)
class Architecture(Entry):
    """A family of networks. `call(**axes)` builds one as `torch.nn.Module`."""

    task: str
    source: str
    facts: tuple[Fact, ...] = ()
    constraints: tuple[Constraint, ...] = ()

    def resolve(self, given: Mapping[str, Any]) -> dict[str, Any]:
        resolved = super().resolve(given)
        for constraint in self.constraints:
            if constraint.holds(resolved):
                what = ", ".join(f"{k}={text_of(resolved[k])}" for k in constraint.when)
                raise RegistryError(f"'{self.name}' does not exist with {what}: {constraint.because}")
        return resolved

    def build(self, **axes: Any) -> Any:
        """A network with these axis values, the others at their defaults."""
        return self.call(**self.resolve(axes))


@dataclass(frozen=True)
class Metric(Entry):
    """A number about a variant. `call(subject)` or `call(evaluation)` gives it, by `kind`.

    `display_name` is how people read it (`mIoU`, `PCK@0.2`). `reads_units` says that the metric is a function of the
    evaluation's units (images, joints), so that the noise of evaluation can be estimated by leaving blocks of them out.
    """

    unit: str
    better: Better
    kind: Kind
    tasks: tuple[str, ...] = ()
    display_name: str = ""
    reads_units: bool = False

    def fits(self, task: str) -> bool:
        return not self.tasks or task in self.tasks


@dataclass(frozen=True)
class Task(Entry):
    """What a network is trained and judged on. `call` is a class with the functions of the task.

    `files`: environment variables that name files which an evaluation reads; their content is part of its key.
    """

    unit: str
    files: tuple[str, ...] = ()


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


@dataclass(frozen=True)
class Plot(Entry):
    """A figure of the report. `call(results)` yields named figures, none where it has nothing to show."""

    order: int = 50


T = TypeVar("T", bound=Entry)


class Registry(Generic[T]):
    """Names to entries of one sort. A name can be taken once; an unknown one is an error."""

    def __init__(self, sort: str) -> None:
        self.sort = sort
        self._entries: dict[str, T] = {}

    def add(self, entry: T) -> None:
        """Raises RegistryError where another module already has the name."""
        held = self._entries.get(entry.name)
        if held is not None:
            raise RegistryError(
                f"{self.sort} '{entry.name}' is registered twice: in {held.module} and in {entry.module}"
            )
        self._entries[entry.name] = entry

    def get(self, name: str) -> T:
        """Raises RegistryError with the nearest name."""
        if name not in self._entries:
            raise RegistryError(f"no {self.sort} is called '{name}'{suggestion(name, self.names())}")
        return self._entries[name]

    def names(self) -> list[str]:
        return sorted(self._entries)

    def __iter__(self) -> Iterator[T]:
        return iter(self._entries[name] for name in self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __len__(self) -> int:
        return len(self._entries)


F = TypeVar("F", bound=Callable[..., Any])


class Registries:
    """One registry of each sort, and the decorators that fill them."""

    def __init__(self) -> None:
        self.architectures: Registry[Architecture] = Registry("architecture")
        self.metrics: Registry[Metric] = Registry("metric")
        self.tasks: Registry[Task] = Registry("task")
        self.datasets: Registry[Dataset] = Registry("dataset")
        self.plots: Registry[Plot] = Registry("plot")

    def architecture(
        self,
        *,
        task: str,
        source: str,
        facts: Sequence[Fact] = (),
        constraints: Sequence[Constraint] = (),
    ) -> Callable[[F], F]:
        """Register the builder below as an architecture of `task`, citing `source`."""
        extra = {"task": task, "source": source, "facts": tuple(facts), "constraints": tuple(constraints)}
        return self._register(self.architectures, Architecture, extra)

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
    ) -> Callable[[F], F]:
        """Register the function below as a metric; no `tasks` means that it fits every task.

        `name` is for a module whose public function already bears the metric's name. `display_name` and `reads_units`
        as in `Metric`; a metric that reads units is accompanied by its jackknife contributions.
        """
        extra: dict[str, Any] = {"unit": unit, "better": better, "kind": kind, "tasks": tuple(tasks)}
        extra |= {"display_name": display_name, "reads_units": reads_units}
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

    def plot(self, *, order: int = 50) -> Callable[[F], F]:
        """Register the function below as a figure; figures stand in a report by `order`."""
        return self._register(self.plots, Plot, {"order": order})

    def _register(
        self, registry: Registry[Any], sort: type[Entry], extra: Mapping[str, Any], name: str = ""
    ) -> Callable[[F], F]:
        def register(call: F) -> F:
            axes = () if isinstance(call, type) else axes_of(call)
            known_as = name or (call.__name__.lower() if isinstance(call, type) else call.__name__)
            registry.add(sort(name=known_as, call=call, module=call.__module__, axes=axes, **extra))
            return call

        return register


LIVE = Registries()

architecture = LIVE.architecture
metric = LIVE.metric
task = LIVE.task
dataset = LIVE.dataset
plot = LIVE.plot
