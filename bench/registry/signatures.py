"""The arguments that a library's builder takes, read from its source without importing it.

A builder hands the arguments that it does not name (`**kwargs`) to functions and classes of its package. These are
followed, so that `width_mult` is an argument of torchvision's `mobilenet_v3_large`, although a private function takes
it.
"""

from __future__ import annotations

import ast
import functools
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.registry.axes import Axis
from bench.registry.catalogue import parse

Definition = ast.FunctionDef | ast.ClassDef

DEEPEST = 6
"""Calls that are followed one after the other."""
PLAIN = ("bool", "int", "float", "str")
HIDDEN = inspect.Parameter.empty
"""The default of an argument that is handed on: the functions on the way may have another than the last one."""
NOT_WRITTEN = ("Callable", "Module", "Type", "BasicBlock", "progress")
"""Of arguments that no YAML value can give, and of `progress`, which only concerns downloads."""


@dataclass(frozen=True)
class Arguments:
    """The arguments of a builder; `complete` where the constructor that takes the last of them is among its sources."""

    axes: Mapping[str, Axis]
    complete: bool

    def without(self, names: set[str]) -> Arguments:
        return replace(self, axes={name: axis for name, axis in self.axes.items() if name not in names})


@functools.cache
def arguments_of(file: Path, name: str) -> Arguments:
    """The arguments of a function or class of a file that can be passed by name and written as plain values."""
    defined = _defined(file, name, DEEPEST)
    return _arguments(*defined, DEEPEST) if defined else Arguments({}, False)


def _arguments(file: Path, node: Definition, depth: int) -> Arguments:
    function = _constructor(node)
    if function is None:
        return _joined({}, (_arguments(*base, depth - 1) for base in _bases(file, node, depth)), depth)
    own = {axis.name: axis for argument, default in _parameters(function) for axis in _axis(argument, default)}
    if function.args.kwarg is None:
        return Arguments(own, isinstance(node, ast.ClassDef))
    handed = _joined(own, _forwarded(file, node, function, depth), depth)
    return replace(handed, complete=handed.complete or isinstance(node, ast.ClassDef))


def _joined(own: Mapping[str, Axis], others: Iterator[Arguments], depth: int) -> Arguments:
    if not depth:
        return Arguments(own, False)
    parts = list(others)
    axes = dict(own)
    for name, axis in (pair for part in parts for pair in part.axes.items()):
        axes.setdefault(name, replace(axis, default=HIDDEN))
    return Arguments(axes, any(part.complete for part in parts))


def _constructor(node: Definition) -> ast.FunctionDef | None:
    if isinstance(node, ast.FunctionDef):
        return node
    return next((n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"), None)


def _parameters(function: ast.FunctionDef) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    """(parameter, its default) of those that can be passed by name, without `self`."""
    positional = function.args.args
    defaults = [*[None] * (len(positional) - len(function.args.defaults)), *function.args.defaults]
    yield from (pair for pair in zip(positional, defaults, strict=True) if pair[0].arg != "self")
    yield from zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)


def _forwarded(file: Path, node: Definition, function: ast.FunctionDef, depth: int) -> Iterator[Arguments]:
    """What the calls that get `**kwargs` take, and the class that the function says to return."""
    names = _holding(function)
    for call in (each for each in ast.walk(function) if isinstance(each, ast.Call)):
        if any(keyword.arg is None and _mentions(keyword.value, names) for keyword in call.keywords):
            yield from _taken(file, node, call, depth)
    if isinstance(function.returns, ast.Name):
        defined = _defined(file, function.returns.id, depth)
        yield from [_arguments(*defined, depth - 1)] if defined and isinstance(defined[1], ast.ClassDef) else []


def _holding(function: ast.FunctionDef) -> set[str]:
    """The names that `**kwargs` is bound to: its own, and those of mappings that are made of it."""
    names = {function.args.kwarg.arg} if function.args.kwarg else set()
    for each in ast.walk(function):
        if isinstance(each, ast.Assign) and _mentions(each.value, names):
            names |= {target.id for target in each.targets if isinstance(target, ast.Name)}
    return names


def _mentions(value: ast.expr, names: set[str]) -> bool:
    return any(isinstance(each, ast.Name) and each.id in names for each in ast.walk(value))


def _taken(file: Path, node: Definition, call: ast.Call, depth: int) -> Iterator[Arguments]:
    """What a call takes beyond the arguments that it states; a class among those is built by it."""
    stated = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
    if isinstance(call.func, ast.Attribute) and ast.unparse(call.func) == "super().__init__":
        callees = list(_bases(file, node, depth))
    else:
        names = [each.id for each in (call.func, *call.args) if isinstance(each, ast.Name)]
        defined = [_defined(file, name, depth) for name in names]
        callees = [each for number, each in enumerate(defined) if each and _followed(number, each, file)]
    for place, callee in callees:
        own = _constructor(callee)
        names = [argument.arg for argument, _ in _parameters(own)] if own else []
        positional = set(names[: len(call.args)]) if ast.unparse(call.func) == callee.name else set()
        yield _arguments(place, callee, depth - 1).without(stated | positional)


def _followed(number: int, defined: tuple[Path, Definition], file: Path) -> bool:
    """Whether a name of a call takes its arguments: the function that is called, of this file, or any class."""
    place, node = defined
    return isinstance(node, ast.ClassDef) or (number == 0 and place == file)


def _bases(file: Path, node: Definition, depth: int) -> Iterator[tuple[Path, Definition]]:
    for base in node.bases if isinstance(node, ast.ClassDef) else ():
        defined = _defined(file, base.id, depth) if isinstance(base, ast.Name) else None
        yield from [defined] if defined else []


_tree = functools.lru_cache(maxsize=64)(parse)


def _defined(file: Path, name: str, depth: int) -> tuple[Path, Definition] | None:
    """Where a name of a file is defined: in it, or in the module of its package that it imports the name from."""
    for node in _tree(file).body if depth else ():
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            return file, node
        if isinstance(node, ast.ImportFrom):
            original = next((a.name for a in node.names if (a.asname or a.name) == name), None)
            place = _module(file, node) if original else None
            if original and place:
                return _defined(place, original, depth - 1)
    return None


def _module(file: Path, node: ast.ImportFrom) -> Path | None:
    """The file that a statement imports from, where it is of the same package."""
    parts = (node.module or "").split(".") if node.module else []
    if node.level:
        folder: Path | None = file.parents[node.level - 1]
    else:
        folder = next((each.parent for each in file.parents if parts and each.name == parts[0]), None)
    base = folder.joinpath(*parts) if folder else None
    places = (base.with_suffix(".py"), base / "__init__.py") if base else ()
    return next((place for place in places if place.is_file()), None)


def _axis(argument: ast.arg, default: ast.expr | None) -> Iterator[Axis]:
    """The axis that a parameter is, if a person can write its values."""
    annotation = ast.unparse(argument.annotation) if argument.annotation else ""
    if argument.arg in NOT_WRITTEN or (any(word in annotation for word in NOT_WRITTEN) and "str" not in annotation):
        return
    value, inner = _literal(default), annotation.removeprefix("Optional[").removesuffix("]").removesuffix(" | None")
    optional = annotation.startswith("Optional[") or annotation.endswith("None") or value is None
    yield Axis(argument.arg, inner if inner in PLAIN else "any", value, optional=optional)


def _literal(default: ast.expr | None) -> Any:
    """The default as a value, lists as tuples; empty where there is none, or it is no literal."""
    try:
        value = HIDDEN if default is None else ast.literal_eval(default)
    except ValueError:
        return HIDDEN
    return tuple(value) if isinstance(value, list) else value
