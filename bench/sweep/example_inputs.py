"""Where the inputs of a network are stated: beside its builder, in its decorator, or on the command line."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence

from bench.registry import Architecture, RegistryError
from bench.registry.callables import OwnArchitecture, module_of, named
from bench.registry.catalogue import CatalogueError, parse, plugin_source, source_of
from bench.registry.targets import ZOOS
from bench.spec.inputs import has_batch, is_reference, parsed

NAME = "example_inputs"
"""What a file, a class or a function calls its example inputs."""


def example_inputs(entry: Architecture, plugins: Sequence[str] = ()) -> str:
    """The inputs that stand beside a network: the text of its decorator, or `file.py:example_inputs`; empty if none.

    They are an attribute of the builder or of its class, or a name in its file.
    """
    if entry.inputs:
        return entry.inputs
    if isinstance(entry, OwnArchitecture):
        return _beside_own(entry.name)
    if entry.module in ZOOS or not entry.module:
        return ""
    where = _written(entry, plugins)
    return f"{where}:{NAME}" if where and _defines(entry, plugins) else ""


def _beside_own(name: str) -> str:
    where, _, attribute = name.rpartition(":")
    module = module_of(where)
    parts = attribute.split(".")
    owners = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
    places = [owner for owner in owners if hasattr(named(module, owner, where), NAME)]
    if places:
        return f"{where}:{places[0]}.{NAME}"
    return f"{where}:{NAME}" if hasattr(module, NAME) else ""


def _written(entry: Architecture, plugins: Sequence[str]) -> str:
    """The module of a registered architecture as a plug-in is written; empty where it is of this project."""
    for plugin in plugins:
        if plugin_source(plugin).module == entry.module:
            return plugin
    try:
        return entry.module if plugin_source(entry.module).module == entry.module else ""
    except CatalogueError:
        return ""


def _defines(entry: Architecture, plugins: Sequence[str]) -> bool:
    """Whether the file of a registered architecture has example inputs, read without importing it."""
    for node in parse(source_of(entry, plugins).path).body:
        names = [getattr(node, "name", "")]
        names += [each.id for each in getattr(node, "targets", ()) if isinstance(each, ast.Name)]
        names += [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []
        if NAME in names:
            return True
    return False


def adapts(inputs: str) -> bool:
    """Whether the inputs follow the batch size: a text with N, a function with a parameter `batch`."""
    if not is_reference(inputs):
        return has_batch(inputs)
    example = _referenced(inputs)
    if isinstance(example, str):
        return has_batch(example)
    return callable(example) and "batch" in inspect.signature(example).parameters


def _referenced(inputs: str) -> object:
    where, colon, attribute = inputs.rpartition(":")
    if not colon:
        raise RegistryError(f"--inputs '{inputs}' is neither a tensor, such as ids:int64[N,16]<1000, nor file.py:NAME")
    return named(module_of(where), attribute, where)


def check_inputs(inputs: str, batches: Sequence[int]) -> None:
    """Raises RegistryError for inputs that cannot be read, or that do not follow a batch size other than 1."""
    if not inputs:
        return
    if not is_reference(inputs):
        parsed(inputs)
    if tuple(batches) != (1,) and not adapts(inputs):
        how = "give the function a parameter 'batch'" if is_reference(inputs) else "write N in place of its first size"
        raise RegistryError(f"--batch: {inputs} has a batch size of its own; {how}")
