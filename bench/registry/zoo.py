"""Names of the networks of torchvision and timm, read from their sources, without importing them."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.registry import Axis, RegistryError, suggestion
from bench.registry.catalogue import package_folder, parse

_TIMM = re.compile(r"^@register_model\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
_ELSEWHERE = ("quantization", "optical_flow")
_BUILDER = re.compile(r"^@register_model\(\)\n(?:[@ )].*\n)*def (\w+)\(", re.MULTILINE)
_PLAIN = re.compile(r"(?:Optional\[)?(bool|int|float|str)\]?")


@functools.cache
def timm_models() -> frozenset[str]:
    """The models that timm registers, without those under names that it calls deprecated."""
    files = sorted((package_folder("timm") / "models").glob("*.py"))
    return frozenset(name for file in files for name in _TIMM.findall(file.read_text("utf-8")))


@functools.cache
def torchvision_builders() -> Mapping[str, Path]:
    """Name -> file of every builder for one image: classification, segmentation, detection; and for video."""
    folder = package_folder("torchvision") / "models"
    files = (f for f in sorted(folder.rglob("*.py")) if f.parent.name not in _ELSEWHERE)
    return {name: file for file in files for name in _BUILDER.findall(file.read_text("utf-8"))}


@functools.cache
def torchvision_axes(name: str) -> tuple[Axis, ...]:
    """The plain parameters of a builder, and of the class that it hands its other arguments to.

    None, the default of each, leaves it to the builder, which may have a default of its own. Raises
    RegistryError for an unknown name.
    """
    builders = torchvision_builders()
    if name not in builders:
        raise RegistryError(f"torchvision has no model '{name}'{suggestion(name, list(builders))}")
    module = parse(builders[name])
    (builder,) = (n for n in module.body if isinstance(n, ast.FunctionDef) and n.name == name)
    own = list(builder.args.kwonlyargs)
    if builder.args.kwarg is not None and isinstance(builder.returns, ast.Name):
        own += _constructor(module, builder.returns.id)
    by_name = {axis.name: axis for argument in own for axis in _axis(argument)}
    return tuple(by_name.values())


def _constructor(module: ast.Module, name: str) -> list[ast.arg]:
    classes = (n for n in module.body if isinstance(n, ast.ClassDef) and n.name == name)
    methods = (m for c in classes for m in c.body if isinstance(m, ast.FunctionDef) and m.name == "__init__")
    return [argument for m in methods for argument in (*m.args.args, *m.args.kwonlyargs)]


def _axis(argument: ast.arg) -> Iterator[Axis]:
    """The axis that a parameter is, if a person can write its values; `progress` only concerns downloads."""
    plain = _PLAIN.fullmatch(ast.unparse(argument.annotation)) if argument.annotation else None
    if plain and argument.arg != "progress":
        yield Axis(argument.arg, plain[1], None, optional=True)
