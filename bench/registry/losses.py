"""Where the losses that a recipe names are: functions of a module of the task, or of a file of the project."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.registry.callables import module_of, named
from bench.registry.catalogue import CatalogueError, Source, load, package_folder, parse, plugin_source
from bench.registry.errors import RegistryError, suggestion
from bench.registry.places import shown

ARGUMENTS = ("outputs", "targets")
"""What a loss is called with."""


def losses_of(task: str) -> Source | None:
    """The module whose public functions are the named losses of a task; None for a task that has none."""
    path = package_folder("bench") / "tasks" / f"{task}_losses.py"
    return Source(f"bench.tasks.{task}_losses", path) if path.is_file() else None


def loss_names(task: str) -> list[str]:
    """The named losses of a task, read without importing them."""
    source = losses_of(task)
    functions = [node for node in parse(source.path).body if isinstance(node, ast.FunctionDef)] if source else []
    return [node.name for node in functions if not node.name.startswith("_")]


def loss_sources(loss: str, task: str) -> list[Source]:
    """The modules that a loss stands in: of the project (`file.py:NAME`) or of the task."""
    file, colon, _ = loss.rpartition(":")
    source = plugin_source(file) if colon else losses_of(task)
    return [source] if source else []


def loss_functions(loss: str, task: str) -> list[Any]:
    """The functions whose sum the loss is. Raises RegistryError where there is no such function."""
    file, colon, attribute = loss.rpartition(":")
    if colon:
        return [named(module_of(file), attribute, file)]
    module = load(loss_sources(loss, task)[0])
    return [named(module, name, f"{task}_losses") for name in loss.split("+")]


def check_loss(loss: str, task: str) -> None:
    """Raises RegistryError for a loss that the task, or the file of the project, does not have; imports nothing."""
    file, colon, attribute = loss.rpartition(":")
    if colon:
        _check_own(file, attribute)
        return
    names = loss_names(task)
    unknown = next((name for name in loss.split("+") if name not in names), None)
    if unknown is not None:
        offer = f"there is: auto, {', '.join(names)}" if names else f"the task {task} has no named losses"
        hint = suggestion(unknown, ["auto", *names])
        raise RegistryError(f"there is no loss '{unknown}'{hint} ({offer}; or file.py:function of yours)")


def _check_own(file: str, attribute: str) -> None:
    try:
        path = plugin_source(file).path
    except CatalogueError:
        raise RegistryError(f"'{file}': there is no such file or module; a loss is file.py:function") from None
    bound = dict(_bound(path))
    name = attribute.partition(".")[0]
    if name not in bound:
        raise RegistryError(f"{shown(path)} has no function '{name}'{suggestion(name, list(bound))}")
    node = bound[name]
    if isinstance(node, ast.FunctionDef) and name == attribute and not _takes_two(node.args):
        raise RegistryError(f"{shown(path)}:{node.lineno}: a loss takes two arguments: def {name}(outputs, targets)")


def _bound(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    """(name, statement) of what a module binds: functions, classes, imports, assignments."""
    for node in parse(path).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name, node
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((alias.asname or alias.name.partition(".")[0], node) for alias in node.names)
        elif isinstance(node, ast.Assign):
            yield from ((target.id, node) for target in node.targets if isinstance(target, ast.Name))


def _takes_two(arguments: ast.arguments) -> bool:
    """Whether a function may be called with two arguments by place."""
    by_place = len(arguments.posonlyargs) + len(arguments.args)
    required = by_place - len(arguments.defaults)
    keyword = [default for default in arguments.kw_defaults if default is None]
    return not keyword and required <= len(ARGUMENTS) and (by_place >= len(ARGUMENTS) or arguments.vararg is not None)
