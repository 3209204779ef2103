"""Axes: the keyword-only parameters of a registered function, with the values that each of them takes."""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

from bench.registry.errors import AxisError, RegistryError, suggestion

LONGEST = 100
"""Characters of a value that an error shows."""


@dataclass(frozen=True)
class Bounds:
    """Inclusive limits of a number: `Annotated[int, Bounds(1, 8)]`."""

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


class Examples(tuple[Any, ...]):
    """Values of an axis whose schema does not list them: `Annotated[str, Examples("alexnet", "timm:resnet18")]`.

    Tests build the architecture with them, so every one must be accepted beside defaults or one other value.
    """

    __slots__ = ()

    def __new__(cls, *values: Any) -> Examples:
        return super().__new__(cls, values)


class _FileMark:
    """Marks a string that names a file."""


FILE_MARK = _FileMark()
File = Annotated[str, FILE_MARK]
"""The type of an axis that names a file, absolute or relative to the current folder: its content is part of the key."""


@dataclass(frozen=True)
class Axis:
    """One keyword-only parameter: its name, the values it takes, its default.

    `kind` is choice, list (of `element`), bool, int, float, str, file (a str), or any (of these, where the type of an
    argument is not written). `choices` are all values of a choice, `examples` some values of an axis that has too many
    to list.
    """

    name: str
    kind: str
    default: Any
    choices: tuple[Any, ...] = ()
    bounds: Bounds | None = None
    element: str = ""
    optional: bool = False
    examples: tuple[Any, ...] = ()

    @property
    def names_files(self) -> bool:
        """Whether its values name files."""
        return "file" in (self.kind, self.element)

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    def accepts(self) -> str:
        """What the axis takes, in words, for help and errors."""
        if self.kind == "choice":
            words = " | ".join(text_of(c) for c in self.choices)
        elif self.kind == "any":
            words = "a number, text, true, false or a list of these"
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
        except (TypeError, ValueError, OverflowError):
            raise RegistryError(f"axis '{self.name}' takes {self._refusal(value)}") from None

    def _refusal(self, value: Any) -> str:
        """`32 | 16 | 8, not 9`; with types where that of the value is wrong: `32 | 16 | 8 (int), not '32' (str)`."""
        types = {type(choice).__name__ for choice in self.choices} or {self.element or self.kind}
        texts = [text_of(choice) for choice in self.choices]
        if value is not None and (text_of(value) in texts or not self._has_type(value, types)):
            names = f" ({' or '.join(sorted(types))})" if self.choices else ""
            return f"{self.accepts()}{names}, not {typed_text(value)}"
        if isinstance(value, str) and not value.isprintable():
            return f"{self.accepts()} without control characters and line breaks, not {value!r}"
        hint = suggestion(value, texts) if texts and isinstance(value, str) else ""
        return f"{self.accepts()}, not {_brief(text_of(value))}{hint if 'mean' in hint else ''}"

    def _has_type(self, value: Any, types: Set[str]) -> bool:
        """Whether the value, or each element of a list, has one of these types; an int is a float too."""
        if self.kind == "list" and not _is_list(value):
            return False
        if self.kind == "any":
            return False
        accepted = types | {"int"} if "float" in types else types | {"str"} if "file" in types else types
        return all(type(each).__name__ in accepted for each in (value if self.kind == "list" else [value]))

    def _convert(self, value: Any) -> Any:
        if self.kind == "choice":
            return _among(value, self.choices)
        if self.kind == "list":
            if not _is_list(value):
                raise TypeError
            return tuple(self._bounded(_scalar(v, self.element)) for v in value)
        if self.kind == "any":
            return _plain(value)
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
    expected = {"bool": bool, "int": int, "str": str, "file": str}.get(kind)
    if expected is None or not isinstance(value, expected) or (kind == "int" and isinstance(value, bool)):
        raise TypeError
    if isinstance(value, str) and not value.isprintable():
        raise ValueError
    return value


def _plain(value: Any) -> Any:
    """A scalar, or a list of such values and lists as a tuple."""
    if _is_list(value):
        return tuple(None if each is None else _plain(each) for each in value)
    return _scalar(value, type(value).__name__)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def typed_text(value: Any) -> str:
    """A value with its type, for messages: `'32' (str)`, `2.0 (float)`, `['2'] (list of str)`."""
    if _is_list(value):
        types = " and ".join(sorted({type(v).__name__ for v in value}))
        return _brief(f"[{', '.join(map(repr, value))}]") + (f" (list of {types})" if types else " (list)")
    return f"{_brief(text_of(value) if isinstance(value, bool) else repr(value))} ({type(value).__name__})"


def _brief(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


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

    Annotations: `Literal[...]`, `bool`, `int`, `float`, `str`, `File`, `tuple[T, ...]`, any of them in
    `Annotated[..., Bounds(low, high), Examples(...)]`, or `| None`. Raises AxisError for any other.
    """
    annotation, optional = _without_none(annotation)
    annotation, is_file, bounds, examples = _without_extras(annotation)
    shared = {"name": parameter.name, "default": parameter.default}
    shared |= {"bounds": bounds, "optional": optional, "examples": examples}
    if typing.get_origin(annotation) is Literal:
        return Axis(kind="choice", choices=typing.get_args(annotation), **shared)
    if typing.get_origin(annotation) is tuple:
        element, is_file, *_ = _without_extras(typing.get_args(annotation)[0])
        return Axis(kind="list", element="file" if is_file else element.__name__, **shared)
    if is_file and annotation is str:
        return Axis(kind="file", **shared)
    if annotation in (bool, int, float, str):
        return Axis(kind=annotation.__name__, **shared)
    raise AxisError(
        f"parameter '{parameter.name}' has no annotation that an axis can be made of; "
        "write int, float, bool, str, Literal[...] or tuple[..., ...]"
    )


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """(`T`, True) of `T | None`, else (the annotation, False); of a union of several types (None, ..)."""
    if typing.get_origin(annotation) not in (Union, types.UnionType):
        return annotation, False
    members = [m for m in typing.get_args(annotation) if m is not type(None)]
    return (members[0] if len(members) == 1 else None), len(members) < len(typing.get_args(annotation))


def _without_extras(annotation: Any) -> tuple[Any, bool, Bounds | None, tuple[Any, ...]]:
    """The type in an `Annotated`, whether it names a file, its bounds and its examples."""
    if typing.get_origin(annotation) is not Annotated:
        return annotation, False, None, ()
    annotation, *extras = typing.get_args(annotation)
    bounds = next((extra for extra in extras if isinstance(extra, Bounds)), None)
    examples = tuple(next((extra for extra in extras if isinstance(extra, Examples)), ()))
    return annotation, FILE_MARK in extras, bounds, examples


def axes_of(builder: Callable[..., Any]) -> tuple[Axis, ...]:
    """The axes of a builder: its keyword-only parameters, in the order of the signature."""
    parameters = inspect.signature(builder).parameters.values()
    keyword = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    return tuple(_with_valid_default(axis_of(p, _evaluated(p.annotation, builder))) for p in keyword)


def _with_valid_default(axis: Axis) -> Axis:
    """The same axis. Raises AxisError for a default that can change or that the axis does not take."""
    if isinstance(axis.default, (list, dict, set)):
        kind = type(axis.default).__name__
        raise AxisError(f"the default of '{axis.name}' is a {kind}, which can change; write a tuple")
    if not axis.required:
        try:
            axis.parse(axis.default)
        except RegistryError as error:
            raise AxisError(f"the default of '{axis.name}' is none of its values: {error}") from None
    return axis


def _evaluated(annotation: Any, owner: Callable[..., Any]) -> Any:
    # typing.get_type_hints would evaluate the positional parameters too, whose types may be
    # imported for type checkers only.
    if not isinstance(annotation, str):
        return annotation
    return eval(annotation, getattr(owner, "__globals__", {}))


def resolve(owner: str, axes: Sequence[Axis], stated: Mapping[str, Any]) -> dict[str, Any]:
    """Every axis with its value: the stated one, checked, else the default.

    Raises RegistryError for a name that is no axis, a value outside it, or a required one missing.
    """
    by_name = {axis.name: axis for axis in axes}
    for name in stated:
        if name not in by_name:
            raise RegistryError(f"'{owner}' has no axis '{name}'{suggestion(name, list(by_name))}")
    resolved = {name: a.parse(stated[name]) if name in stated else a.default for name, a in by_name.items()}
    missing = [name for name, value in resolved.items() if value is inspect.Parameter.empty]
    if missing:
        raise RegistryError(f"'{owner}' needs a value for '{missing[0]}' ({by_name[missing[0]].accepts()})")
    return resolved
